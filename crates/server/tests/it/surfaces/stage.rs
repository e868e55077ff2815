//! A server with every surface, in development or as it is served, and the mail that it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use testkit::mailbox::{Mailbox, MailboxOptions, ReceivedMail};
use testkit::server::{Answer, Request, Server, stands_in};

use super::entry::{Entry, Live, Verdict};
use super::visitor::Visitor;
use crate::support::{BINARY, PATIENCE, configuration, folder_with};

/// The project of `dev`; that of `serve` is `main`.
pub(crate) const DEVELOPMENT: &str = "P2countersigndev000000000000";

/// What the server does for itself, whoever asks for what.
const UPKEEP: [&str; 4] = ["lease", "settle", "sweep", "add_signing_key"];

/// A server, and what is known of it.
pub(crate) struct Stage {
    pub(crate) server: Server,
    /// Where `serve` mails to.
    mailbox: Option<Mailbox>,
    /// Every address that somebody has proved.
    proved: Mutex<BTreeSet<String>>,
    /// Every code that was looked at.
    codes: Mutex<BTreeSet<String>>,
    count: AtomicU32,
}

impl Stage {
    /// `countersign dev`: everybody may sign up, and nothing limits sending.
    pub(crate) async fn dev() -> Self {
        Self::new(Server::dev(BINARY, &[]).await, None)
    }

    /// `countersign serve` as an operator has it, and a real SMTP server behind it; none where there is no Python.
    pub(crate) async fn serve(sign_up: bool) -> Option<Self> {
        let mailbox = Mailbox::start(&MailboxOptions::default())?;
        let relay = format!("url = \"smtp+plain://127.0.0.1:{}\"", mailbox.port());
        let projects = format!("sign_up = {sign_up}\n\n[[projects]]\nid = \"other\"\nsign_up = {sign_up}\n");
        let folder = folder_with(&configuration(&relay, &format!("{projects}\n{}", super::configuration())));
        for (name, text) in super::files() {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let server = Server::serve(BINARY, folder, &[]).await;
        Some(Self::new(server, Some(mailbox)))
    }

    fn new(server: Server, mailbox: Option<Mailbox>) -> Self {
        Self { server, mailbox, proved: Mutex::default(), codes: Mutex::default(), count: AtomicU32::new(0) }
    }

    /// Whether this is `serve`.
    pub(crate) const fn is_served(&self) -> bool {
        self.mailbox.is_some()
    }

    /// Somebody at a client of his own.
    pub(crate) fn visitor(&self) -> Visitor {
        Visitor::new(self.server.client())
    }

    /// An address that nobody has: as long as every other, and alike where it is masked.
    pub(crate) fn address(&self) -> String {
        format!("ada-{:04}@example.com", self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// An identity with `address`, which it has not proved.
    pub(crate) async fn add(&self, address: &str) {
        let added = self.server.identity(&["add", address]).await;
        assert_eq!(added.code, Some(0), "{}", added.stderr);
    }

    /// Somebody's address who may sign in.
    pub(crate) async fn person(&self) -> String {
        let address = self.address();
        if self.is_served() {
            self.add(&address).await;
        }
        address
    }

    /// Notes that `address` was proved in `live`.
    pub(crate) fn proved(&self, live: &Live, address: &str) {
        let mut proved = self.proved.lock().unwrap();
        proved.insert(address.to_owned());
        if let Some(replaced) = &live.replaces {
            proved.remove(replaced);
        }
    }

    /// Asks for a code at `entry`.
    pub(crate) async fn ask(&self, entry: &Entry, address: &str) -> Live {
        let mut visitor = self.visitor();
        let live = (entry.ask)(self, &mut visitor, address).await;
        live.unwrap_or_else(|| panic!("{}: {:?}", entry.name, visitor.answers.last().map(Answer::whole)))
    }

    /// Sends `request` from a client that keeps nothing.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        self.server.client().send(request).await
    }

    /// What comes of `code` in `live`.
    pub(crate) async fn bring(&self, live: &Live, code: &str) -> Verdict {
        live.verdict(&self.send(&live.bring(code)).await)
    }

    /// The newest code to `address`: of its one mail, where mail is sent.
    pub(crate) async fn code_to(&self, address: &str) -> String {
        let code = match &self.mailbox {
            None => {
                let shown = self.server.client().get(&format!("/dev/messages?to={address}")).await;
                shown.json()[0]["code"].as_str().unwrap_or_else(|| panic!("no mail to {address}")).to_owned()
            }
            Some(_) => self.codes_to(address, 1).await.remove(0),
        };
        self.codes.lock().unwrap().insert(code.clone());
        code
    }

    /// The codes of `count` mails to `address`.
    pub(crate) async fn codes_to(&self, address: &str, count: usize) -> Vec<String> {
        let mails = self.mails_to(address, count).await;
        let is_sign = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(is_sign);
        let code = |text: String| text.lines().map(str::trim).find(is_code).expect("the mail holds a code").to_owned();
        mails.iter().map(|mail| code(mail.text())).collect()
    }

    /// The mails to `address`, the oldest first, once there are `count`.
    pub(crate) async fn mails_to(&self, address: &str, count: usize) -> Vec<ReceivedMail> {
        self.mailbox.as_ref().unwrap().wait_for(address, count, PATIENCE).await
    }

    /// Who was mailed to, once nothing is owed any more.
    pub(crate) async fn mailed(&self) -> BTreeSet<String> {
        self.server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
        let mails = self.mailbox.as_ref().unwrap().offered().await;
        mails.into_iter().flat_map(|mail| mail.recipients).collect()
    }

    /// How often each outcome of a verification was counted at the surface `dialect`.
    pub(crate) async fn outcomes(&self, dialect: &str) -> BTreeMap<String, u64> {
        const METRIC: &str = "countersign_verifications_total";
        let metrics = self.server.metrics().await;
        let dialect = format!("dialect=\"{dialect}\"");
        let count = |outcome: &String| metrics.sum(METRIC, &[&dialect, &format!("outcome=\"{outcome}\"")]);
        let counted =
            metrics.values_of(METRIC, "outcome").into_iter().map(|outcome| (outcome.clone(), count(&outcome)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// How often each operation of the store was done, upkeep aside.
    pub(crate) async fn operations(&self) -> BTreeMap<String, u64> {
        const METRIC: &str = "countersign_store_seconds_count";
        let metrics = self.server.metrics().await;
        let count = |name: &String| metrics.sum(METRIC, &[&format!("op=\"{name}\"")]);
        let names = metrics.values_of(METRIC, "op").into_iter().filter(|name| !UPKEEP.contains(&name.as_str()));
        names.map(|name| (name.clone(), count(&name))).collect()
    }

    /// Stops the server, looks it over, and sees that exactly those addresses are proved of which it was noted. What `count` selects
    /// is then given, if there is a Python to look with.
    pub(crate) async fn stop(mut self, count: &str) -> Option<u64> {
        self.server.terminate();
        assert_eq!(self.server.ended().await, Some(0));
        self.server.look_over();
        let rows = self.server.sql("SELECT address FROM addresses WHERE verified_at IS NOT NULL")?;
        let found: BTreeSet<_> = rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, *self.proved.lock().unwrap(), "proved, and should be");
        self.look_for_codes()?;
        self.server.sql(count)?[0][0].as_u64()
    }
}

impl Stage {
    /// Sees that no code stands in the log, or in any text of the database: as a word, because of so many codes some are found by chance
    /// in the digits of longer numbers.
    fn look_for_codes(&self) -> Option<()> {
        let (columns, is_text) = if self.server.postgres().is_some() {
            let columns = "SELECT table_name, column_name FROM information_schema.columns \
                           WHERE table_schema = 'public' AND data_type = 'text'";
            (columns, "IS NOT NULL")
        } else {
            let columns = "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns \
                           WHERE tables.type = 'table'";
            (columns, "IS NOT NULL AND typeof({column}) = 'text'")
        };
        let text = |column: &Vec<Value>| {
            let [table, column] = [0, 1].map(|index| column[index].as_str().unwrap());
            format!("SELECT {column} FROM {table} WHERE {column} {}", is_text.replace("{column}", column))
        };
        let texts: Vec<_> = self.server.sql(columns)?.iter().map(text).collect();
        let mut texts: Vec<_> = self.server.sql(&texts.join(" UNION "))?.into_iter().flatten().collect();
        assert!(!texts.is_empty(), "there are texts to look at");
        texts.push(self.server.log().into());
        for code in self.codes.lock().unwrap().iter() {
            let found = texts.iter().find(|text| stands_in(code, text.as_str().unwrap()));
            assert_eq!(found, None, "{code} was written down");
        }
        Some(())
    }
}

/// What was added to `before` to make `after`.
pub(crate) fn added(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let grown = after.iter().map(|(name, count)| (name.clone(), count - before.get(name).copied().unwrap_or_default()));
    grown.filter(|(_, count)| *count > 0).collect()
}

/// Counts as they are written down.
pub(crate) fn counts(expected: &[(&str, u64)]) -> BTreeMap<String, u64> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Another code of the same shape.
pub(crate) fn other_than(code: &str) -> String {
    let last = if code.ends_with('7') { '8' } else { '7' };
    format!("{}{last}", &code[..code.len() - 1])
}

/// What stands in `answers` that only somebody may have who is signed in.
pub(crate) fn credentials(answers: &[Answer]) -> Vec<String> {
    let of_sessions = ["ory_st_", "ory_kratos_session=", "countersign-session="];
    let found = answers.iter().filter(|answer| {
        let whole = answer.whole();
        let is_active = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| {
            body["session"]["active_signin"].is_object() || body["data"]["active_signin"].is_object()
        });
        is_active || has_jwt(&whole) || of_sessions.iter().any(|sign| whole.contains(sign))
    });
    found.map(Answer::whole).collect()
}

/// Whether a JSON Web Token stands in `text`: three pieces with points between them, of which the first is an object.
///
/// The first three letters alone also occur by chance in what is random, such as the value of a CSRF cookie.
fn has_jwt(text: &str) -> bool {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    words.into_iter().any(|word| word.starts_with("eyJ") && word.split('.').count() == 3)
}

#[test]
fn a_jwt_is_told_from_what_is_random() {
    assert!(has_jwt(r#"{"token":"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}"#));
    assert!(has_jwt("set-cookie: DSR=eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln; Path=/"));
    assert!(!has_jwt("set-cookie: csrf_token=5cl5QkIVryumpM5eyJtKJTfYDcnVnYuhkauQ+eyJy1Ow=; Path=/"));
}
