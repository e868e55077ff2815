//! An attacker: what strangers try against one address or many, as data, and what comes of it on the real binary.
//!
//! [`STRATEGIES`] says what is tried, [`surfaces`] through what, [`play`] does it and says how it ended. A surface more is one
//! more [`Surface`]; a strategy more is one more entry.

mod play;
mod surface;

use std::time::Duration;

pub use play::play;
pub use surface::{Asked, Caller, Guessed, Reply, Surface, surfaces};

/// Where an attacker's requests come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Networks {
    /// Always the same address.
    One,
    /// Each from the next of so many.
    Many(u32),
    /// Each from another address of one IPv6 /64.
    Within64,
}

/// What happens when half of the waves are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// The owner signs in.
    OwnerSignsIn,
    /// The server is killed, and starts again.
    Kill,
}

/// What an attacker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Nothing.
    Nothing,
    /// What shows that the owner's device is known; he shows it with every other guess.
    KnownDevice,
}

/// What an attacker does.
#[derive(Debug, Clone, Copy)]
pub struct Strategy {
    /// Its name.
    pub name: &'static str,
    /// How many addresses: the first is the owner's, the others nobody's.
    pub victims: u32,
    /// From where.
    pub networks: Networks,
    /// How many flows he asks for at each address, over all surfaces by turns. With none, he guesses at what the owner asked for.
    pub flows: u32,
    /// How often he does all of it.
    pub waves: u32,
    /// How often he asks again in each.
    pub resends: u32,
    /// How many codes he tries in each.
    pub guesses: u32,
    /// How many requests at a time.
    pub at_once: u32,
    /// What happens meanwhile.
    pub between: Between,
    /// What he has.
    pub holds: Holds,
}

const QUIET: Strategy = Strategy {
    name: "",
    victims: 1,
    networks: Networks::One,
    flows: 1,
    waves: 1,
    resends: 0,
    guesses: 0,
    at_once: 1,
    between: Between::Nothing,
    holds: Holds::Nothing,
};

/// What is tried.
pub const STRATEGIES: [Strategy; 14] = [
    Strategy { name: "one flow, to its end", guesses: 20, ..QUIET },
    Strategy { name: "one flow, 64 at a time", guesses: 192, at_once: 64, ..QUIET },
    Strategy { name: "many flows", flows: 5, guesses: 5, waves: 8, ..QUIET },
    Strategy { name: "many flows, 64 at a time", flows: 64, guesses: 4, waves: 2, at_once: 64, ..QUIET },
    Strategy { name: "resend loops", flows: 4, resends: 8, guesses: 5, waves: 2, ..QUIET },
    Strategy { name: "verify without start", flows: 0, guesses: 40, ..QUIET },
    Strategy { name: "200 networks", networks: Networks::Many(200), flows: 200, guesses: 2, at_once: 8, ..QUIET },
    Strategy { name: "rotation in a /64", networks: Networks::Within64, flows: 100, guesses: 2, at_once: 8, ..QUIET },
    Strategy { name: "success in between", flows: 10, guesses: 3, waves: 4, between: Between::OwnerSignsIn, ..QUIET },
    Strategy {
        name: "SIGKILL in between",
        flows: 10,
        guesses: 3,
        waves: 2,
        at_once: 8,
        between: Between::Kill,
        ..QUIET
    },
    Strategy {
        name: "with a stolen device proof",
        flows: 10,
        guesses: 3,
        waves: 4,
        holds: Holds::KnownDevice,
        ..QUIET
    },
    Strategy { name: "start-storm", networks: Networks::Many(1_000), flows: 1_000, at_once: 64, ..QUIET },
    Strategy { name: "start-storm from two networks", networks: Networks::Many(2), flows: 100, at_once: 8, ..QUIET },
    Strategy { name: "spray", victims: 10_000, networks: Networks::Many(200), guesses: 1, at_once: 64, ..QUIET },
];

impl Strategy {
    /// From how many networks it comes.
    pub const fn networks(&self) -> u32 {
        match self.networks {
            Networks::One | Networks::Within64 => 1,
            Networks::Many(many) => many,
        }
    }
}

/// What limits there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Those of `countersign serve`.
    Production,
    /// As many messages as anybody asks for: what alone holds is what may be guessed.
    SendingLifted,
}

/// How the owner came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// With a code of so many symbols, after so many steps: asking, waiting half a minute, typing.
    In {
        /// The steps.
        steps: u32,
        /// How long the code was.
        length: usize,
    },
    /// Not before so long.
    TooSoon(Duration),
    /// The code was not taken.
    Refused,
}

/// What came of a strategy.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Codes that he tried.
    pub tried: u64,
    /// Wrong guesses that were compared with a short code.
    pub short: u64,
    /// The same with a long one.
    pub long: u64,
    /// Codes he guessed.
    pub guessed: u64,
    /// Messages that went out, over all addresses, decoys too.
    pub messages: u64,
    /// Mails that the owner got because of him.
    pub mails: u64,
    /// Whether the project's cap was reached and told.
    pub is_capped: bool,
    /// Whether the breaker opened.
    pub is_broken: bool,
    /// The owner, from a device she was signed in on before.
    pub known: Entry,
    /// The owner, from another one.
    pub new: Entry,
}
