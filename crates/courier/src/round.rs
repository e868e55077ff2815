//! Rounds to the outbox: what came of deliveries is written down, and what is owed is taken.
//!
//! One round at a time, while mails are under way; what ends meanwhile is settled together in the next. Nothing is lost where the outbox
//! is out of reach: what could not be settled is kept, and tried again with the next tick of the courier.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use engine::{Delivery, Engine, Leased};
use tokio::time::{Instant, sleep_until};

/// So long what came of a delivery may wait for others, which cost next to nothing when they are written down together. If the process
/// dies meanwhile, the mail goes out again, under the same Message-ID.
const SETTLING: Duration = Duration::from_millis(20);

/// With so many of them there is no waiting any more.
const TOGETHER: usize = 64;

/// The round that is under way, and what waits for the next.
#[derive(Default)]
pub(crate) struct Round {
    /// What came of deliveries, to be written down.
    unsettled: Vec<Delivery>,
    /// When the first of these came to an end.
    since: Option<Instant>,
    /// Whether something is owed that has to be taken from the outbox.
    pub(crate) has_owed: bool,
    /// Whether it is time to look without being told, and to try again what failed.
    pub(crate) is_due: bool,
    /// Whether the outbox was out of reach the last time.
    pub(crate) is_out_of_reach: bool,
    under_way: Option<Pin<Box<dyn Future<Output = Booked> + Send>>>,
}

/// What came of a round.
struct Booked {
    unsettled: Vec<Delivery>,
    settled: engine::Result<()>,
    /// What was taken, if anybody looked.
    leased: Option<engine::Result<Vec<Leased>>>,
    /// At most how many.
    limit: usize,
}

impl Round {
    /// Has what came of deliveries written down in one of the next rounds.
    pub(crate) fn settle(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        self.unsettled.extend(deliveries);
        if !self.unsettled.is_empty() && self.since.is_none() {
            self.since = Some(Instant::now());
        }
    }

    /// What was not written down.
    pub(crate) fn unsettled(self) -> Vec<Delivery> {
        self.unsettled
    }

    /// Whether there is so much to be written down, or something for so long, that it is done.
    fn settles(&self) -> bool {
        self.unsettled.len() >= TOGETHER || self.since.is_some_and(|since| since.elapsed() >= SETTLING)
    }

    /// Begins a round if there is something to do in it; `free` senders have nothing to do.
    pub(crate) fn begin(&mut self, engine: &Arc<Engine>, free: usize) {
        let limit = if self.has_owed || self.is_due { free } else { 0 };
        if !self.may_begin() || (!self.settles() && limit == 0) {
            return;
        }
        if limit > 0 {
            (self.has_owed, self.is_due) = (false, false);
        }
        let unsettled = mem::take(&mut self.unsettled);
        self.since = None;
        self.under_way = Some(Box::pin(book(Arc::clone(engine), unsettled, limit)));
    }

    /// Waits until the round that is under way has ended, and gives what is to be sent, or until it is time for another; none where
    /// neither will be.
    pub(crate) async fn turn(&mut self) -> Option<Vec<Leased>> {
        if let Some(under_way) = &mut self.under_way {
            let booked = under_way.await;
            self.under_way = None;
            return Some(self.note(booked));
        }
        let since = self.since.filter(|_| self.may_begin())?;
        sleep_until(since + SETTLING).await;
        Some(Vec::new())
    }

    /// Ends the round that is under way, and gives what is to be sent.
    pub(crate) async fn end(&mut self) -> Vec<Leased> {
        match self.under_way.take() {
            Some(under_way) => self.note(under_way.await),
            None => Vec::new(),
        }
    }

    /// Whether a round may begin: the store needs a moment once it was out of reach.
    fn may_begin(&self) -> bool {
        self.under_way.is_none() && (self.is_due || !self.is_out_of_reach)
    }

    /// Takes note of what came of a round, and gives what is to be sent.
    fn note(&mut self, booked: Booked) -> Vec<Leased> {
        let Booked { unsettled, settled, leased, limit } = booked;
        let mut failure = settled.err();
        if failure.is_some() {
            self.settle(unsettled);
        }
        let messages = match leased {
            None => Vec::new(),
            Some(Ok(messages)) => {
                // There may be more.
                self.has_owed |= messages.len() >= limit;
                messages
            }
            Some(Err(error)) => {
                self.has_owed = true;
                failure = Some(error);
                Vec::new()
            }
        };
        match failure {
            None if self.is_out_of_reach => tracing::info!("the outbox is within reach again"),
            Some(ref error) if !self.is_out_of_reach => report(error),
            None | Some(_) => {}
        }
        self.is_out_of_reach = failure.is_some();
        self.is_due &= failure.is_none();
        messages
    }
}

/// Settles and takes. Asked for together, the two are one commit of the store. What is being settled is leased, so it is not leased again.
async fn book(engine: Arc<Engine>, unsettled: Vec<Delivery>, limit: usize) -> Booked {
    let settle = async { if unsettled.is_empty() { Ok(()) } else { engine.settle_messages(unsettled.clone()).await } };
    let lease = async {
        match u32::try_from(limit) {
            Ok(limit @ 1..) => Some(engine.lease_messages(limit).await),
            _ => None,
        }
    };
    let (settled, leased) = tokio::join!(settle, lease);
    Booked { unsettled, settled, leased, limit }
}

/// Says that the outbox is out of reach.
pub(crate) fn report(error: &engine::Error) {
    match error {
        engine::Error::Failed(fault) => tracing::error!(fault = fault.report(), "the outbox is out of reach"),
        engine::Error::Refused { refusal, .. } => tracing::error!(?refusal, "the outbox is out of reach"),
    }
}
