//! Which way mails leave: through relays in order of preference, or not at all.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::{Breaker, Standing};
use crate::compose::Composed;
use crate::smtp::{DIALOGUE, Reason, Relay, SendError};

/// Mails that the inbox "sends" at once.
const INBOX_SENDERS: usize = 64;

/// A relay that takes a mail after this long is slow: if there is another, that one has its turn.
const SLOW: Duration = Duration::from_secs(15);

/// With less of the dialogue's time left than this, no further relay is begun with.
const WORTH_BEGINNING: Duration = Duration::from_secs(5);

/// A way for mails to leave.
pub struct Transport(Way);

enum Way {
    Inbox,
    Relays(Vec<Guarded>),
}

/// A relay and its breaker.
struct Guarded {
    relay: Relay,
    breaker: Mutex<Breaker>,
}

impl Guarded {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mail under way at a relay. Given up, it leaves the relay free to be tried again.
struct UnderWay<'a> {
    guarded: &'a Guarded,
    began: Instant,
    finished: bool,
}

impl UnderWay<'_> {
    fn end(mut self, works: bool) {
        self.finished = true;
        let mut breaker = self.guarded.breaker();
        if works {
            breaker.succeed();
        } else {
            breaker.fail(self.began, Instant::now());
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.guarded.breaker().abandon();
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Inbox => formatter.write_str("Inbox"),
            Way::Relays(relays) => formatter.debug_list().entries(relays.iter().map(|it| it.relay.name())).finish(),
        }
    }
}

impl Transport {
    /// Takes every mail and sends none: in development the inbox shows what is in the outbox.
    pub const fn inbox() -> Self {
        Self(Way::Inbox)
    }

    /// Sends through the first of `relays` that works. Without any, every mail stays owed.
    pub fn relays(relays: impl IntoIterator<Item = Relay>) -> Self {
        let guard = |relay| Guarded { relay, breaker: Mutex::default() };
        Self(Way::Relays(relays.into_iter().map(guard).collect()))
    }

    /// How many mails may be under way at this moment: none while every relay rests.
    pub(crate) fn senders(&self) -> usize {
        match &self.0 {
            Way::Inbox => INBOX_SENDERS,
            Way::Relays(relays) => {
                let now = Instant::now();
                relays
                    .iter()
                    .map(|guarded| match guarded.breaker().standing(now) {
                        Standing::Works => guarded.relay.senders(),
                        Standing::MayBeTried => 1,
                        Standing::Rests => 0,
                    })
                    .find(|senders| *senders > 0)
                    .unwrap_or(0)
            }
        }
    }

    /// Sends `mail` through the first relay that works, within the time of one dialogue.
    ///
    /// A relay that is out of order hands over to the next; one that has refused or put off *this* mail, or may have taken it, does
    /// not: the mail would go out twice.
    pub(crate) async fn send(&self, mail: &Composed) -> Result<(), SendError> {
        let Way::Relays(relays) = &self.0 else { return Ok(()) };
        let deadline = Instant::now() + DIALOGUE;
        let mut outcome = Err(SendError::RelayFailed { reason: Reason::new("no relay is in order") });
        for guarded in relays {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            if left < WORTH_BEGINNING || !guarded.breaker().begin(began) {
                continue;
            }
            let under_way = UnderWay { guarded, began, finished: false };
            outcome = guarded.relay.send_within(left, &mail.envelope, &mail.content).await;
            let is_slow = relays.len() > 1 && began.elapsed() > SLOW;
            match outcome {
                Ok(()) | Err(SendError::Refused { .. } | SendError::Deferred { maybe_delivered: false, .. }) => {
                    under_way.end(!is_slow);
                    return outcome;
                }
                Err(SendError::Deferred { maybe_delivered: true, .. }) => {
                    under_way.end(false);
                    return outcome;
                }
                Err(SendError::RelayFailed { reason }) => {
                    under_way.end(false);
                    tracing::warn!(relay.name = guarded.relay.name(), %reason, "a relay is out of order");
                }
            }
        }
        outcome
    }

    /// Ends connections that are not used any more.
    pub(crate) async fn tidy(&self) {
        if let Way::Relays(relays) = &self.0 {
            for guarded in relays {
                guarded.relay.tidy().await;
            }
        }
    }

    /// Ends all connections.
    pub(crate) async fn close(&self) {
        if let Way::Relays(relays) = &self.0 {
            for guarded in relays {
                guarded.relay.close().await;
            }
        }
    }
}
