//! What several tests need: a relay in front of a mailbox, a mail to send, and everything that was traced meanwhile.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use countersign_courier::{CodeMail, Composed, Letterhead, Relay, RelaySettings, Security, Templates, compose};
use engine::{Address, MessageId, Purpose, Secret, Timestamp};
use testkit::mailbox::{Mailbox, MailboxOptions, MailboxTls};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A code that no other text of a test holds.
pub(crate) const CODE: &str = "042817";

/// 2026-11-21T03:04:05.007Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_230_245_007);

pub(crate) fn letterhead() -> Letterhead {
    Letterhead::new("login@mail.example.com", "Example", "accounts.example.com").unwrap()
}

/// A mail with [`CODE`] to `recipient` under the Message-ID `id`.
pub(crate) fn mail(recipient: &str, id: i64) -> Composed {
    let code = Secret::new(CODE.to_owned());
    let words = CodeMail {
        purpose: Purpose::SignInOrUp,
        code: &code,
        link: None,
        minutes: 10,
        host: "accounts.example.com",
        brand: "Example",
    };
    let words = Templates::new().unwrap().render_code(&words).unwrap();
    compose(&letterhead(), &words, &Address::email(recipient).unwrap(), MessageId::new(id), NOW).unwrap()
}

/// A mailbox in clear and a relay in front of it; none where there is no Python.
pub(crate) fn plain() -> Option<(Mailbox, Relay)> {
    let mailbox = Mailbox::start(&MailboxOptions::default())?;
    let relay = Relay::new(settings(&mailbox, "127.0.0.1", Security::Plain)).unwrap();
    Some((mailbox, relay))
}

/// A mailbox with TLS, and settings that believe its authority.
pub(crate) fn secured(tls: MailboxTls, options: MailboxOptions) -> Option<(Mailbox, RelaySettings)> {
    let mailbox = Mailbox::start(&MailboxOptions { tls, ..options })?;
    let security = if tls == MailboxTls::Implicit { Security::ImplicitTls } else { Security::StartTls };
    let mut settings = settings(&mailbox, "localhost", security);
    settings.certificate_authority = mailbox.authority().map(<[u8]>::to_vec);
    Some((mailbox, settings))
}

fn settings(mailbox: &Mailbox, host: &str, security: Security) -> RelaySettings {
    RelaySettings::new(host, mailbox.port(), security)
}

/// Everything traced in this process so far, at TRACE. The first call begins.
pub(crate) fn traced() -> String {
    static TRACED: OnceLock<Traced> = OnceLock::new();
    let traced = TRACED.get_or_init(|| {
        let traced = Traced::default();
        let writer = traced.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .init();
        traced
    });
    String::from_utf8(traced.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
