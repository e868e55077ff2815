//! Messages that are leased: those under way, and those that no sender has yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use engine::{Delivery, DeliveryOutcome, Departures, Leased, Place, Timestamp};
use tokio::task::{JoinError, JoinSet};

use crate::Desk;
use crate::smtp::DIALOGUE;

/// What is sent has its lease for this long beyond the longest dialogue.
const MARGIN: Duration = Duration::from_secs(5);

/// The messages that this courier has.
#[derive(Default)]
pub(crate) struct Pile {
    /// Those that no sender has yet, longest leased first. One that was handed over has a place.
    waiting: VecDeque<(Leased, Option<Place>)>,
    under_way: JoinSet<Delivery>,
}

impl Pile {
    /// How many are being sent.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Takes what came out of the outbox.
    pub(crate) fn add(&mut self, messages: Vec<Leased>) {
        self.waiting.extend(messages.into_iter().map(|message| (message, None)));
    }

    /// Takes what was handed over, and says whether something must be looked for in the outbox.
    pub(crate) fn fetch(&mut self, departures: &Departures) -> bool {
        let fetched = departures.fetch();
        self.waiting.extend(fetched.messages.into_iter().map(|(message, place)| (message, Some(place))));
        fetched.has_owed
    }

    /// Gives messages to those of `senders` that have nothing to do.
    pub(crate) fn send(&mut self, desk: &Arc<Desk>, senders: usize) {
        while self.under_way.len() < senders {
            let Some((message, place)) = self.waiting.pop_front() else { return };
            let desk = Arc::clone(desk);
            self.under_way.spawn(async move {
                let outcome = desk.deliver(&message).await;
                drop(place);
                Delivery { id: message.id, lease: message.lease, outcome }
            });
        }
    }

    /// Waits until a sender has ended, and gives what it brought back; none where no sender has anything to do.
    pub(crate) async fn ended(&mut self) -> Option<Option<Delivery>> {
        self.under_way.join_next().await.map(delivery)
    }

    /// What all senders brought back that have ended.
    pub(crate) fn all_ended(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.under_way.try_join_next()).filter_map(delivery).collect()
    }

    /// Takes out what has waited so long that its lease might end while it is sent.
    pub(crate) fn put_back_late(&mut self, now: Timestamp) -> Vec<Delivery> {
        let is_late = |(message, _): &mut (Leased, _)| message.lease < now.plus(DIALOGUE + MARGIN);
        std::iter::from_fn(|| self.waiting.pop_front_if(is_late))
            .map(|(message, _)| put_back(&message, "no sender became free in time"))
            .collect()
    }

    /// Gives up what is under way, whose leases end by themselves, and takes out all that waits. Says how much was under way.
    pub(crate) async fn give_up(&mut self) -> (usize, Vec<Delivery>) {
        let given_up = self.under_way.len();
        self.under_way.shutdown().await;
        let waiting =
            self.waiting.drain(..).map(|(message, _)| put_back(&message, "the courier stopped before it was sent"));
        (given_up, waiting.collect())
    }
}

/// A message that nobody has tried to send stays owed.
fn put_back(message: &Leased, reason: &str) -> Delivery {
    let outcome = DeliveryOutcome::Deferred { reason: reason.to_owned() };
    Delivery { id: message.id, lease: message.lease, outcome }
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
