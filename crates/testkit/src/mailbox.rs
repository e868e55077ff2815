//! A real SMTP server for tests: `aiosmtpd` in a child process, on a port of its own.
//!
//! It takes every mail unless a [`Rule`] says otherwise, with or without TLS under an authority made for the occasion, and hands
//! back what it received and every byte it was told. It dies with its [`Mailbox`].
//!
//! It needs a Python that has what `conformance/requirements.txt` lists. Where there is none, [`Mailbox::start`] says so on
//! standard error and gives nothing, so that `cargo test` works in a fresh clone; under `COUNTERSIGN_REQUIRE_REAL_PARTS=1`, which
//! `./check` sets, it fails instead.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

use std::collections::BTreeMap;
use std::env::var_os;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How the server's side of a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailboxTls {
    /// Not at all; STARTTLS is not offered.
    None,
    /// STARTTLS is offered, and no mail taken before it.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// How a [`Mailbox`] is set up.
#[derive(Debug, Clone, Serialize)]
pub struct MailboxOptions {
    /// How connections are secured.
    pub tls: MailboxTls,
    /// The names and IP addresses its certificate is for.
    pub certificate_names: Vec<String>,
    /// User and password that clients must give.
    pub credentials: Option<(String, String)>,
    /// AUTH mechanisms that are not offered.
    pub mechanisms_withheld: Vec<String>,
    /// The port; 0 for any that is free.
    pub port: u16,
}

impl Default for MailboxOptions {
    /// In clear, without credentials, on a free port; a certificate would be for `localhost` and 127.0.0.1.
    fn default() -> Self {
        Self {
            tls: MailboxTls::None,
            certificate_names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            credentials: None,
            mechanisms_withheld: Vec::new(),
            port: 0,
        }
    }
}

/// The moment of a dialogue that a [`Rule`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// The command DATA.
    Data,
    /// The content has come in whole.
    Content,
}

/// What the server does otherwise than take the mail.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    #[serde(rename = "command")]
    stage: Stage,
    /// Only where this address is named.
    address: Option<String>,
    /// The answer; empty for the usual one, none to drop the connection.
    answer: Option<String>,
    /// Seconds before it.
    delay: f64,
    /// How often; none for ever.
    times: Option<u32>,
}

impl Rule {
    /// Answers `answer` at `stage`, for ever. More lines can be put behind it after CR LF. 421 closes the connection.
    pub fn answer(stage: Stage, answer: &str) -> Self {
        Self { stage, address: None, answer: Some(answer.to_owned()), delay: 0.0, times: None }
    }

    /// Drops the connection at `stage` without an answer.
    pub const fn drop_connection(stage: Stage) -> Self {
        Self { stage, address: None, answer: None, delay: 0.0, times: None }
    }

    /// Waits `delay` at `stage`, then goes on as usual.
    pub fn wait(stage: Stage, delay: Duration) -> Self {
        Self { stage, address: None, answer: Some(String::new()), delay: delay.as_secs_f64(), times: None }
    }

    /// The same, where `address` is named.
    #[must_use]
    pub fn for_address(mut self, address: &str) -> Self {
        self.address = Some(address.to_owned());
        self
    }

    /// The same, `times` times.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// A message whose content came in whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMail {
    /// Which connection it came over, counted from 1.
    pub session: u32,
    /// MAIL FROM.
    pub sender: String,
    /// Every RCPT TO that was accepted.
    pub recipients: Vec<String>,
    /// The bytes, dots unstuffed.
    pub content: Vec<u8>,
    /// The reply code it was answered with; none if the connection was dropped instead.
    pub answer: Option<u16>,
}

impl ReceivedMail {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The value of the header `name`, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let headers = text.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        headers.split("\r\n").find_map(|line| {
            let (this, value) = line.split_once(": ")?;
            this.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }
}

/// What the child says.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Listening { port: u16, authority: Option<String> },
    Heard { session: u32, bytes: String },
    Message { session: u32, sender: String, recipients: Vec<String>, content: String, answer: Option<u16> },
    Obeyed,
}

/// What the child is told.
#[derive(Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Order {
    AddRule {
        rule: Rule,
    },
    ClearRules,
    CloseConnections,
    /// Nothing; but its answer comes behind everything that happened before.
    Answer,
}

#[derive(Default)]
struct State {
    messages: Vec<ReceivedMail>,
    transcripts: BTreeMap<u32, Vec<u8>>,
    obeyed: u64,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running server.
#[derive(Debug)]
pub struct Mailbox {
    child: Child,
    orders: Mutex<(ChildStdin, u64)>,
    shared: Arc<Shared>,
    port: u16,
    authority: Option<Vec<u8>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Shared")
    }
}

/// An order is carried out at once; a child that takes longer than this is lost.
const OBEYING: Duration = Duration::from_secs(10);

impl Mailbox {
    /// Starts a server, and waits until it listens. None, said loudly, where no Python has what it needs.
    ///
    /// # Panics
    /// If it does not come up, or, under `COUNTERSIGN_REQUIRE_REAL_PARTS=1`, if there is no such Python.
    pub fn start(options: &MailboxOptions) -> Option<Self> {
        let python = python()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/mailbox.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(serde_json::to_string(options).expect("options are plain values"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} could not be started: {error}", python.display()));
        let orders = child.stdin.take().expect("standard input is piped");
        let mut events = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let Some(Event::Listening { port, authority }) = next_event(&mut events) else {
            panic!("the mailbox did not come up; does {} have conformance/requirements.txt?", python.display());
        };
        let shared = Arc::new(Shared::default());
        let listening = Arc::clone(&shared);
        std::thread::spawn(move || listen(events, &listening));
        let authority = authority.map(String::into_bytes);
        Some(Self { child, orders: Mutex::new((orders, 0)), shared, port, authority })
    }

    /// Its port, on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The certificate, in PEM, of the authority that vouches for it; none without TLS.
    pub fn authority(&self) -> Option<&[u8]> {
        self.authority.as_deref()
    }

    /// Adds a rule. The first one that applies is obeyed.
    pub async fn add_rule(&self, rule: Rule) {
        self.order(&Order::AddRule { rule }).await;
    }

    /// Takes every mail again.
    pub async fn clear_rules(&self) {
        self.order(&Order::ClearRules).await;
    }

    /// Drops every open connection.
    pub async fn close_connections(&self) {
        self.order(&Order::CloseConnections).await;
    }

    /// The messages taken so far, in the order they came.
    pub async fn messages(&self) -> Vec<ReceivedMail> {
        self.order(&Order::Answer).await;
        self.taken()
    }

    /// Every message whose content came in whole so far, whatever it was answered.
    pub async fn offered(&self) -> Vec<ReceivedMail> {
        self.order(&Order::Answer).await;
        self.shared.state().messages.clone()
    }

    /// Waits until `count` messages to `address` were taken, and gives them.
    ///
    /// # Panics
    /// If there are fewer after `patience`.
    pub async fn wait_for(&self, address: &str, count: usize, patience: Duration) -> Vec<ReceivedMail> {
        self.wait_until(patience, || Some(self.taken_for(address)).filter(|found| found.len() >= count))
            .await
            .unwrap_or_else(|| panic!("fewer than {count} messages to {address} came within {patience:?}"))
    }

    /// The first message to `address` that was taken; none if there is none after `patience`.
    pub async fn first_to(&self, address: &str, patience: Duration) -> Option<ReceivedMail> {
        self.wait_until(patience, || self.taken_for(address).into_iter().next()).await
    }

    /// All that clients said so far on each connection, in the order the connections were made. What was said under TLS is in
    /// clear.
    pub async fn transcripts(&self) -> Vec<Vec<u8>> {
        self.order(&Order::Answer).await;
        self.shared.state().transcripts.values().cloned().collect()
    }

    /// How many lines of all transcripts begin with `verb`; content counts too.
    pub async fn count(&self, verb: &str) -> usize {
        let begins = |line: &&[u8]| line.starts_with(verb.as_bytes());
        self.transcripts().await.iter().map(|said| said.split(|byte| *byte == b'\n').filter(begins).count()).sum()
    }

    fn taken(&self) -> Vec<ReceivedMail> {
        let taken = |message: &&ReceivedMail| message.answer == Some(250);
        self.shared.state().messages.iter().filter(taken).cloned().collect()
    }

    fn taken_for(&self, address: &str) -> Vec<ReceivedMail> {
        let is_to = |message: &&ReceivedMail| message.recipients.iter().any(|recipient| recipient == address);
        let taken = |message: &&ReceivedMail| message.answer == Some(250);
        self.shared.state().messages.iter().filter(taken).filter(is_to).cloned().collect()
    }

    async fn order(&self, order: &Order) {
        let wanted = {
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            let line = serde_json::to_string(order).expect("orders are plain values");
            writeln!(orders.0, "{line}").expect("the mailbox is running");
            orders.1 += 1;
            orders.1
        };
        let obeyed = self.wait_until(OBEYING, || (self.shared.state().obeyed >= wanted).then_some(())).await;
        assert!(obeyed.is_some(), "the mailbox did not obey");
    }

    /// Waits until `found` finds something.
    async fn wait_until<T>(&self, patience: Duration, found: impl Fn() -> Option<T>) -> Option<T> {
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.shared.changed.notified());
                // Before looking, or a change between looking and waiting would be missed.
                changed.as_mut().enable();
                if let Some(result) = found() {
                    return Some(result);
                }
                if self.shared.state().ended {
                    return None;
                }
                changed.await;
            }
        };
        timeout(patience, waiting).await.ok().flatten()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

fn next_event(events: &mut BufReader<ChildStdout>) -> Option<Event> {
    let mut line = String::new();
    events.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Writes down what the child says until it ends.
fn listen(mut events: BufReader<ChildStdout>, shared: &Shared) {
    while let Some(event) = next_event(&mut events) {
        let mut state = shared.state();
        match event {
            Event::Heard { session, bytes } => {
                state.transcripts.entry(session).or_default().extend(latin_1(&bytes));
            }
            Event::Message { session, sender, recipients, content, answer } => {
                let content = latin_1(&content);
                state.messages.push(ReceivedMail { session, sender, recipients, content, answer });
            }
            Event::Obeyed => state.obeyed += 1,
            Event::Listening { .. } => {}
        }
        drop(state);
        shared.changed.notify_waiters();
    }
    shared.state().ended = true;
    shared.changed.notify_waiters();
}

/// The bytes that a text of one character each stands for.
fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
}

/// A Python with what the tests need: `COUNTERSIGN_TEST_PYTHON`, or the one `./check` makes in `tools/python`.
///
/// # Panics
/// Under `COUNTERSIGN_REQUIRE_REAL_PARTS=1`, if there is none.
pub fn python() -> Option<PathBuf> {
    let python = match var_os("COUNTERSIGN_TEST_PYTHON") {
        Some(named) => PathBuf::from(named),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/python/bin/python3"),
    };
    if python.exists() {
        return Some(python);
    }
    let message = format!("no python for real parts at {}; ./check makes one in tools/python", python.display());
    let is_required = var_os("COUNTERSIGN_REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
    assert!(!is_required, "{message}");
    // Not `eprintln!`: the test harness would swallow it.
    let _written = writeln!(std::io::stderr(), "\n*** SKIPPED: {message} ***\n");
    None
}
