//! The courier: takes owed messages from the outbox, makes mails of them, sends them and writes down what came of it.
//!
//! [`Courier::run`] is a loop that wakes on a signal and every second, leases no more messages than it has free senders, sends them
//! at the same time and settles them together. It promises that one failure delays one message, that a mail that may have been sent
//! twice carries the same Message-ID both times, that nothing leaves with less than a minute to live, and that mail being down stops
//! neither the loop nor anybody else: the messages stay owed. When to try again is decided by the engine.
//!
//! This is the only crate with SMTP ([`Relay`]). lettre composes ([`compose()`]); the dialogue with the relay is our own.

mod breaker;
mod compose;
mod smtp;
mod template;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::{Channel, Content, Delivery, DeliveryOutcome, Engine, Leased, ProjectId};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use compose::{ComposeError, Composed, Letterhead, compose};
pub use smtp::{
    DIALOGUE, LOCAL_SENDERS, Reason, Relay, RelayError, RelaySettings, RelayUrlError, SENDERS, Security, SendError,
    SmtpScheme, Status,
};
pub use template::{CodeMail, Rendered, TemplateError, Templates, minutes_left};
pub use transport::Transport;

/// How often the outbox is looked at without being told.
const TICK: Duration = Duration::from_secs(1);

/// When told to stop, mails under way have this long to end. What has not is sent again later, under the same Message-ID.
const STOPPING: Duration = Duration::from_secs(10);

/// What sending needs, shared by all mails under way.
struct Desk {
    engine: Arc<Engine>,
    transport: Transport,
    templates: Templates,
    letterhead: Letterhead,
    others: HashMap<ProjectId, Letterhead>,
}

/// Sends what the outbox owes. One per process; several processes on one database share the work by leases.
pub struct Courier {
    desk: Arc<Desk>,
}

impl fmt::Debug for Courier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Courier").field("transport", &self.desk.transport).finish_non_exhaustive()
    }
}

impl Courier {
    /// A courier for the outbox of `engine`. Projects that are not among `others` write under `letterhead`.
    pub fn new(
        engine: Arc<Engine>,
        transport: Transport,
        templates: Templates,
        letterhead: Letterhead,
        others: HashMap<ProjectId, Letterhead>,
    ) -> Self {
        Self { desk: Arc::new(Desk { engine, transport, templates, letterhead, others }) }
    }

    /// Sends until `stop` ends, woken by `wake` and every second. Then finishes what is under way, for at most ten seconds, and
    /// leaves the rest owed.
    pub async fn run(self, wake: Arc<Notify>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        let mut unsettled = Vec::new();
        let mut is_in_reach = true;
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => unsettled.extend(delivery(ended)),
                () = wake.notified() => {}
                _ = tick.tick() => self.desk.transport.tidy().await,
            }
            while let Some(ended) = under_way.try_join_next() {
                unsettled.extend(delivery(ended));
            }
            // Asked for together, the two are one commit of the store. What is being settled is leased, so it is not leased again.
            let (settled, leased) = tokio::join!(self.settle(&mut unsettled), self.lease(&mut under_way));
            match settled.and(leased) {
                Ok(()) if is_in_reach => {}
                Ok(()) => {
                    is_in_reach = true;
                    tracing::info!("the outbox is within reach again");
                }
                Err(error) => {
                    if is_in_reach {
                        report(&error);
                    }
                    is_in_reach = false;
                    // The next signal might come at once, and the store needs a moment.
                    tick.reset();
                    tokio::select! {
                        () = &mut stop => break,
                        _ = tick.tick() => {}
                    }
                }
            }
        }
        self.finish(under_way, unsettled).await;
    }

    /// Takes as many messages as there are free senders, and sends them.
    async fn lease(&self, under_way: &mut JoinSet<Delivery>) -> engine::Result<()> {
        let free = self.desk.transport.senders().saturating_sub(under_way.len());
        let Ok(limit @ 1..) = u32::try_from(free) else { return Ok(()) };
        for message in self.desk.engine.lease_messages(limit).await? {
            let desk = Arc::clone(&self.desk);
            under_way.spawn(async move {
                let outcome = desk.deliver(&message).await;
                Delivery { id: message.id, lease: message.lease, outcome }
            });
        }
        Ok(())
    }

    /// Writes down what came of deliveries. What could not be written is kept, and tried again.
    async fn settle(&self, unsettled: &mut Vec<Delivery>) -> engine::Result<()> {
        if !unsettled.is_empty() {
            self.desk.engine.settle_messages(unsettled.clone()).await?;
            unsettled.clear();
        }
        Ok(())
    }

    async fn finish(&self, mut under_way: JoinSet<Delivery>, mut unsettled: Vec<Delivery>) {
        let all_ended = timeout(STOPPING, async {
            while let Some(ended) = under_way.join_next().await {
                unsettled.extend(delivery(ended));
            }
        });
        if all_ended.await.is_err() {
            tracing::warn!(mails = under_way.len(), "mails were given up on the way and stay owed");
        }
        under_way.shutdown().await;
        if let Err(error) = self.settle(&mut unsettled).await {
            report(&error);
        }
        self.desk.transport.close().await;
    }
}

/// What a sender brought back. One that panicked brings nothing: its lease ends, and the message is sent again.
fn delivery(ended: Result<Delivery, JoinError>) -> Option<Delivery> {
    if let Err(error) = &ended
        && error.is_panic()
    {
        tracing::error!("a sender panicked; its message is sent again when its lease has ended");
    }
    ended.ok()
}

impl Desk {
    /// Makes a mail of `message` and sends it.
    async fn deliver(&self, message: &Leased) -> DeliveryOutcome {
        let mail = match self.write(message) {
            Ok(mail) => mail,
            Err(outcome) => return outcome,
        };
        let Err(error) = self.transport.send(&mail).await else {
            tracing::debug!(message.id = message.id.get(), attempts = message.attempts, "a mail was sent");
            return DeliveryOutcome::Sent;
        };
        let reason = error.to_string();
        tracing::warn!(message.id = message.id.get(), attempts = message.attempts, reason, "a mail was not sent");
        match error {
            SendError::Refused { .. } => DeliveryOutcome::Refused { reason },
            SendError::Deferred { .. } | SendError::RelayFailed { .. } => DeliveryOutcome::Deferred { reason },
        }
    }

    /// The mail, or what becomes of a message that none can be made of.
    fn write(&self, message: &Leased) -> Result<Composed, DeliveryOutcome> {
        let now = self.engine.now();
        // The engine looked when it leased the message; the task may have had to wait since.
        if !message.is_worth_sending(now) {
            return Err(DeliveryOutcome::Deferred { reason: "the code has too little left to live".to_owned() });
        }
        if message.recipient.channel() != Channel::Email {
            return Err(DeliveryOutcome::Deferred { reason: "no transport for this channel".to_owned() });
        }
        let letterhead = self.others.get(&message.project).unwrap_or(&self.letterhead);
        let failed = |error: &dyn fmt::Display| {
            let reason = error.to_string();
            tracing::error!(message.id = message.id.get(), reason, "a mail could not be written");
            DeliveryOutcome::Deferred { reason }
        };
        let (host, brand) = (letterhead.host(), letterhead.brand());
        let words = match &message.content {
            Content::Code { code, link } => self.templates.render_code(&CodeMail {
                purpose: message.purpose,
                code,
                link: link.as_ref(),
                minutes: minutes_left(now, message.not_after),
                host,
                brand,
            }),
            Content::NoAccount => self.templates.render_no_account(host, brand),
            Content::AddressReplaced { by } => {
                self.templates.render_address_replaced(by, message.created_at, host, brand)
            }
        };
        let words = words.map_err(|error| failed(&error))?;
        compose(letterhead, &words, &message.recipient, message.id, now).map_err(|error| failed(&error))
    }
}

fn report(error: &engine::Error) {
    match error {
        engine::Error::Failed(fault) => tracing::error!(fault = fault.report(), "the outbox is out of reach"),
        engine::Error::Refused { refusal, .. } => tracing::error!(?refusal, "the outbox is out of reach"),
    }
}
