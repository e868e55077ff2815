//! One connection to a relay and what is said over it: RFC 5321, STARTTLS (RFC 3207), AUTH (RFC 4954).
//!
//! lettre's own client is not used: it gives up the connection when a recipient is refused, keeps what came in clear behind
//! the answer to STARTTLS, cannot read an answer that is not UTF-8, and does not say how far a mail got before it failed,
//! which is what decides whether trying again may send it twice.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use engine::Secret;
use lettre::address::Envelope;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::tls::Tls;
use super::wire::{dot_stuffed, enhanced_code, is_about_the_session, reply_code};
use super::{Reason, RelaySettings, Security, SendError, Status};

/// All addresses of a relay together have this long to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// One of several addresses has this long, so that a dead one leaves time for the next.
const CONNECT_ONE: Duration = Duration::from_secs(5);

/// RFC 5321, 4.5.3.1.5, allows 512; some relays say more.
const LONGEST_LINE: usize = 4096;

/// Lines of one answer. Real ones to EHLO have about 20.
const MOST_LINES: usize = 100;

/// Anything that can be spoken over.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// How far a mail has got: whether trying again may send it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// The relay has accepted nothing of it.
    NothingAccepted,
    /// The relay has accepted its sender; without its content it delivers nothing.
    SenderAccepted,
    /// The content is on its way: the relay may have taken it, whatever we hear.
    ContentGiven,
}

/// A relay's whole answer. Not `Debug`: its text stays here.
struct Reply {
    status: Status,
    lines: Vec<Vec<u8>>,
}

impl Reply {
    const fn is_positive(&self) -> bool {
        self.status.code < 400
    }

    const fn is_permanent(&self) -> bool {
        self.status.code >= 500
    }
}

/// What a relay says it can do.
#[derive(Default)]
struct Capabilities {
    starttls: bool,
    auth_plain: bool,
    auth_login: bool,
}

/// A connection over which mails can be sent.
pub(super) struct Connection {
    socket: Box<dyn Socket>,
    /// Read and not yet looked at.
    unread: Vec<u8>,
    /// A mail was begun and not ended.
    in_mail: bool,
    /// Nothing more can be said here.
    broken: bool,
    /// How many mails were offered here.
    pub(super) mails: u32,
}

impl Connection {
    /// Connects, secures and signs in, as `settings` ask.
    pub(super) async fn open(settings: &RelaySettings, tls: Option<&Tls>) -> Result<Self, Reason> {
        let mut socket = timeout(CONNECT, connect(&settings.host, settings.port))
            .await
            .map_err(|_| Reason::new("connecting to the relay took too long"))??;
        if let (Security::ImplicitTls, Some(tls)) = (settings.security, tls) {
            socket = tls.connect(socket).await?;
        }
        let mut connection = Self { socket, unread: Vec::new(), in_mail: false, broken: false, mails: 0 };
        let greeting = connection.reply().await?;
        if greeting.status.code != 220 {
            return Err(Reason::answered("the relay does not take mail now", greeting.status));
        }
        let mut capabilities = connection.hello(&settings.hello_name).await?;
        if let (Security::StartTls, Some(tls)) = (settings.security, tls) {
            connection = connection.start_tls(&capabilities, tls).await?;
            // RFC 3207, 4.2: what was said in clear does not count any more.
            capabilities = connection.hello(&settings.hello_name).await?;
        }
        if let Some((user, password)) = &settings.credentials {
            connection.sign_in(&capabilities, user, password).await?;
        }
        Ok(connection)
    }

    /// Sends `message` to the one recipient of `envelope`; `message` has passed [`super::wire::is_transportable`].
    ///
    /// A relay that is out of order, or refuses our session or sender, is no refusal of the mail.
    pub(super) async fn send(
        &mut self,
        envelope: &Envelope,
        message: &[u8],
        progress: &mut Progress,
    ) -> Result<(), SendError> {
        let failed = |reason| SendError::RelayFailed { reason };
        let [recipient] = envelope.to() else {
            return Err(SendError::Refused { reason: Reason::new("a mail must have exactly one recipient") });
        };
        let sender = envelope.from().map_or("", AsRef::as_ref);
        self.mails += 1;

        let reply = self.command(&format!("MAIL FROM:<{sender}>\r\n")).await.map_err(failed)?;
        if !reply.is_positive() {
            let reason = Reason::answered("the relay refused the sender", reply.status);
            // Every mail has this sender: refusing it for good is a matter of configuration, not of this mail.
            if reply.is_permanent() || self.has_ended(&reply) {
                self.broken = true;
                return Err(SendError::RelayFailed { reason });
            }
            return Err(SendError::Deferred { reason, maybe_delivered: false });
        }
        *progress = Progress::SenderAccepted;
        self.in_mail = true;

        let to: &str = recipient.as_ref();
        let reply = self.command(&format!("RCPT TO:<{to}>\r\n")).await.map_err(failed)?;
        if !reply.is_positive() {
            return Err(self.refused("the relay refused the recipient", &reply));
        }
        let reply = self.command("DATA\r\n").await.map_err(failed)?;
        if reply.status.code != 354 {
            return Err(self.refused("the relay refused to be given the content", &reply));
        }

        *progress = Progress::ContentGiven;
        let unsure = |reason| SendError::Deferred { reason, maybe_delivered: true };
        self.write(&dot_stuffed(message)).await.map_err(unsure)?;
        let reply = self.reply().await.map_err(unsure)?;
        self.in_mail = false;
        if !reply.is_positive() {
            return Err(self.refused("the relay refused the content", &reply));
        }
        Ok(())
    }

    /// Makes the connection fit for another mail; false if it is not.
    pub(super) async fn reset(&mut self) -> bool {
        if self.in_mail && !self.broken {
            match self.command("RSET\r\n").await {
                Ok(reply) if reply.is_positive() => self.in_mail = false,
                Ok(_) | Err(_) => self.broken = true,
            }
        }
        !self.broken
    }

    /// Whether the other side is still there: it has neither closed nor said anything unasked, such as 421.
    pub(super) async fn is_quiet(&mut self) -> bool {
        if !self.unread.is_empty() {
            return false;
        }
        let mut byte = [0; 1];
        let socket = &mut self.socket;
        poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(Pin::new(&mut *socket).poll_read(context, &mut buffer).is_pending())
        })
        .await
    }

    /// Says good-bye without waiting for an answer.
    pub(super) async fn quit(mut self) {
        if !self.broken && self.write(b"QUIT\r\n").await.is_ok() {
            // A failure changes nothing: the connection ends here anyway.
            let _closed = self.socket.shutdown().await;
        }
    }

    /// What a negative answer to RCPT, DATA or the content means.
    fn refused(&mut self, what: &'static str, reply: &Reply) -> SendError {
        let reason = Reason::answered(what, reply.status);
        if self.has_ended(reply) || is_about_the_session(reply.status.code) || reply.is_positive() {
            self.broken = true;
            SendError::RelayFailed { reason }
        } else if reply.is_permanent() {
            SendError::Refused { reason }
        } else {
            SendError::Deferred { reason, maybe_delivered: false }
        }
    }

    /// 421, the only code a relay may give at any moment: it closes the connection.
    fn has_ended(&mut self, reply: &Reply) -> bool {
        self.broken |= reply.status.code == 421;
        reply.status.code == 421
    }

    async fn hello(&mut self, name: &str) -> Result<Capabilities, Reason> {
        let reply = self.command(&format!("EHLO {name}\r\n")).await?;
        if !reply.is_positive() {
            return Err(Reason::answered("the relay refused our greeting", reply.status));
        }
        let mut capabilities = Capabilities::default();
        // The first line is the relay's name.
        for line in reply.lines.iter().skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => capabilities.starttls = true,
                Some("AUTH") => {
                    for mechanism in words {
                        capabilities.auth_plain |= mechanism == "PLAIN";
                        capabilities.auth_login |= mechanism == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        Ok(capabilities)
    }

    async fn start_tls(mut self, capabilities: &Capabilities, tls: &Tls) -> Result<Self, Reason> {
        if !capabilities.starttls {
            return Err(Reason::new("the relay does not offer starttls"));
        }
        let reply = self.command("STARTTLS\r\n").await?;
        if reply.status.code != 220 {
            return Err(Reason::answered("the relay refused starttls", reply.status));
        }
        if !self.unread.is_empty() {
            // Said in clear, by whoever sits between us, to be taken for the relay's first words under TLS.
            return Err(Reason::new("something was said in clear behind the relay's answer to starttls"));
        }
        self.socket = tls.connect(self.socket).await?;
        Ok(self)
    }

    async fn sign_in(
        &mut self,
        capabilities: &Capabilities,
        user: &str,
        password: &Secret<String>,
    ) -> Result<(), Reason> {
        let mut reply;
        if capabilities.auth_plain {
            let response = Secret::new(format!("\0{user}\0{}", password.expose()));
            let line = Secret::new(format!("AUTH PLAIN {}\r\n", BASE64.encode(response.expose())));
            reply = self.command(line.expose()).await?;
        } else if capabilities.auth_login {
            reply = self.command("AUTH LOGIN\r\n").await?;
            for answer in [user, password.expose()] {
                if reply.status.code == 334 {
                    let line = Secret::new(format!("{}\r\n", BASE64.encode(answer)));
                    reply = self.command(line.expose()).await?;
                }
            }
        } else {
            return Err(Reason::new("the relay offers neither auth plain nor auth login"));
        }
        if reply.status.code == 235 {
            Ok(())
        } else {
            Err(Reason::answered("the relay refused our credentials", reply.status))
        }
    }

    async fn command(&mut self, line: &str) -> Result<Reply, Reason> {
        self.write(line.as_bytes()).await?;
        self.reply().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let written = match self.socket.write_all(bytes).await {
            Ok(()) => self.socket.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| self.lost(&error))
    }

    async fn reply(&mut self) -> Result<Reply, Reason> {
        let mut lines = Vec::new();
        let mut code = None;
        loop {
            let line = self.line().await?;
            let (this, is_last) = reply_code(&line).ok_or_else(|| self.babble())?;
            if lines.len() == MOST_LINES || *code.get_or_insert(this) != this {
                return Err(self.babble());
            }
            lines.push(line.get(4..).unwrap_or_default().to_vec());
            if is_last {
                let enhanced = lines.last().and_then(|text| enhanced_code(text, this));
                return Ok(Reply { status: Status { code: this, enhanced }, lines });
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Reason> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.unread.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            if self.unread.len() > LONGEST_LINE {
                return Err(self.babble());
            }
            match self.socket.read_buf(&mut self.unread).await {
                Ok(0) => return Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    fn lost(&mut self, error: &io::Error) -> Reason {
        self.broken = true;
        match error.kind() {
            io::ErrorKind::TimedOut => Reason::new("the network lost the relay"),
            _ => Reason::new("the relay closed the connection"),
        }
    }

    fn babble(&mut self) -> Reason {
        self.broken = true;
        Reason::new("the relay does not speak smtp")
    }
}

async fn connect(host: &str, port: u16) -> Result<Box<dyn Socket>, Reason> {
    let addresses =
        lookup_host((host, port)).await.map_err(|_| Reason::new("the relay's name could not be resolved"))?;
    let mut reason = Reason::new("the relay's name has no address");
    for address in addresses {
        match timeout(CONNECT_ONE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Commands and answers alternate: with Nagle's algorithm each would wait 40 ms for a delayed acknowledgement.
                if stream.set_nodelay(true).is_ok() {
                    return Ok(Box::new(stream));
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                reason = Reason::new("the relay refused the connection");
            }
            Ok(Err(_)) => reason = Reason::new("the relay could not be reached"),
            Err(_) => reason = Reason::new("connecting to the relay took too long"),
        }
    }
    Err(reason)
}
