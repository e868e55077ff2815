//! The courier: takes owed messages from the outbox, makes mails of them, sends them and writes down what came of it.
//!
//! [`Courier::run`] is a loop that wakes on a signal and every second. It sends what it is handed the moment it is owed (`pile`), takes
//! from the outbox what was not handed to it, never more than it has free senders, and settles together what came of all that
//! (`round`). It promises that one failure delays one message, that a mail that may have been sent twice carries the same Message-ID
//! both times, that nothing leaves with less than a minute to live, and that mail being down stops neither the loop nor anybody else:
//! the messages stay owed. When to try again is decided by the engine.
//!
//! This is the only crate with SMTP ([`Relay`]). lettre composes ([`compose()`]); the dialogue with the relay is our own.

mod breaker;
mod compose;
mod pile;
mod round;
mod smtp;
mod template;
mod transport;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use engine::{Channel, Content, DeliveryOutcome, Engine, Leased, ProjectId};
use pile::Pile;
use round::{Round, report};
use tokio::sync::Notify;
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

/// For each sender so many messages may be handed over: what waits in memory is sent later by others if this process dies, so it is
/// not much.
const WAITING: usize = 8;

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

    /// Sends until `stop` ends, woken by `wake` and every second. Then sends what it has, for at most ten seconds, and leaves the rest
    /// owed.
    pub async fn run(self, wake: Arc<Notify>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round::default();
        let mut pile = Pile::default();
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(ended) = pile.ended() => round.settle(ended),
                Some(messages) = round.turn() => {
                    pile.add(messages);
                    if round.is_out_of_reach {
                        tick.reset();
                    }
                }
                () = wake.notified() => {}
                _ = tick.tick() => {
                    round.is_due = true;
                    self.desk.transport.tidy().await;
                }
            }
            round.settle(pile.all_ended());
            let senders = self.desk.transport.senders();
            let departures = self.desk.engine.departures();
            round.has_owed |= pile.fetch(departures);
            pile.send(&self.desk, senders);
            round.settle(pile.put_back_late(self.desk.engine.now()));
            round.begin(&self.desk.engine, senders.saturating_sub(pile.under_way()));
            // While others wait in the outbox nobody goes past them.
            departures.open(if round.has_owed { 0 } else { senders * WAITING });
        }
        self.finish(pile, round).await;
    }

    async fn finish(&self, mut pile: Pile, mut round: Round) {
        let departures = self.desk.engine.departures();
        departures.open(0);
        let senders = self.desk.transport.senders();
        let sending = timeout(STOPPING, async {
            pile.add(round.end().await);
            pile.fetch(departures);
            pile.send(&self.desk, senders);
            while let Some(ended) = pile.ended().await {
                round.settle(ended);
                pile.send(&self.desk, senders);
            }
        });
        // What has not ended by then is given up.
        let _ = sending.await;
        let (given_up, put_back) = pile.give_up().await;
        if given_up > 0 || !put_back.is_empty() {
            tracing::warn!(given_up, put_back = put_back.len(), "mails were not sent before the end and stay owed");
        }
        round.settle(put_back);
        let unsettled = round.unsettled();
        if !unsettled.is_empty()
            && let Err(error) = self.desk.engine.settle_messages(unsettled).await
        {
            report(&error);
        }
        self.desk.transport.close().await;
    }
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
