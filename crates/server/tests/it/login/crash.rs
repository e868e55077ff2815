//! Killed in the middle of its work, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use testkit::mailbox::{Mailbox, MailboxOptions, ReceivedMail};
use testkit::server::{Answer, Client, Request, Server};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::journey::{Verdict, claims_of, flow_of, start_request, verify_request};
use crate::support::{BINARY, PATIENCE};

/// How often it is killed, at least.
const ROUNDS: u64 = 20;

/// As many sign-ins, and as many mails, are a load.
const ENOUGH: usize = 50;

/// How many people ask at once. Half of them bring their codes back, half leave them in the mail.
const PEOPLE: usize = 10;

/// What the server has said, as far as it was heard. What was said to nobody may or may not have happened.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Codes that passed: the flow's token, the code, the JWT.
    passed: Vec<(String, String, String)>,
    /// Addresses that were told to look for a mail, and whose codes are still out.
    waiting: Vec<String>,
    /// Addresses that were told so, whatever came then.
    started: usize,
    /// Codes that were brought back without an answer: the flow's token and the code.
    unheard: Vec<(String, String)>,
}

impl Acknowledged {
    fn take(&mut self, other: Self) {
        self.passed.extend(other.passed);
        self.waiting.extend(other.waiting);
        self.started += other.started;
        self.unheard.extend(other.unheard);
    }
}

/// Sends `request`; none if the server died meanwhile.
async fn heard(client: &mut Client, request: &Request) -> Option<Answer> {
    client.try_send(request).await.ok().filter(|answer| answer.status == 200)
}

/// Signs in one person after the other until the server is gone.
async fn sign_in_until_it_dies(mut client: Client, brings_back: bool, numbers: Arc<AtomicUsize>) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    loop {
        let address = format!("person-{}@example.com", numbers.fetch_add(1, Ordering::Relaxed));
        let Some(answer) = heard(&mut client, &start_request(&address)).await else { return acknowledged };
        let flow = flow_of(&answer);
        acknowledged.started += 1;
        if !brings_back {
            acknowledged.waiting.push(address);
            // A mail costs the mail server more than it costs us, and it shall keep up.
            sleep(Duration::from_millis(50)).await;
            continue;
        }
        let inbox = Request::get(&format!("/dev/messages?to={address}"));
        let Some(shown) = heard(&mut client, &inbox).await else { return acknowledged };
        let code = shown.json()[0]["code"].as_str().expect("what was acknowledged is there").to_owned();
        let Some(answer) = heard(&mut client, &verify_request(&flow, &code)).await else {
            acknowledged.unheard.push((flow, code));
            return acknowledged;
        };
        match Verdict::of(&answer) {
            Verdict::Token(token) => acknowledged.passed.push((flow, code, token)),
            Verdict::Invalid => panic!("a right code was refused"),
        }
    }
}

/// The number that a public id carries: 63 bits, a 59-bit tag behind them, and six bits of the form of UUIDs between.
fn number_in(public: &str) -> u64 {
    let digits: String = public.chars().filter(|character| *character != '-').collect();
    let bits = u128::from_str_radix(&digits, 16).unwrap();
    let payload = ((bits >> 80) << 74) | (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
    u64::try_from(payload >> 59).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_20_times_under_load_it_loses_nothing_it_has_acknowledged() {
    let Some(mailbox) = Mailbox::start(&MailboxOptions::default()) else { return };
    let mut server = Server::dev(BINARY, &["--smtp", &format!("smtp://127.0.0.1:{}", mailbox.port())]).await;
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut all = Acknowledged::default();
    let mut round = 0;
    // On a machine that does other things too, some more.
    while round < ROUNDS || (round < 3 * ROUNDS && all.passed.len().min(all.waiting.len()) <= ENOUGH) {
        round += 1;
        let mut people = JoinSet::new();
        for person in 0..PEOPLE {
            people.spawn(sign_in_until_it_dies(server.client(), person % 2 == 0, Arc::clone(&numbers)));
        }
        // Never the same moment.
        sleep(Duration::from_millis(200 + round * 137 % 500)).await;
        server.kill().await;
        let mut of_round = Acknowledged::default();
        for acknowledged in people.join_all().await {
            of_round.take(acknowledged);
        }
        server.start().await;
        let mut client = server.client();
        for (flow, code, _) in &of_round.passed {
            let again = Verdict::of(&client.send(&verify_request(flow, code)).await);
            assert_eq!(again, Verdict::Invalid, "a code passed twice");
        }
        // Whoever heard nothing tries once more, and passes at most once.
        for (flow, code) in of_round.unheard.split_off(0) {
            let first = Verdict::of(&client.send(&verify_request(&flow, &code)).await);
            let second = Verdict::of(&client.send(&verify_request(&flow, &code)).await);
            assert_eq!(second, Verdict::Invalid);
            if let Verdict::Token(token) = first {
                of_round.passed.push((flow, code, token));
            }
        }
        all.take(of_round);
    }
    println!("{} starts and {} sign-ins acknowledged over {round} kills", all.started, all.passed.len());
    assert!(all.passed.len().min(all.waiting.len()) > ENOUGH, "there was load");

    // Mails that a killed server was about to send are due again when their leases end: a minute, which goes by here.
    server.kill().await;
    server.sql("UPDATE outbox SET due_at = created_at WHERE state = 'owed'").unwrap();
    let sessions = server.sql("SELECT id FROM sessions").unwrap();
    if server.postgres().is_none() {
        // It was SQLite that was killed, too.
        assert_eq!(server.sql("PRAGMA integrity_check").unwrap(), [[Value::from("ok")]]);
    }
    server.start().await;

    every_acknowledged_session_is_kept(&all, &sessions);
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    every_owed_mail_has_arrived(&all, &mailbox.offered().await);
    let mut client = server.client();
    for (flow, code, _) in &all.passed {
        let again = Verdict::of(&client.send(&verify_request(flow, code)).await);
        assert_eq!(again, Verdict::Invalid, "a code passed twice");
    }
    for (flow, code, token) in all.passed.iter().step_by(10) {
        for secret in [flow, code, token] {
            server.is_secret(secret);
        }
    }
    server.stop().await;
}

fn every_acknowledged_session_is_kept(all: &Acknowledged, sessions: &[Vec<Value>]) {
    let kept: BTreeSet<u64> = sessions.iter().map(|row| row[0].as_u64().unwrap()).collect();
    let mut acknowledged = BTreeSet::new();
    for (_, _, token) in &all.passed {
        let session = number_in(claims_of(token)["jti"].as_str().unwrap());
        assert!(kept.contains(&session), "an acknowledged session is lost");
        assert!(acknowledged.insert(session), "two tokens of one session");
    }
}

fn every_owed_mail_has_arrived(all: &Acknowledged, offered: &[ReceivedMail]) {
    let mut ids: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut copies = 0;
    for mail in offered {
        assert_eq!(mail.recipients.len(), 1);
        let of_one = ids.entry(&mail.recipients[0]).or_default();
        copies += usize::from(!of_one.insert(mail.header("Message-ID").unwrap()));
    }
    println!("{} mails, {copies} of them second copies", offered.len());
    for (address, ids) in &ids {
        // Each address asked once, so its mails are copies of one.
        assert_eq!(ids.len(), 1, "a copy to {address} has another Message-ID");
    }
    for address in &all.waiting {
        assert!(ids.contains_key(address.as_str()), "the mail to {address} is lost");
    }
}

#[tokio::test]
async fn what_was_owed_when_it_was_killed_is_sent_when_it_is_back() {
    let Some(mailbox) = Mailbox::start(&MailboxOptions::default()) else { return };
    let port = mailbox.port();
    drop(mailbox);
    let mut server = Server::dev(BINARY, &["--smtp", &format!("smtp://127.0.0.1:{port}")]).await;
    for number in 0..30 {
        let answer = server.client().send(&start_request(&format!("owed-{number}@example.com"))).await;
        flow_of(&answer);
    }
    server.kill().await;
    assert!(server.sql("UPDATE outbox SET due_at = created_at").is_some());
    let mailbox = Mailbox::start(&MailboxOptions { port, ..MailboxOptions::default() }).unwrap();
    let began = Instant::now();
    server.start().await;
    server.wait_for_metric("countersign_outbox_depth", &[], 0).await;
    println!("30 mails were caught up with in {:?}", began.elapsed());
    for number in 0..30 {
        mailbox.wait_for(&format!("owed-{number}@example.com"), 1, PATIENCE).await;
    }
    assert_eq!(mailbox.offered().await.len(), 30);
    server.stop().await;
}
