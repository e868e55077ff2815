//! SMTP towards one relay: a small pool of connections of our own, and what became of each mail.
//!
//! A [`Relay`] promises that a mail it reports as sent was taken by the relay, that it says of every other whether it can have
//! been taken all the same, that nothing but the mail itself ever holds a code, and that an answer comes within 45 seconds.
//! Which relay, when to try again and when to give up is decided elsewhere.

mod dialogue;
mod reason;
mod settings;
mod tls;
mod wire;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::address::Envelope;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use self::dialogue::{Connection, Progress};
pub use self::reason::{Reason, SendError, Status};
pub use self::settings::{LOCAL_SENDERS, RelaySettings, RelayUrlError, SENDERS, Security, SmtpScheme};
use self::tls::Tls;

/// A dialogue is given up after this long: less than a lease, so that nobody else sends the mail meanwhile.
pub const DIALOGUE: Duration = Duration::from_secs(45);

/// Connecting, TLS and signing in have this long together, so that another relay has its turn within one dialogue.
const OPENING: Duration = Duration::from_secs(20);

/// How long a connection nobody uses is kept. Relays close theirs after 30 seconds and more.
const KEPT_IDLE: Duration = Duration::from_secs(20);

/// Mails over one connection; relays that count allow 100.
const MAILS_PER_CONNECTION: u32 = 100;

/// What is not part of sending a mail (RSET, QUIT) may take this long.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// A relay that cannot be set up as configured.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RelayError {
    /// The host is neither a name nor an IP address.
    #[error("the relay's host is neither a name nor an ip address")]
    Host,
    /// The name for EHLO would not pass as one word.
    #[error("the name for ehlo must be a domain name or an address literal")]
    HelloName,
    /// Credentials would cross a network in clear.
    #[error("credentials are not sent in clear to another machine")]
    CredentialsInClear,
    /// The authority's file holds no certificate, or a broken one.
    #[error("the relay's certificate authority holds no usable pem certificate")]
    CertificateAuthority,
    /// The system trusts nobody.
    #[error("the system has no certificate authorities; name the relay's own")]
    NoSystemRoots,
    /// TLS could not be set up at all.
    #[error("tls could not be set up")]
    Tls,
}

/// A connection nobody uses at the moment.
struct Idle {
    connection: Connection,
    since: Instant,
}

/// One relay and the connections to it that are open.
pub struct Relay {
    settings: RelaySettings,
    tls: Option<Tls>,
    /// The last used is the last in the list, and the first to be used again.
    idle: Mutex<Vec<Idle>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Relay").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Relay {
    /// Sets up a relay. Connects to nothing; reads the system's certificate authorities if the relay has none of its own.
    ///
    /// # Refusals
    /// See [`RelayError`].
    pub fn new(settings: RelaySettings) -> Result<Self, RelayError> {
        if settings.hello_name.is_empty() || !settings.hello_name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RelayError::HelloName);
        }
        if settings.gives_credentials_away() {
            return Err(RelayError::CredentialsInClear);
        }
        let tls = Tls::new(&settings)?;
        Ok(Self { settings, tls, idle: Mutex::new(Vec::new()) })
    }

    /// How many dialogues may be held at once.
    pub fn senders(&self) -> usize {
        self.settings.senders.max(1)
    }

    /// Its host and port, for logs.
    pub fn name(&self) -> String {
        format!("{}:{}", self.settings.host, self.settings.port)
    }

    /// Sends `message` (7-bit, lines ending in CR LF) to the one recipient of `envelope`, within [`DIALOGUE`].
    ///
    /// # Refusals
    /// See [`SendError`].
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SendError> {
        self.send_within(DIALOGUE, envelope, message).await
    }

    /// The same, within `limit`.
    ///
    /// # Refusals
    /// See [`SendError`].
    pub async fn send_within(&self, limit: Duration, envelope: &Envelope, message: &[u8]) -> Result<(), SendError> {
        if !envelope.from().into_iter().chain(envelope.to()).all(|address| is_one_word(address.as_ref())) {
            return Err(SendError::Refused { reason: Reason::new("an address does not fit into an smtp command") });
        }
        if !wire::is_transportable(message) {
            return Err(SendError::Refused { reason: Reason::new("the message is not fit for smtp") });
        }
        let mut progress = Progress::NothingAccepted;
        let Ok((outcome, connection)) = timeout(limit, self.deliver(envelope, message, &mut progress)).await else {
            let reason = Reason::new("the relay took too long");
            return Err(match progress {
                Progress::ContentGiven => SendError::Deferred { reason, maybe_delivered: true },
                Progress::NothingAccepted | Progress::SenderAccepted => SendError::RelayFailed { reason },
            });
        };
        // Outside the deadline: what became of the mail is known, and tidying up must not change it.
        if let Some(connection) = connection {
            self.keep(connection).await;
        }
        outcome
    }

    /// Holds the dialogue; gives back the connection it was held over.
    async fn deliver(
        &self,
        envelope: &Envelope,
        message: &[u8],
        progress: &mut Progress,
    ) -> (Result<(), SendError>, Option<Connection>) {
        if let Some(mut connection) = self.take_idle().await {
            let outcome = connection.send(envelope, message, progress).await;
            let was_stale =
                matches!(outcome, Err(SendError::RelayFailed { .. })) && *progress == Progress::NothingAccepted;
            if !was_stale {
                return (outcome, Some(connection));
            }
            // The relay had closed it, or tired of it, before it heard of this mail: that is nobody's failure.
        }
        let opening = timeout(OPENING, Connection::open(&self.settings, self.tls.as_ref())).await;
        let reason = match opening {
            Ok(Ok(mut connection)) => {
                let outcome = connection.send(envelope, message, progress).await;
                return (outcome, Some(connection));
            }
            Ok(Err(reason)) => reason,
            Err(_) => Reason::new("the relay took too long to begin a session"),
        };
        (Err(SendError::RelayFailed { reason }), None)
    }

    /// An open connection that looks alive.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut idle = self.lock().pop()?;
            if idle.since.elapsed() < KEPT_IDLE && idle.connection.is_quiet().await {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps `connection` for the next mail, if it is fit for one.
    async fn keep(&self, mut connection: Connection) {
        if !timeout(AFTERWARDS, connection.reset()).await.unwrap_or(false) {
            return;
        }
        let mut surplus = Some(connection);
        {
            let mut idle = self.lock();
            if idle.len() < self.senders() && surplus.as_ref().is_some_and(|it| it.mails < MAILS_PER_CONNECTION) {
                idle.extend(surplus.take().map(|connection| Idle { connection, since: Instant::now() }));
            }
        }
        if let Some(connection) = surplus {
            quit(connection).await;
        }
    }

    /// Ends connections that nobody has used for a while.
    pub(crate) async fn tidy(&self) {
        let stale: Vec<Idle> = self.lock().extract_if(.., |idle| idle.since.elapsed() >= KEPT_IDLE).collect();
        for idle in stale {
            quit(idle.connection).await;
        }
    }

    /// Ends all connections that nobody uses at the moment.
    pub async fn close(&self) {
        let all = std::mem::take(&mut *self.lock());
        for idle in all {
            quit(idle.connection).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn quit(connection: Connection) {
    // Polite, not necessary: a connection that cannot be ended in time is dropped.
    let _ended = timeout(AFTERWARDS, connection.quit()).await;
}

/// Whether `address` can stand between angle brackets in a command and nothing else be read into it.
fn is_one_word(address: &str) -> bool {
    address.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}
