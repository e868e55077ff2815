//! A throw-away PostgreSQL cluster: one for each test process, on a free port, with fsync on, gone when the process ends in whatever
//! way. Each test has a database of its own in it, copied from one in which the schema is.
//!
//! It needs PostgreSQL's programs, in `COUNTERSIGN_TEST_POSTGRES`, where Debian puts them, or on the path. Where there are none,
//! [`Cluster::shared`] says so on standard error and gives nothing, so that `cargo test` works in a fresh clone; under
//! `COUNTERSIGN_REQUIRE_REAL_PARTS=1`, which `./check` sets, it fails instead.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

use std::env::var_os;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::server::free_address;

/// The superuser of a cluster, whom nobody asks for a password.
const USER: &str = "countersign";

/// The database that others are copied from.
const TEMPLATE: &str = "prepared";

/// Who runs a server where we are root, which it refuses to be run by.
const SERVANTS: [&str; 2] = ["postgres", "nobody"];

/// Starts `$1…` in the folder `$0` and ends it, and the folder, when standard input ends: that is when this process does.
const KEEPER: &str =
    "\"$@\" >>\"$0/log\" 2>&1 & server=$!; read -r _; kill -s QUIT \"$server\"; wait \"$server\"; rm -rf \"$0\"";

/// How often a server that is awaited is looked at, and how often at most.
const LOOK: (Duration, u32) = (Duration::from_millis(20), 1_500);

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    servant: Option<&'static str>,
    /// Ends the server when its standard input ends; none while the server is down.
    keeper: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    cluster: Arc<Cluster>,
    name: String,
    /// Where it is asked: the cluster's own address, unless something stands before that.
    address: SocketAddr,
}

impl Cluster {
    /// The cluster of this process; none where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it does not come up; or if it is not installed and `COUNTERSIGN_REQUIRE_REAL_PARTS=1` says that it must be.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: OnceCell<Option<Arc<Cluster>>> = OnceCell::const_new();
        SHARED.get_or_init(Self::started).await.clone()
    }

    /// A cluster of a test's own, which it may stop and start.
    ///
    /// # Panics
    /// As [`Cluster::shared`].
    pub async fn started() -> Option<Arc<Self>> {
        let Some(programs) = programs() else {
            assert!(
                var_os("COUNTERSIGN_REQUIRE_REAL_PARTS").is_none_or(|value| value != "1"),
                "PostgreSQL is not installed, and COUNTERSIGN_REQUIRE_REAL_PARTS=1 says that it must be"
            );
            eprintln!("!!!! SKIPPED: PostgreSQL is not installed; on Debian: apt-get install postgresql");
            return None;
        };
        let cluster = Self::without_data(programs);
        done(
            cluster
                .serving("initdb")
                .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
                .arg("--pgdata")
                .arg(cluster.data()),
        );
        cluster.start().await;
        done(&mut cluster.psql("postgres", &format!("CREATE DATABASE {TEMPLATE}")));
        let url = cluster.url(TEMPLATE);
        store::migrate(&store::Location::parse(&url)).await.expect("the schema can be made");
        Some(Arc::new(cluster))
    }

    /// A cluster that repeats what this one writes. From now on this one answers no commit before it is durable there, too.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn replica(&self) -> Arc<Self> {
        let replica = Self::without_data(self.programs.clone());
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        done(
            replica
                .serving("pg_basebackup")
                .args(["--username", USER, "--host", &host, "--port", &port])
                .args(["--checkpoint", "fast", "--wal-method", "stream", "--write-recovery-conf", "--no-sync"])
                .arg("--pgdata")
                .arg(replica.data()),
        );
        replica.start().await;
        done(&mut self.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'"));
        done(&mut self.psql("postgres", "SELECT pg_reload_conf()"));
        let asked = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        for _ in 0..LOOK.1 {
            if done(&mut self.psql("postgres", asked)).stdout.trim_ascii() == b"1" {
                return Arc::new(replica);
            }
            sleep(LOOK.0).await;
        }
        panic!("the replica does not follow: {}", replica.log())
    }

    /// Makes of a replica a server that is written to.
    ///
    /// # Panics
    /// If it cannot be made one.
    pub fn promote(&self) {
        done(self.serving("pg_ctl").args(["promote", "--silent", "--pgdata"]).arg(self.data()));
    }

    /// A folder for one, in which nothing is yet.
    fn without_data(programs: PathBuf) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("countersign-postgres-{}-{number}", std::process::id()));
        // Left by a process of the same number that was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a temporary folder can be made");
        let servant = is_root().then(servant);
        if let Some(servant) = servant {
            done(Command::new("chown").arg(servant).arg(&folder));
        }
        let (address, databases) = (free_address(), AtomicU32::new(0));
        Self { programs, folder, address, servant, keeper: Mutex::default(), databases }
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn start(&self) {
        let port = self.address.port().to_string();
        // In a session of its own: a signal to the terminal's processes is not for the keeper, who has to clean up.
        let mut command = self.as_servant(Path::new("setsid"));
        command
            .args(["sh", "-c", KEEPER])
            .arg(&self.folder)
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data());
        let socket = format!("unix_socket_directories={}", self.folder.display());
        for setting in [
            "listen_addresses=127.0.0.1",
            socket.as_str(),
            "fsync=on",
            "max_connections=400",
            "shared_buffers=128MB",
            "log_lock_waits=on",
        ] {
            command.args(["-c", setting]);
        }
        command.args(["-p", &port]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(command.spawn().expect("sh can be started"));
        for _ in 0..LOOK.1 {
            let asked = self.program("pg_isready").args(["--quiet", "--host", "127.0.0.1", "--port", &port]).status();
            if asked.is_ok_and(|status| status.success()) {
                return;
            }
            sleep(LOOK.0).await;
        }
        panic!("PostgreSQL does not come up: {}", self.log());
    }

    /// Ends the server at once, as a failing machine would; its files stay.
    ///
    /// # Panics
    /// If it cannot be told.
    pub fn crash(&self) {
        done(self.serving("pg_ctl").args(["stop", "--mode", "immediate", "--silent", "--pgdata"]).arg(self.data()));
        if let Some(mut keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The keeper itself: else it would remove the files when its input ends.
            let _killed = keeper.kill();
            let _status = keeper.wait();
        }
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A database of its own for a test, with the schema in it and nothing else.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn database(self: &Arc<Self>) -> TestDatabase {
        self.copied(Some(TEMPLATE)).await
    }

    /// An empty database.
    ///
    /// # Panics
    /// If it cannot be made.
    pub async fn empty_database(self: &Arc<Self>) -> TestDatabase {
        self.copied(None).await
    }

    /// The database of this cluster at `url`.
    ///
    /// # Panics
    /// If that is no such url.
    pub fn named(self: &Arc<Self>, url: &str) -> TestDatabase {
        let name = url.rsplit('/').next().expect("a url has a path").to_owned();
        assert_eq!(self.url(&name), url, "it is a database of this cluster");
        TestDatabase { cluster: Arc::clone(self), name, address: self.address }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn copied(self: &Arc<Self>, template: Option<&str>) -> TestDatabase {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let template = template.map(|template| format!(" TEMPLATE {template}")).unwrap_or_default();
        let sql = format!("CREATE DATABASE {name}{template}");
        for _ in 0..LOOK.1 {
            let output = self.psql("postgres", &sql).output().expect("psql can be started");
            if output.status.success() {
                return TestDatabase { cluster: Arc::clone(self), name, address: self.address };
            }
            // Whoever had the template open may not be gone yet.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("being accessed by other users"), "a database can be made: {said}");
            sleep(LOOK.0).await;
        }
        panic!("a database cannot be made")
    }

    fn url(&self, database: &str) -> String {
        url(self.address, database)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The program `name` of this PostgreSQL.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    fn serving(&self, name: &str) -> Command {
        self.as_servant(&self.programs.join(name))
    }

    fn as_servant(&self, program: &Path) -> Command {
        let mut command = match self.servant {
            None => Command::new(program),
            Some(servant) => {
                // Debian's: it becomes what it starts, so that whoever ends this ends that.
                let mut command = Command::new("setpriv");
                command.args(["--reuid", servant, "--regid", servant_group(servant), "--clear-groups"]).arg(program);
                command
            }
        };
        command.current_dir(&self.folder);
        command
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = self.program("psql");
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        command.args(["--dbname", &self.url(database), "--command", sql]);
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A server that runs is ended by its keeper, which cleans up behind it.
        if self.keeper.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl TestDatabase {
    /// Where it is.
    pub fn url(&self) -> String {
        url(self.address, &self.name)
    }

    /// Where it is on this machine alone.
    pub fn socket_url(&self) -> String {
        let folder = self.cluster.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{}", self.cluster.address.port(), self.name)
    }

    /// What it is called in its cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same database in a replica of its cluster.
    #[must_use]
    pub fn in_replica(&self, replica: &Arc<Cluster>) -> Self {
        Self { cluster: Arc::clone(replica), address: replica.address, name: self.name.clone() }
    }

    /// Where it is if that is here or in `replica`: whichever can be written to.
    pub fn url_with(&self, replica: &Cluster) -> String {
        let (here, there) = (self.cluster.address, replica.address);
        format!("postgres://{USER}@{here},{there}/{}?target_session_attrs=read-write", self.name)
    }

    /// The cluster it is in.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The same, asked at `address`, where something stands that hands on to the cluster.
    #[must_use]
    pub fn through(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Runs statements as a foreign program would, and gives the one value that the last one answers, as text.
    ///
    /// # Panics
    /// If they fail.
    pub fn ask(&self, sql: &str) -> String {
        let output = done(&mut self.cluster.psql(&self.name, sql));
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Drops it, whoever uses it.
    ///
    /// # Panics
    /// If it is there no more.
    pub fn remove(&self) {
        done(&mut self.cluster.psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name)));
    }

    /// Everything in it, as text.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn dump(&self) -> Vec<u8> {
        let url = self.cluster.url(&self.name);
        done(self.cluster.program("pg_dump").args(["--restrict-key", "none", "--dbname", &url])).stdout
    }
}

fn url(address: SocketAddr, database: &str) -> String {
    format!("postgres://{USER}@{address}/{database}")
}

/// Runs a command to its end, which must be a good one.
fn done(command: &mut Command) -> Output {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Where PostgreSQL's programs are: where we are told, or the newest that Debian has, or on the path.
fn programs() -> Option<PathBuf> {
    if let Some(told) = var_os("COUNTERSIGN_TEST_POSTGRES") {
        return Some(told.into());
    }
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = installed.filter(|folder| folder.join("bin/initdb").is_file()).max_by_key(version);
    let on_path = || {
        let path = var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").is_file())
    };
    newest.map(|folder| folder.join("bin")).or_else(on_path)
}

fn is_root() -> bool {
    let asked = Command::new("id").arg("-u").output();
    asked.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn servant() -> &'static str {
    let is_known = |name: &&&str| Command::new("id").arg(name).output().is_ok_and(|output| output.status.success());
    SERVANTS.iter().find(is_known).copied().expect("somebody who is not root can run PostgreSQL")
}

fn servant_group(servant: &str) -> &str {
    if servant == "nobody" { "nogroup" } else { servant }
}
