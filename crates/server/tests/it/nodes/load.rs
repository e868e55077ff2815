//! People who sign in one after the other, at all nodes, and what they heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use testkit::mailbox::{Mailbox, ReceivedMail};
use testkit::server::{Answer, Client, Request};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::PATIENCE;

/// How long somebody waits for a mail before he goes. It still has to come.
const MAIL: Duration = Duration::from_secs(2);

/// How long somebody waits who was told to, or whose node is gone.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks for a code.
pub(super) fn start_request(address: &str) -> Request {
    request("main", "/v1/auth/otp/signup-in/email", &json!({"loginId": address}))
}

fn verify_request(address: &str, code: &str) -> Request {
    request("main", "/v1/auth/otp/verify/email", &json!({"loginId": address, "code": code}))
}

fn refresh_request(token: &str) -> Request {
    request(&format!("main:{token}"), "/v1/auth/refresh", &json!({}))
}

fn request(bearer: &str, path: &str, body: &serde_json::Value) -> Request {
    Request::post(path, body.to_string()).header("authorization", &format!("Bearer {bearer}"))
}

/// What a node says.
enum Said {
    /// It is done.
    Done(Answer),
    /// The code is wrong, or has passed.
    Wrong,
    /// 503: it may be done or not.
    Unavailable,
    /// The connection was refused, or closed before there was an answer.
    Gone,
}

/// Sends a request once. Whatever else may come of it is a mistake.
async fn said(client: &mut Client, request: &Request) -> Said {
    match timeout(PATIENCE, client.try_send(request)).await.expect("there is an answer") {
        Ok(answer) => match answer.status {
            200 => Said::Done(answer),
            401 if answer.json()["errorCode"] == "E061102" => Said::Wrong,
            503 => {
                assert_eq!(answer.header("retry-after"), Some("2"), "{}", answer.whole());
                Said::Unavailable
            }
            _ => panic!("{}", answer.whole()),
        },
        Err(error) => {
            let closed = [
                ErrorKind::ConnectionRefused,
                ErrorKind::ConnectionReset,
                ErrorKind::ConnectionAborted,
                ErrorKind::BrokenPipe,
                ErrorKind::UnexpectedEof,
            ];
            assert!(closed.contains(&error.kind()), "{error}");
            Said::Gone
        }
    }
}

/// Somebody who was told that he is signed in.
#[derive(Debug)]
struct SignedIn {
    address: String,
    code: String,
    refresh_jwt: String,
}

/// What the nodes have said, as far as it was heard. What was said to nobody may or may not have happened.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Who was told to look for a mail.
    started: Vec<String>,
    signed_in: Vec<SignedIn>,
    /// Codes that were brought back and not answered: address and code.
    unheard: Vec<(String, String)>,
    refreshed: usize,
    unavailable: usize,
    gone: usize,
}

impl fmt::Display for Heard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} starts, {} sign-ins and {} refreshes acknowledged; {} codes unheard of; {} times 503, {} times gone",
            self.started.len(),
            self.signed_in.len(),
            self.refreshed,
            self.unheard.len(),
            self.unavailable,
            self.gone
        )
    }
}

impl Heard {
    fn take(&mut self, other: Self) {
        self.started.extend(other.started);
        self.signed_in.extend(other.signed_in);
        self.unheard.extend(other.unheard);
        self.refreshed += other.refreshed;
        self.unavailable += other.unavailable;
        self.gone += other.gone;
    }

    /// How often a node said 503.
    pub(super) const fn unavailable(&self) -> usize {
        self.unavailable
    }

    /// What is said, counted if it is nothing.
    async fn counted(&mut self, client: &mut Client, request: &Request) -> Said {
        let said = said(client, request).await;
        self.count(&said);
        said
    }

    const fn count(&mut self, said: &Said) {
        match said {
            Said::Unavailable => self.unavailable += 1,
            Said::Gone => self.gone += 1,
            Said::Done(_) | Said::Wrong => {}
        }
    }

    /// One person signs in, at node after node from the `first` on.
    async fn sign_in(&mut self, address: &str, nodes: &mut [Client], first: usize, mailbox: &Mailbox) {
        let of = |number: usize| (first + number) % 3;
        let Said::Done(_) = self.counted(&mut nodes[of(0)], &start_request(address)).await else {
            return sleep(PAUSE).await;
        };
        self.started.push(address.to_owned());
        let Some(mail) = mailbox.first_to(address, MAIL).await else { return };
        let code = code_in(&mail);
        // At two nodes at once.
        let request = verify_request(address, &code);
        let [one, other] = nodes.get_disjoint_mut([of(1), of(2)]).unwrap();
        let answers = tokio::join!(said(one, &request), said(other, &request));
        self.count(&answers.0);
        self.count(&answers.1);
        let answer = match answers {
            (Said::Done(_), Said::Done(_)) => panic!("a code passed twice"),
            (Said::Wrong, Said::Wrong) => panic!("a right code was refused"),
            (Said::Done(answer), _) | (_, Said::Done(answer)) => answer,
            _ => return self.unheard.push((address.to_owned(), code)),
        };
        let refresh_jwt = answer.json()["refreshJwt"].as_str().unwrap().to_owned();
        match self.counted(&mut nodes[of(3)], &refresh_request(&refresh_jwt)).await {
            Said::Done(_) => self.refreshed += 1,
            Said::Unavailable | Said::Gone => {}
            Said::Wrong => panic!("a session is lost"),
        }
        self.signed_in.push(SignedIn { address: address.to_owned(), code, refresh_jwt });
    }

    /// Sees that every session is there and that no code passes a second time; those of whom nothing was heard try once more.
    pub(super) async fn bring_again(&mut self, nodes: &[SocketAddr]) {
        let mut clients: Vec<_> = nodes.iter().copied().map(Client::new).collect();
        let count = clients.len();
        for (number, (address, code)) in self.unheard.iter().enumerate() {
            let first = said(&mut clients[number % count], &verify_request(address, code)).await;
            assert!(matches!(first, Said::Done(_) | Said::Wrong));
            let second = said(&mut clients[(number + 1) % count], &verify_request(address, code)).await;
            assert!(matches!(second, Said::Wrong), "a code passed twice");
        }
        for (number, SignedIn { address, code, refresh_jwt }) in self.signed_in.iter().enumerate() {
            let client = &mut clients[number % count];
            let refreshed = said(client, &refresh_request(refresh_jwt)).await;
            assert!(matches!(refreshed, Said::Done(_)), "an acknowledged session is lost");
            let again = said(client, &verify_request(address, code)).await;
            assert!(matches!(again, Said::Wrong), "a code passed twice");
        }
    }

    /// Sees that everybody who was told to look for a mail got one, or copies of one. How many came, and how many were second copies.
    pub(super) fn every_mail_has_come(&self, offered: &[ReceivedMail]) -> (usize, usize) {
        let mut ids: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for mail in offered {
            ids.entry(&mail.recipients[0]).or_default().insert(mail.header("Message-ID").unwrap());
        }
        for (address, ids) in &ids {
            // Everybody asked once.
            assert_eq!(ids.len(), 1, "a copy to {address} has another Message-ID");
        }
        for address in &self.started {
            assert!(ids.contains_key(address.as_str()), "the mail to {address} is lost");
        }
        (offered.len(), offered.len() - ids.len())
    }
}

/// The code in a mail: a line of six digits.
fn code_in(mail: &ReceivedMail) -> String {
    let text = mail.text();
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(is_code).expect("the mail holds a code").to_owned()
}

/// People at work.
pub(super) struct Load {
    people: JoinSet<Heard>,
    is_over: Arc<AtomicBool>,
    numbers: Arc<AtomicUsize>,
    /// How many have signed in.
    signed_in: Arc<AtomicUsize>,
    besides: std::sync::Mutex<Vec<String>>,
}

impl Load {
    /// `people` sign in somebody and then somebody else, at three nodes, until the load ends.
    pub(super) fn begin(nodes: Vec<SocketAddr>, mailbox: &Arc<Mailbox>, people: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (numbers, signed_in) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let nodes = Arc::new(nodes);
        let mut all = JoinSet::new();
        for person in 0..people {
            let (nodes, mailbox) = (Arc::clone(&nodes), Arc::clone(mailbox));
            let (is_over, numbers, signed_in) = (Arc::clone(&is_over), Arc::clone(&numbers), Arc::clone(&signed_in));
            all.spawn(async move {
                let mut heard = Heard::default();
                let mut clients: Vec<_> = nodes.iter().copied().map(Client::new).collect();
                for round in person.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let before = heard.signed_in.len();
                    heard.sign_in(&next(&numbers), &mut clients, round, &mailbox).await;
                    signed_in.fetch_add(heard.signed_in.len() - before, Ordering::Relaxed);
                }
                heard
            });
        }
        Self { people: all, is_over, numbers, signed_in, besides: std::sync::Mutex::default() }
    }

    /// Goes on for `time`, and until ten more have signed in.
    pub(super) async fn go_on_for(&self, time: Duration) {
        let wanted = self.signed_in.load(Ordering::Relaxed) + 10;
        sleep(time).await;
        let waiting = async {
            while self.signed_in.load(Ordering::Relaxed) < wanted {
                sleep(PAUSE).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("people sign in");
    }

    /// Waits until each of `nodes` has done what it was asked for, and says how long that took.
    pub(super) async fn wait_for_answers(&self, nodes: &[SocketAddr]) -> Duration {
        let began = Instant::now();
        let mut asking = JoinSet::new();
        for node in nodes {
            let (mut client, numbers) = (Client::new(*node), Arc::clone(&self.numbers));
            asking.spawn(async move {
                loop {
                    let address = next(&numbers);
                    if let Said::Done(_) = said(&mut client, &start_request(&address)).await {
                        return address;
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        let started = timeout(PATIENCE, asking.join_all()).await.expect("the nodes answer again");
        let took = began.elapsed();
        self.besides.lock().unwrap().extend(started);
        took
    }

    /// Lets everybody end what he has begun, and gives what was heard.
    pub(super) async fn end(self) -> Heard {
        self.is_over.store(true, Ordering::Relaxed);
        let mut all = Heard { started: self.besides.into_inner().unwrap(), ..Heard::default() };
        for heard in self.people.join_all().await {
            all.take(heard);
        }
        all
    }
}

fn next(numbers: &AtomicUsize) -> String {
    format!("person-{}@example.com", numbers.fetch_add(1, Ordering::Relaxed))
}
