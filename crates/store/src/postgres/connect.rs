//! Connections: where they lead, how each is set, and when making one is not even tried.
//!
//! A connection is in clear on this machine, or where that was asked for by name; everywhere else it is TLS, with the certificate and
//! the host's name verified. What the server's configuration says about isolation, plans and patience does not matter: each
//! connection is set here.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::borrowed::{Lender, Lending};
use super::trip::COMMANDS;
use super::wire::{self, Failed, Prepared, Row, Stream, Wire};
use super::{STATEMENTS, told};
use crate::error::OpenError;
use crate::moment;

/// How long one host may take to be connected to.
const CONNECTING: Duration = Duration::from_secs(3);

/// Where a server listens of which no port is named.
const PORT: u16 = 5432;

/// How long what was sent may stay unacknowledged before the connection is given up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// How often a server is asked whether it is still there that owes an answer: one whose machine is gone is given up
/// after twice [`UNACKNOWLEDGED`] at the latest.
const ASKING: Duration = Duration::from_secs(2);

/// How long a connection may take to be made, over all hosts, and to be set: long, because a node that comes up makes many at once, and
/// each has all statements prepared by a server that may have other work.
pub(super) const MAKING: Duration = Duration::from_secs(20);

/// After a connection that could not be made no other is tried for so long, doubling up to the second figure.
const REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How each connection is set.
///
/// - What is durable when we say so must be: `off` is not accepted; anything stricter that the operator has chosen stays.
/// - Every statement finds its rows by an index. A plan made while a table was empty must not read it from end to end when it is full,
///   so such plans are never made, and the one that is made does not depend on values.
/// - A node that is gone or stands still must not hold locks for long.
pub(super) const SETTINGS: &str = "\
    SET default_transaction_isolation = 'read committed'; \
    SET default_transaction_read_only = off; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SET statement_timeout = '10s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
    SET client_min_messages = error";

/// Where a database is and how it is reached.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    name: String,
}

impl Target {
    /// Reads a `postgres://` URL.
    ///
    /// # Refusals
    ///
    /// `Url`, in one sentence that holds no password.
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let wrong = |problem: &str| OpenError::Url { problem: problem.to_owned() };
        let (plain, security, authority) = take_tls(url)?;
        let mut config =
            Config::from_str(&plain).map_err(|error| wrong(&format!("cannot be read: {}", told(&error))))?;
        if config.get_hosts().is_empty() {
            return Err(wrong("names no host"));
        }
        let has_attributes = url.contains("target_session_attrs=");
        if !has_attributes {
            // Whatever else may be behind the names: only where can be written is any use to us.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECTING);
        }
        config.tcp_user_timeout(UNACKNOWLEDGED).keepalives_idle(UNACKNOWLEDGED).keepalives_interval(ASKING);
        if config.get_application_name().is_none() {
            config.application_name("countersign");
        }
        if config.get_hosts().iter().any(is_socket) && config.get_hosts().len() > 1 {
            return Err(wrong("names a socket of this machine and other hosts beside it"));
        }
        let is_near = config.get_hosts().iter().all(is_this_machine);
        let is_secure = match security {
            Security::Unsaid => !is_near,
            Security::Disabled => false,
            Security::Required => true,
        };
        let tls = if is_secure {
            config.ssl_mode(SslMode::Require);
            Some(MakeRustlsConnect::new(client_config(authority.as_deref())?))
        } else {
            config.ssl_mode(SslMode::Disable);
            None
        };
        let name = name(&config);
        Ok(Self { config, tls, name })
    }

    /// The database, for people: without user and password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A stream to a server that knows who we are, set as each of our connections is.
    async fn reach(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let lender = Lender::default();
        let mut config = self.config.clone();
        #[cfg(unix)]
        if let Some(Host::Unix(folder)) = config.get_hosts().first() {
            let port = config.get_ports().first().copied().unwrap_or(PORT);
            let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?;
            let (client, connection) = config.connect_raw(lender.lend(Box::new(socket)), NoTls).await?;
            set(client, connection).await?;
            return lender.take().ok_or(ConnectError::Closed);
        }
        config.ssl_mode(SslMode::Require);
        if self.tls.is_none() {
            // Nobody is asked whether he speaks TLS: the stream is only lent.
            config.ssl_negotiation(SslNegotiation::Direct);
        }
        let lending = Lending { tls: self.tls.clone(), lender: lender.clone() };
        let (client, connection) = config.connect(lending).await?;
        set(client, connection).await?;
        lender.take().ok_or(ConnectError::Closed)
    }

    /// A connection that is not set yet.
    pub(super) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                run(connection);
                Ok(client)
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                run(connection);
                Ok(client)
            }
        }
    }
}

/// Has a connection send and receive until its client is dropped.
fn run<C>(connection: C)
where
    C: Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "ends with the connection, which ends when its client is dropped")]
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = told(&error), "a connection to the database was lost");
        }
    });
}

/// Has the server set a connection, and lets go of it.
async fn set<S, T>(client: Client, connection: Connection<S, T>) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: TlsStream + Unpin,
{
    // What the driver asked last has been answered when this has.
    tokio::select! {
        set = client.batch_execute(SETTINGS) => Ok(set?),
        ended = connection => Err(ended.err().map_or(ConnectError::Closed, ConnectError::Driver)),
    }
}

/// What a URL says about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Unsaid,
    Disabled,
    Required,
}

/// Takes `sslmode` and `sslrootcert` out of a URL: the driver does not know all of their values.
fn take_tls(url: &str) -> Result<(String, Security, Option<String>), OpenError> {
    let wrong = |problem: &str| OpenError::Url { problem: problem.to_owned() };
    let Some((before, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), Security::Unsaid, None));
    };
    let (mut security, mut authority, mut rest) = (Security::Unsaid, None, Vec::new());
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", "disable")) => security = Security::Disabled,
            Some(("sslmode", "require" | "verify-ca" | "verify-full")) => security = Security::Required,
            Some(("sslmode", _)) => {
                return Err(wrong("has an sslmode that is none of disable, require, verify-full"));
            }
            Some(("sslrootcert", path)) => authority = Some(path.to_owned()),
            _ => rest.push(parameter),
        }
    }
    let rest = if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) };
    Ok((rest, security, authority))
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn name(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        }
    });
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{}/{database}", hosts.collect::<Vec<_>>().join(","))
}

/// Whom we believe: the authorities in the file `authority` and no others, or else those of the system.
fn client_config(authority: Option<&str>) -> Result<ClientConfig, OpenError> {
    let wrong = |problem: String| OpenError::Url { problem };
    let mut roots = RootCertStore::empty();
    match authority {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let pem = fs::read(path).map_err(|error| wrong(format!("names {path} as sslrootcert: {error}")))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let added = certificate.ok().is_some_and(|certificate| roots.add(certificate).is_ok());
                if !added {
                    return Err(wrong(format!("names {path} as sslrootcert, which is no certificate")));
                }
            }
        }
    }
    if roots.is_empty() {
        return Err(wrong("asks for TLS, and there is no authority to believe: give sslrootcert".to_owned()));
    }
    // The provider is named here, so that no other crate's feature can put another in its place.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(format!("asks for TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A connection that is set, with every statement prepared.
pub(super) struct Link {
    wire: Mutex<Wire>,
    statements: HashMap<&'static str, Prepared>,
}

impl Link {
    /// Makes one.
    pub(super) async fn make(target: &Target) -> Result<Self, ConnectError> {
        let mut wire = Wire::new(target.reach().await?);
        let declared: Vec<&'static str> = STATEMENTS.iter().copied().flatten().chain(COMMANDS).copied().collect();
        let prepared = wire::prepared(&mut wire, &declared).await.map_err(|failed| ConnectError::Said(failed.error))?;
        Ok(Self { wire: Mutex::new(wire), statements: declared.into_iter().zip(prepared).collect() })
    }

    /// What goes over it.
    pub(super) fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what was put down, and gives the rows of each statement.
    pub(super) async fn exchange(&self) -> Result<Vec<Vec<Row>>, Failed> {
        wire::exchange(|| self.wire()).await
    }

    /// The prepared form of `sql`.
    ///
    /// # Panics
    /// If no module has declared it: that is a mistake in this crate, which any use of the statement shows.
    #[expect(clippy::expect_used, reason = "every module declares its statements in a list that is prepared whole")]
    pub(super) fn statement(&self, sql: &'static str) -> &Prepared {
        self.statements.get(sql).expect("the statement is declared")
    }
}

/// Why a connection could not be made.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The driver or the server said so.
    Driver(tokio_postgres::Error),
    /// The server said so when the statements were prepared.
    Said(wire::Error),
    /// The machine said so.
    Machine(io::Error),
    /// The server went away without a word.
    Closed,
    /// It took too long.
    TooSlow,
    /// It could not be made a moment ago, and was not tried again.
    Resting,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Driver(error) => formatter.write_str(&told(error)),
            Self::Said(error) => error.fmt(formatter),
            Self::Machine(error) => error.fmt(formatter),
            Self::Closed => formatter.write_str("the server closed the connection"),
            Self::TooSlow => formatter.write_str("connecting took too long"),
            Self::Resting => formatter.write_str("the database could not be reached a moment ago"),
        }
    }
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Machine(error)
    }
}

/// Makes the pool's connections.
pub(super) struct Connector {
    target: Target,
    /// Until when none is tried, and how long the next rest is.
    rest: Mutex<Option<(Instant, Duration)>>,
}

impl Connector {
    pub(super) fn new(target: Target) -> Self {
        Self { target, rest: Mutex::default() }
    }

    fn rests(&self) -> bool {
        let rest = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.is_some_and(|(until, _)| moment() < until)
    }

    fn note(&self, is_made: bool) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        *rest = if is_made {
            None
        } else {
            let wait = rest.map_or(REST.0, |(_, wait)| (wait * 2).min(REST.1));
            Some((moment() + wait, wait))
        };
    }
}

impl Manager for Connector {
    type Type = Link;
    type Error = ConnectError;

    async fn create(&self) -> Result<Link, ConnectError> {
        if self.rests() {
            return Err(ConnectError::Resting);
        }
        // Boxed: what a driver needs to connect is large, and would be in every operation that may have to wait for it.
        let made = match timeout(MAKING, Box::pin(Link::make(&self.target))).await {
            Ok(made) => made,
            Err(_) => Err(ConnectError::TooSlow),
        };
        self.note(made.is_ok());
        made
    }

    /// No question is asked of the server: whether a connection still works its next user finds out, unless the server has said so.
    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<ConnectError> {
        if link.wire().is_open() { Ok(()) } else { Err(RecycleError::message("the connection is closed")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(String, bool), String> {
        Target::parse(url).map(|target| (target.name, target.tls.is_some())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_connection_is_in_clear_on_this_machine_or_where_that_was_asked_for_by_name() {
        for (url, name, is_secure) in [
            ("postgres://u:secret@localhost/db", "postgres://localhost:5432/db", false),
            ("postgresql://u@127.0.0.1:5433/db", "postgres://127.0.0.1:5433/db", false),
            ("postgres://u@%2Frun%2Fpostgresql/db", "postgres:///run/postgresql/db", false),
            ("postgres://u@db.example/db?sslmode=disable", "postgres://db.example:5432/db", false),
        ] {
            assert_eq!(parsed(url), Ok((name.to_owned(), is_secure)), "{url}");
        }
        let secure = "postgres://u@a.example,b.example/db?target_session_attrs=read-write&sslrootcert=/no/such/file";
        for url in [secure, "postgres://u@localhost/db?sslmode=verify-full&sslrootcert=/no/such/file"] {
            let refused = parsed(url).unwrap_err();
            assert!(refused.contains("/no/such/file as sslrootcert"), "TLS was wanted: {refused}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_told_in_one_sentence_without_its_password() {
        for url in [
            "postgres://u:secret@localhost/db?sslmode=prefer",
            "postgres://u:secret@localhost:port/db",
            "postgres://u:secret@localhost/db?nonsense=1",
            "postgres:///db",
        ] {
            let refused = parsed(url).unwrap_err();
            assert!(refused.starts_with("the database's url ") && !refused.contains("secret"), "{refused}");
            assert!(!refused.contains('\n'));
        }
    }
}
