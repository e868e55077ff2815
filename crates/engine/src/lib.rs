//! The verification engine: somebody claims an address, a code is sent to it, he brings it back, and that is countersigned.
//!
//! A surface opens a [`Flow`] by starting a challenge ([`Engine::start_challenge`]); the code that is sent is derived from the flow's
//! row and a key, and only its digest is stored. Bringing it back ([`Engine::verify`]) counts the guess, compares, and does what the
//! flow's [`Purpose`] says, all in one operation of the [`Store`]. An operation loads what it must see under lock, a pure
//! `decide` says what happens (`verification.rs` is the page to read first), and the store applies it and commits.
//!
//! Everything a caller can do wrong is a [`Refusal`]; everything that is ours to mend is a [`Fault`]. Time, randomness and ids are
//! given, never taken. There is no HTTP in here, no SQL, no SMTP and no runtime.

#![warn(missing_docs)]

mod address;
mod asking;
mod breaker;
mod budget;
mod cap;
mod challenge;
mod change;
mod code;
mod departure;
mod device;
mod engine;
mod env;
mod error;
mod event;
mod flow;
mod id;
mod identity;
mod opening;
mod outbox;
mod project;
mod register;
mod secret;
mod session;
mod store;
mod ticket;
mod token;
mod verification;

pub use address::{Address, Channel};
pub use asking::{Asking, Breaker, FlowEnd, RENEWAL, REPEAT, ResendMode, Strangers};
pub use budget::{
    Budget, DeviceProof, GuessLog, KNOWN_FOR, LONG_GUESSES, Prover, SHORT_GUESSES, SIGN_INS_SEEN, SendLimit, SendLog,
    Sent, Spent,
};
pub use cap::Network;
pub use challenge::{Change, Disclosure, Keeping, Naming, Resend, Start, StartOutcome, StartSeen};
pub use change::{ChangeIdentity, ChangeSeen, EraseIdentity, IdentityChange, WantedAddress};
pub use code::{Alphabet, CodeFormat, Form};
pub use departure::{Departure, Departures, Fetched, Place};
pub use device::{ChangeDevice, Device, DeviceChange, DeviceView, FLOWS_SHOWN};
pub use engine::{
    Attempt, Client, Context, Engine, NewChallenge, NewFlow, NewIdentity, NewTicket, OpenError, Parts, Started, Taking,
};
pub use env::{Clock, Entropy, Env, IdGen, SystemClock, SystemEntropy, Timestamp};
pub use error::{BoxError, Error, Fault, Refusal, Result, StoreError};
pub use event::{ChallengeOutcome, Deaf, Event, Observer, VerificationOutcome};
pub use flow::{Challenge, Flow, FlowState, Handle, Purpose, UNLIMITED};
pub use id::{AddressId, DeviceId, FlowId, IdentityId, MessageId, SessionId};
pub use identity::{Account, Identity, IdentityState, Owner, VerifiableAddress};
pub use opening::{Annotate, OpenFlow};
pub use outbox::{
    CODE_IN_LINK, Content, Delivery, DeliveryOutcome, LEASE, LEAST_LIFE, LOOK_AHEAD, Lease, Leased, Leases,
    MessageKind, MessageState, NOTICE_LIFE, OutboxMessage, Settle, Shown, back_off,
};
pub use project::{MOST_ATTEMPTS, Policy, Project, ProjectId, Projects};
pub use register::{Register, Registered};
pub use secret::{Digest, KeyId, Keys, MasterKey, Secret};
pub use session::{Caller, EndSessions, GRACE, Refresh, RefreshOutcome, Rotation, Session, SessionTerms, Sessions};
pub use store::{Decision, MessageQuery, Operation, OutboxDepth, Reply, Store, Swept, Write};
pub use ticket::{TakeTicket, Taken, Ticket, TicketSeen};
pub use token::{Algorithm, SealedKey, Times};
pub use verification::{Budgets, FlowSeen, Verified, Verify, VerifyOutcome, VerifySeen};
