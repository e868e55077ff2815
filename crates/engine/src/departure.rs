//! Departures: messages that go to the courier the moment they are owed.
//!
//! Who owes a message asks first whether there is room on the courier's desk. Where there is, the message is leased in the transaction that
//! makes it owed, and goes to the courier out of memory as soon as that is durable: nobody has to look for it in the outbox, and its
//! row is written once less. Whatever happens to the process then, the row says until when the lease lasts, and after that it is
//! anybody's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Event, Observer};
use crate::outbox::Leased;

/// Where messages wait for the courier of this process, and how many it has room for.
pub struct Departures {
    board: Mutex<Board>,
    observer: Arc<dyn Observer>,
}

/// What is known about the courier.
#[derive(Default)]
struct Board {
    /// How many messages it has room for; none as long as there is no courier.
    room: usize,
    /// How many it has, or is about to have.
    taken: usize,
    /// What it has not fetched.
    waiting: Vec<(Leased, Place)>,
    /// Whether something was owed for which there was no room.
    has_owed: bool,
}

/// What the courier fetches.
#[derive(Debug)]
pub struct Fetched {
    /// Messages, each with its place, which is to be kept until it was sent.
    pub messages: Vec<(Leased, Place)>,
    /// Whether something was owed meanwhile that must be looked for in the outbox.
    pub has_owed: bool,
}

impl Departures {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Self {
        Self { board: Mutex::default(), observer }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says for how many messages there is room, those included that the courier has.
    pub fn open(&self, room: usize) {
        self.board().room = room;
    }

    /// A place for a message that is about to be owed, if there is room.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Place> {
        let mut board = self.board();
        if board.taken >= board.room {
            return None;
        }
        board.taken += 1;
        Some(Place(Arc::new(Taken(Arc::clone(self)))))
    }

    /// What was handed over since this was last called.
    pub fn fetch(&self) -> Fetched {
        let mut board = self.board();
        Fetched { messages: std::mem::take(&mut board.waiting), has_owed: std::mem::take(&mut board.has_owed) }
    }

    /// Something is owed that the courier must look for in the outbox.
    pub(crate) fn owed(&self) {
        self.board().has_owed = true;
        self.observer.observe(&Event::MessageOwed);
    }

    fn hand_over(&self, message: Option<(Leased, Place)>) {
        self.board().waiting.extend(message);
        self.observer.observe(&Event::MessageOwed);
    }
}

impl std::fmt::Debug for Departures {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Departures")
    }
}

/// Room for a message, until the last copy of this is dropped.
#[derive(Debug, Clone)]
pub struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken(Arc<Departures>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.board().taken -= 1;
    }
}

/// How a message that was decided to be owed comes to the courier.
#[derive(Debug)]
pub enum Departure {
    /// It is leased, and handed over as soon as that is durable.
    AtOnce {
        /// The message, until it is.
        message: Option<Box<Leased>>,
        /// Its place.
        place: Place,
        /// Whether it only costs what a message costs: the courier is woken, and finds nothing.
        is_decoy: bool,
    },
    /// There was no room for it: it is to be looked for in the outbox.
    Later,
}

impl Departure {
    /// It is durable: the courier may have it.
    pub(crate) fn depart(&mut self) {
        if let Self::AtOnce { message, place, is_decoy } = self
            && let Some(message) = message.take()
        {
            place.0.0.hand_over((!*is_decoy).then(|| (*message, place.clone())));
        }
    }
}
