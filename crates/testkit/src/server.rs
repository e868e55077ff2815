//! The real binary in a child process, with a folder and free ports of its own.
//!
//! A [`Server`] is started by [`Server::dev`] or [`Server::serve`], answers over real sockets, can be killed, stopped and started
//! again where it was, and dies with its value. After a clean stop it is looked over: it must have logged no error, and nothing it
//! was told to keep ([`Server::is_secret`]) may be found in its log or in its database.
//!
//! Its database is a file in its folder; under `COUNTERSIGN_TEST_BACKEND=postgres` it is one of the process's own cluster instead,
//! also where a configuration names the usual file (`path = "data/countersign.db"`). Who names another is let have it.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::cluster::TestDatabase;
use crate::folder::TempFolder;

mod client;
mod database;
mod metrics;
mod process;

pub use client::{Answer, Client, Request, read_answer};
pub use metrics::Metrics;
use process::Process;

/// How long a server may take to come up or to go: long, because it shares the machine with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a server that is awaited is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A program that ran to its end.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `binary` with `arguments` in `folder` and an environment of nothing but `environment`, to its end.
///
/// # Panics
/// If it cannot be started, or does not end.
pub async fn run(binary: &str, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    database::configured(folder).await;
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().copied());
    let mut process = Process::start(&mut command);
    let status = timeout(PATIENCE, process.ended()).await.expect("the command ends");
    Ran { code: status.code(), stdout: process.stdout.to_end().await, stderr: process.stderr.to_end().await }
}

/// A port on 127.0.0.1 that nobody listens on. It lies below the range from which systems take the local ports of outgoing
/// connections, so that it stays free while its server is down.
///
/// # Panics
/// If there is none.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of several packages run at once, each in a process of its own.
    let offset = u16::try_from(std::process::id() % 500).unwrap_or_default() * 40;
    for _ in 0..2000 {
        let port = 10_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// How a server is started.
#[derive(Debug)]
enum Way {
    /// `countersign dev`, with further flags.
    Dev { flags: Vec<String> },
    /// `countersign serve`, with further variables of the environment.
    Serve { environment: Vec<(String, String)> },
}

/// A server.
#[derive(Debug)]
pub struct Server {
    binary: String,
    way: Way,
    folder: TempFolder,
    address: SocketAddr,
    admin: SocketAddr,
    /// Where its database is, if that is not a file and we know it.
    postgres: Option<TestDatabase>,
    process: Option<Process>,
    /// What the processes before this one logged.
    logged: String,
    secrets: Mutex<Vec<String>>,
}

impl Server {
    /// Starts `countersign dev` with further `flags` on a fresh folder and waits until it says where it is.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn dev(binary: &str, flags: &[&str]) -> Self {
        let folder = TempFolder::new();
        let mut flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut postgres = None;
        if !flags.iter().any(|flag| flag == "--database") {
            postgres = database::of_folder(folder.path()).await;
            flags.extend(postgres.iter().flat_map(|database| ["--database".to_owned(), database.url()]));
        }
        Self::new(binary, folder, Way::Dev { flags }, postgres).started().await
    }

    /// Starts `countersign serve` in `folder`, whose `countersign.toml` says everything but where to listen and, unless it does
    /// that too, the origin, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn serve(binary: &str, folder: TempFolder, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let postgres = database::configured(folder.path()).await;
        Self::new(binary, folder, Way::Serve { environment }, postgres).started().await
    }

    fn new(binary: &str, folder: TempFolder, way: Way, postgres: Option<TestDatabase>) -> Self {
        Self {
            binary: binary.to_owned(),
            way,
            folder,
            address: free_address(),
            admin: free_address(),
            postgres,
            process: None,
            logged: String::new(),
            secrets: Mutex::default(),
        }
    }

    async fn started(mut self) -> Self {
        self.start().await;
        self
    }

    /// Starts it again, on the same folder and ports.
    ///
    /// # Panics
    /// If it is running, or does not come up.
    pub async fn start(&mut self) {
        assert!(self.process.is_none(), "the server is running");
        // It may have been written anew meanwhile.
        database::configured(self.folder.path()).await;
        let mut command = Command::new(&self.binary);
        // A backtrace that somebody lets out shall be seen.
        command.current_dir(self.folder.path()).env_clear().env("RUST_BACKTRACE", "1");
        match &self.way {
            Way::Dev { flags } => {
                command.args(["dev", "--data", "data", "--listen", &self.address.to_string()]);
                command.args(["--admin-listen", &self.admin.to_string()]).args(flags);
            }
            Way::Serve { environment } => {
                command.arg("serve");
                command.envs(self.listening()).envs(environment.iter().map(|(name, value)| (name, value)));
            }
        }
        let mut process = Process::start(&mut command);
        let waiting = async {
            while !self.is_up(&process).await {
                assert!(!process.has_ended(), "the server did not come up: {}", process.stderr.to_end().await);
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the server comes up");
        self.process = Some(process);
    }

    async fn is_up(&self, process: &Process) -> bool {
        match self.way {
            Way::Dev { .. } => process.stdout.so_far().contains("is at http"),
            Way::Serve { .. } => {
                let mut client = Client::new(self.admin);
                client.try_send(&Request::get("/readyz")).await.is_ok_and(|answer| answer.status == 200)
            }
        }
    }

    /// What `serve` is told about its listeners, and about its origin.
    fn listening(&self) -> Vec<(&'static str, String)> {
        let mut told = vec![
            ("COUNTERSIGN__SERVER__LISTEN", self.address.to_string()),
            ("COUNTERSIGN__SERVER__ADMIN_LISTEN", self.admin.to_string()),
        ];
        let text = fs::read_to_string(self.folder.path().join("countersign.toml")).unwrap_or_default();
        if !text.lines().any(|line| line.starts_with("origin")) {
            told.push(("COUNTERSIGN__ORIGIN", self.origin()));
        }
        told
    }

    /// Runs another command of the binary with the configuration of this server.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let listening = self.listening();
        let environment: Vec<_> = listening.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&self.binary, self.folder.path(), arguments, &environment).await
    }

    /// Runs `countersign identity` with `arguments` on the database of this server.
    pub async fn identity(&self, arguments: &[&str]) -> Ran {
        let url = self.postgres.as_ref().map(TestDatabase::url);
        let place = match (&self.way, &url) {
            (Way::Serve { .. }, _) => &[][..],
            (Way::Dev { .. }, None) => &["--data", "data"],
            (Way::Dev { .. }, Some(url)) => &["--database", url.as_str()],
        };
        self.run(&[&["identity"], arguments, place].concat()).await
    }

    /// What a foreign program finds when it runs `statement` on the database, which no running server should have open unless it is
    /// PostgreSQL; none where there is no Python to ask SQLite with.
    ///
    /// # Panics
    /// If it fails.
    pub fn sql(&self, statement: &str) -> Option<Vec<Vec<serde_json::Value>>> {
        database::ask(self.postgres.as_ref(), &self.database(), statement)
    }

    /// The PostgreSQL database, where all tests are on one.
    pub const fn postgres(&self) -> Option<&TestDatabase> {
        self.postgres.as_ref()
    }

    /// Where surfaces are, as in `http://127.0.0.1:12345`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the surfaces' listener.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the operator's listener.
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database file: `dev` has it in `data`, and so should the configuration of `serve`.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("data/countersign.db")
    }

    /// A client of the surfaces, with a connection of its own that is kept.
    pub const fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// What the operator's `/metrics` says.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn metrics(&self) -> Metrics {
        let answer = Client::new(self.admin).send(&Request::get("/metrics")).await;
        assert_eq!(answer.status, 200, "metrics are there");
        Metrics::read(&answer.text())
    }

    /// Waits until a metric has `value`. Labels are given as they are printed, as in `op="start"`.
    ///
    /// # Panics
    /// If it has another one and has not changed for 30 seconds.
    pub async fn wait_for_metric(&self, name: &str, labels: &[&str], value: u64) {
        self.wait_for_value(name, labels, |found| found == value).await;
    }

    /// Waits until something was counted `count` times or more: whoever looks too late would never see the count itself.
    ///
    /// # Panics
    /// If it was not, and has not been counted for 30 seconds.
    pub async fn wait_for_count(&self, name: &str, labels: &[&str], count: u64) {
        self.wait_for_value(name, labels, |found| found >= count).await;
    }

    async fn wait_for_value(&self, name: &str, labels: &[&str], is_awaited: impl Fn(u64) -> bool) {
        let (mut last, mut changed) = (None, Instant::now());
        loop {
            let found = self.metrics().await.sum(name, labels);
            if is_awaited(found) {
                return;
            }
            if last.replace(found) != Some(found) {
                changed = Instant::now();
            }
            assert!(changed.elapsed() < PATIENCE, "{name} {labels:?} stays {found}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has printed since it was last started.
    pub fn greeting(&self) -> String {
        self.process.as_ref().map(|process| process.stdout.so_far()).unwrap_or_default()
    }

    /// Everything logged so far, by all its processes.
    pub fn log(&self) -> String {
        let now = self.process.as_ref().map(|process| process.stderr.so_far()).unwrap_or_default();
        format!("{}{now}", self.logged)
    }

    /// The process's id.
    ///
    /// # Panics
    /// If it is not running.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("the server is running").id()
    }

    /// Notes a code, a token or a key that must not be found in the log or in the database.
    ///
    /// # Panics
    /// If it is so short that it might be found by chance.
    pub fn is_secret(&self, secret: &str) {
        assert!(secret.len() >= 6, "too short to be told from chance");
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    /// Ends it at once: SIGKILL.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            self.logged += &process.stderr.to_end().await;
        }
    }

    /// Asks it to end: SIGTERM.
    ///
    /// # Panics
    /// If it is not running.
    pub fn terminate(&self) {
        let told = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &self.process_id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "a signal can be sent");
    }

    /// Waits until it has ended by itself, and gives its exit code.
    ///
    /// # Panics
    /// If it does not end within 30 seconds.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the server is running");
        let status = timeout(PATIENCE, process.ended()).await.expect("the server ends");
        self.logged += &process.stderr.to_end().await;
        status.code()
    }

    /// Stops it gracefully and looks it over.
    ///
    /// # Panics
    /// If it does not end with 0, has logged an error, or has let out a secret.
    pub async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.ended().await, Some(0), "the server ends well: {}", self.logged);
        self.look_over();
    }

    /// Looks over a server that has ended.
    ///
    /// # Panics
    /// If it has logged an error, or a secret is found in its log or beside its database.
    pub fn look_over(&self) {
        let error = self.logged.lines().find(|line| line.contains(" ERROR ") || line.contains(r#""level":"ERROR""#));
        assert_eq!(error, None, "no error is logged");
        let files = database::kept(self.postgres.as_ref(), &self.database());
        for secret in self.secrets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            assert!(!stands_in(secret, &self.logged), "a secret is in the log: {secret}");
            for (path, bytes) in &files {
                for form in forms_of(secret) {
                    assert!(!holds(bytes, &form), "a secret is in {}: {secret}", path.display());
                }
            }
        }
    }
}

/// Whether `secret` stands in `text` as a word of its own, so that no code is seen in the digits of a longer number.
pub fn stands_in(secret: &str, text: &str) -> bool {
    text.match_indices(secret).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// A secret as text, and the bytes it stands for if it is a UUID.
fn forms_of(secret: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.as_bytes().to_vec()];
    let digits: String = secret.chars().filter(|character| *character != '-').collect();
    if secret.len() == 36
        && let Ok(number) = u128::from_str_radix(&digits, 16)
    {
        forms.push(number.to_be_bytes().to_vec());
    }
    forms
}

fn holds(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the database has a folder").flatten() {
        // The control socket is no file to read.
        if let Ok(bytes) = fs::read(entry.path()) {
            files.push((entry.path(), bytes));
        }
    }
    assert!(!files.is_empty(), "the database is somewhere else");
    files
}
