//! What is done in a sequence.
//!
//! A step names sessions, identities, tickets and leases by how long ago they came to be: what comes of it depends on the steps before
//! it, and any part of a sequence is a sequence.

use std::fmt::Debug;

use engine::{
    Algorithm, DeliveryOutcome, Disclosure, IdentityState, Keeping, Naming, Purpose, ResendMode, Rotation, Strangers,
};
use proptest::prelude::*;

/// What flows are called.
pub(super) const KEYS: [&str; 3] = ["one", "two", "three"];
/// Whose addresses there are.
pub(super) const PEOPLE: [&str; 4] = ["ada", "grace", "linus", "mary"];
/// How many devices.
const DEVICES: usize = 2;

/// Who asks: the sessions of which he shows, and from which network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) session: Option<usize>,
    pub(super) network: u8,
}

/// What is brought back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Typed {
    /// The code that was last sent for the first of the flows.
    Own,
    /// The code that was sent so many messages ago.
    Old(usize),
    /// No code.
    Nonsense,
}

/// One thing that somebody does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Start(Box<Question>),
    /// Asks for a code and brings it back.
    Enter {
        key: usize,
        who: usize,
        device: Option<usize>,
    },
    /// Changes an address: asks for a code on behalf of a session, and brings it back.
    Move {
        key: usize,
        who: usize,
        which: usize,
        keeping: Keeping,
    },
    Resend {
        key: usize,
        naming: Naming,
        mode: ResendMode,
        asker: Asker,
    },
    Verify {
        keys: Vec<usize>,
        typed: Typed,
        session: bool,
        asker: Asker,
    },
    Open {
        key: usize,
        purpose: Purpose,
        device: Option<usize>,
    },
    Annotate {
        key: usize,
    },
    Register {
        who: usize,
    },
    Create {
        people: Vec<usize>,
        verified: Option<bool>,
        state: IdentityState,
    },
    Change {
        which: usize,
        people: Option<Vec<usize>>,
        verified: Option<bool>,
        state: Option<IdentityState>,
        revision: Option<i64>,
    },
    Erase {
        which: usize,
    },
    Refresh {
        which: usize,
        back: u32,
        rotation: Rotation,
    },
    EndSessions {
        which: usize,
        all: bool,
    },
    Activate {
        device: usize,
        which: usize,
    },
    SignOut {
        device: usize,
        which: Option<usize>,
    },
    PutTicket {
        identity: Option<usize>,
        seconds: u64,
    },
    TakeTicket {
        which: usize,
        is_bound: bool,
        session: bool,
    },
    Lease {
        limit: u32,
    },
    Settle {
        which: usize,
        outcome: DeliveryOutcome,
    },
    /// Leases and settles at once.
    Deliver {
        outcome: DeliveryOutcome,
    },
    /// Sweeps so much later.
    Sweep {
        milliseconds: u64,
    },
    Forgive {
        who: usize,
    },
    EmptyInbox,
    /// Reads everything that can be read of somebody.
    Look {
        who: usize,
        which: usize,
        device: usize,
    },
    AddKey {
        algorithm: Algorithm,
        slot: u32,
    },
    Claim {
        value: u8,
    },
    /// Another engine on the same store.
    Reopen,
    Wait {
        milliseconds: u64,
    },
    SetBack {
        milliseconds: u64,
    },
}

/// What is asked by a start.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) key: usize,
    pub(super) who: usize,
    pub(super) purpose: Purpose,
    pub(super) naming: Naming,
    pub(super) mode: ResendMode,
    pub(super) disclosure: Disclosure,
    pub(super) strangers: Strangers,
    pub(super) has_link: bool,
    pub(super) is_told_of: bool,
    /// Whose address it is said to be.
    pub(super) identity: Option<usize>,
    pub(super) device: Option<usize>,
    /// On behalf of which session an address is changed, whether it keeps the one that it has, and whether that is asked about itself.
    pub(super) change: (usize, Keeping, bool),
    pub(super) asker: Asker,
}

const PURPOSES: [Purpose; 7] = [
    Purpose::SignIn,
    Purpose::SignUp,
    Purpose::SignInOrUp,
    Purpose::SignInOrUp,
    Purpose::VerifyAddress,
    Purpose::ChangeAddress,
    Purpose::ChangeAddress,
];

fn one_of<T: Clone + Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(values.to_vec())
}

/// Mostly the newest.
fn back() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0_usize), 2 => Just(1_usize), 2 => 0_usize..6]
}

fn asker() -> impl Strategy<Value = Asker> {
    (prop::option::weighted(0.3, back()), 0_u8..3).prop_map(|(session, network)| Asker { session, network })
}

fn mode() -> impl Strategy<Value = ResendMode> {
    one_of(&[ResendMode::SameCode, ResendMode::NewCode])
}

fn keeping() -> impl Strategy<Value = Keeping> {
    one_of(&[Keeping::Replace, Keeping::Both])
}

fn naming() -> impl Strategy<Value = Naming> {
    one_of(&[Naming::Public, Naming::Public, Naming::Secret])
}

fn device() -> impl Strategy<Value = Option<usize>> {
    prop::option::of(0..DEVICES)
}

fn people() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..PEOPLE.len(), 0..4)
}

fn question() -> impl Strategy<Value = Question> {
    let what = (0..KEYS.len(), 0..PEOPLE.len(), one_of(&PURPOSES), naming(), mode(), asker());
    let how = (
        one_of(&[Disclosure::Uniform, Disclosure::Telling]),
        one_of(&[Strangers::Silent, Strangers::Told]),
        any::<bool>(),
        any::<bool>(),
    );
    let whose = (prop::option::weighted(0.2, back()), device(), (back(), keeping(), any::<bool>()));
    (what, how, whose).prop_map(|(what, how, (identity, device, change))| {
        let (key, who, purpose, naming, mode, asker) = what;
        let (disclosure, strangers, has_link, is_told_of) = how;
        Question {
            key,
            who,
            purpose,
            naming,
            mode,
            disclosure,
            strangers,
            has_link,
            is_told_of,
            identity,
            device,
            change,
            asker,
        }
    })
}

/// Something about flows.
fn asking() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let keys = prop_oneof![4 => key().prop_map(|key| vec![key]), 1 => prop::collection::vec(key(), 0..4)];
    let typed = prop_oneof![5 => Just(Typed::Own), 1 => back().prop_map(Typed::Old), 3 => Just(Typed::Nonsense)];
    prop_oneof![
        8 => (key(), 0..PEOPLE.len(), device()).prop_map(|(key, who, device)| Step::Enter { key, who, device }),
        3 => (key(), 0..PEOPLE.len(), back(), keeping())
            .prop_map(|(key, who, which, keeping)| Step::Move { key, who, which, keeping }),
        10 => question().prop_map(|question| Step::Start(Box::new(question))),
        4 => (key(), naming(), mode(), asker())
            .prop_map(|(key, naming, mode, asker)| Step::Resend { key, naming, mode, asker }),
        10 => (keys, typed, prop::bool::weighted(0.8), asker())
            .prop_map(|(keys, typed, session, asker)| Step::Verify { keys, typed, session, asker }),
        2 => (key(), one_of(&PURPOSES), device()).prop_map(|(key, purpose, device)| Step::Open { key, purpose, device }),
        2 => key().prop_map(|key| Step::Annotate { key }),
    ]
}

/// Something about identities, sessions, devices and tickets.
fn owning() -> impl Strategy<Value = Step> {
    let state = || prop_oneof![4 => Just(IdentityState::Active), 1 => Just(IdentityState::Inactive)];
    let verified = || prop::option::weighted(0.4, any::<bool>());
    let older = prop_oneof![5 => Just(0_u32), 2 => Just(1_u32), 1 => 2_u32..4];
    let change = (
        back(),
        prop::option::of(people()),
        verified(),
        prop::option::of(state()),
        prop::option::weighted(0.2, 0_i64..4),
    );
    prop_oneof![
        2 => (0..PEOPLE.len()).prop_map(|who| Step::Register { who }),
        3 => (people(), verified(), state()).prop_map(|(people, verified, state)| Step::Create { people, verified, state }),
        6 => change.prop_map(|(which, people, verified, state, revision)| Step::Change { which, people, verified, state, revision }),
        1 => back().prop_map(|which| Step::Erase { which }),
        8 => (back(), older, one_of(&[Rotation::On, Rotation::On, Rotation::Off]))
            .prop_map(|(which, back, rotation)| Step::Refresh { which, back, rotation }),
        2 => (back(), any::<bool>()).prop_map(|(which, all)| Step::EndSessions { which, all }),
        2 => (0..DEVICES, back()).prop_map(|(device, which)| Step::Activate { device, which }),
        1 => (0..DEVICES, prop::option::of(back())).prop_map(|(device, which)| Step::SignOut { device, which }),
        4 => (prop::option::weighted(0.9, back()), 1_u64..3_600)
            .prop_map(|(identity, seconds)| Step::PutTicket { identity, seconds }),
        6 => (back(), prop::bool::weighted(0.9), prop::bool::weighted(0.8))
            .prop_map(|(which, is_bound, session)| Step::TakeTicket { which, is_bound, session }),
    ]
}

/// Something that surfaces do not ask for.
fn upkeep() -> impl Strategy<Value = Step> {
    let reason = || "451 later".to_owned();
    let outcomes = [
        DeliveryOutcome::Sent,
        DeliveryOutcome::Deferred { reason: reason() },
        DeliveryOutcome::Refused { reason: reason() },
    ];
    let outcome = || one_of(&outcomes);
    let wait = prop_oneof![10 => 0_u64..4_000, 6 => 30_000_u64..650_000, 1 => Just(3_600_000_u64)];
    // A little more than what flows, messages and tickets are kept for, and what sessions are.
    let later = prop_oneof![2 => Just(0_u64), 2 => Just(90_000_000_u64), 1 => Just(91 * 86_400_000_u64)];
    prop_oneof![
        6 => one_of(&[0_u32, 1, 2, 100, 100]).prop_map(|limit| Step::Lease { limit }),
        2 => (back(), outcome()).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        4 => outcome().prop_map(|outcome| Step::Deliver { outcome }),
        2 => later.prop_map(|milliseconds| Step::Sweep { milliseconds }),
        1 => (0..PEOPLE.len()).prop_map(|who| Step::Forgive { who }),
        1 => Just(Step::EmptyInbox),
        3 => (0..PEOPLE.len(), back(), 0..DEVICES).prop_map(|(who, which, device)| Step::Look { who, which, device }),
        1 => (one_of(&[Algorithm::Es256, Algorithm::Rs256]), 0_u32..3)
            .prop_map(|(algorithm, slot)| Step::AddKey { algorithm, slot }),
        1 => any::<u8>().prop_map(|value| Step::Claim { value }),
        1 => Just(Step::Reopen),
        12 => wait.prop_map(|milliseconds| Step::Wait { milliseconds }),
        1 => (0_u64..7_200_000).prop_map(|milliseconds| Step::SetBack { milliseconds }),
    ]
}

/// Any step.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![5 => asking(), 4 => owning(), 4 => upkeep()]
}
