//! Whatever is asked and answered, in whatever order: what always holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{
    AddressId, Annotate, CodeFormat, EraseIdentity, Flow, FlowId, FlowState, Handle, Identity, IdentityId,
    IdentityState, MessageKind, MessageState, Naming, OpenFlow, Purpose, Refusal, Register, ResendMode, SendLimit,
    StartOutcome, Timestamp, UNLIMITED, VerifiableAddress, VerifyOutcome,
};
use proptest::prelude::*;

use crate::memory::Memory;
use crate::support::*;

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Step {
    Start {
        key: usize,
        who: usize,
        purpose: Purpose,
        naming: Naming,
        mode: ResendMode,
    },
    Resend {
        key: usize,
        mode: ResendMode,
    },
    /// Brings back the code that was sent `back` messages ago to anybody, in any flow.
    Try {
        key: usize,
        back: usize,
    },
    Guess {
        key: usize,
    },
    /// Opens a flow, unless one is called so already: only its owner could name it.
    Open {
        key: usize,
        purpose: Purpose,
    },
    Annotate {
        key: usize,
    },
    Register {
        who: usize,
    },
    Erase {
        who: usize,
    },
    Wait {
        milliseconds: u64,
    },
}

const KEYS: [&str; 3] = ["one", "two", "three"];
const PEOPLE: [&str; 2] = ["ada", "grace"];
/// Nobody says from where he asks, so that what one network may does not count.
const LIMIT: SendLimit = SendLimit {
    apart: Duration::from_secs(1),
    per_hour: 20,
    per_day: 60,
    per_hour_and_network: 1,
    per_day_and_network: 1,
    network: 1,
    project: 1,
};
/// As long as a short code can be, so that no two codes of a run are the same by chance.
const FORMAT: CodeFormat = CodeFormat { length: 9, ..CodeFormat::SIX_DIGITS };

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS.len();
    let who = 0..PEOPLE.len();
    let purpose = prop::sample::select(PURPOSES.to_vec());
    let naming = prop::sample::select(vec![Naming::Public, Naming::Secret]);
    let mode = || prop::sample::select(vec![ResendMode::SameCode, ResendMode::NewCode]);
    let wait = prop_oneof![0_u64..5_000, 60_000_u64..700_000, Just(3_600_000_u64)];
    prop_oneof![
        4 => (key.clone(), who.clone(), purpose.clone(), naming, mode())
            .prop_map(|(key, who, purpose, naming, mode)| Step::Start { key, who, purpose, naming, mode }),
        3 => (key.clone(), mode()).prop_map(|(key, mode)| Step::Resend { key, mode }),
        4 => (key.clone(), 0_usize..4).prop_map(|(key, back)| Step::Try { key, back }),
        4 => key.clone().prop_map(|key| Step::Guess { key }),
        1 => (key.clone(), purpose).prop_map(|(key, purpose)| Step::Open { key, purpose }),
        1 => key.prop_map(|key| Step::Annotate { key }),
        2 => who.clone().prop_map(|who| Step::Register { who }),
        1 => who.prop_map(|who| Step::Erase { who }),
        4 => wait.prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

/// What is remembered of a run, to hold the next step against.
#[derive(Default)]
struct Run {
    memory: Memory,
    now: Timestamp,
    /// Codes in the order they were sent.
    sent: Vec<String>,
    /// Guesses evaluated, wrong or right, by flow.
    evaluated: BTreeMap<FlowId, u32>,
    passed_flows: BTreeSet<FlowId>,
    passed_codes: BTreeSet<String>,
    attempts: BTreeMap<FlowId, u8>,
    /// When short codes of an address were missed.
    missed: BTreeMap<String, Vec<Timestamp>>,
    erased: BTreeSet<IdentityId>,
    /// When messages were owed to each, decoys too.
    owed: BTreeMap<usize, Vec<Timestamp>>,
}

impl Run {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Start { key, who, purpose, naming, mode } => {
                let mut operation = start(self.now, KEYS[key], purpose, &address(PEOPLE[who]));
                operation.naming = naming;
                operation.asking.mode = mode;
                operation.asking.send_limit = Some(LIMIT);
                operation.format = FORMAT;
                let before = self.memory.flow(&operation.handle).cloned();
                let outcome = self.memory.start(&operation);
                if let (Some(before), Naming::Secret) = (before, naming) {
                    let is_same = self.memory.flow(&operation.handle).is_some_and(|it| it.id == before.id);
                    assert!(is_same, "a flow that only its owner can name is never replaced");
                }
                self.asked(&operation.handle, &outcome);
            }
            Step::Resend { key, mode } => {
                let mut operation = resend(self.now, KEYS[key], mode);
                operation.asking.send_limit = Some(LIMIT);
                let before = self.memory.flow(&operation.handle).cloned();
                let outcome = self.memory.resend(&operation);
                if let (Some(before), StartOutcome::Started { flow: after, .. }) = (before, &outcome) {
                    self.resent(challenge(&before), challenge(after), mode, before.identity == after.identity);
                }
                self.asked(&operation.handle, &outcome);
            }
            Step::Try { key, back } => {
                let code = self.sent.iter().rev().nth(back).cloned();
                self.verify(KEYS[key], &code.unwrap_or_else(|| "0".to_owned()));
            }
            Step::Guess { key } => self.verify(KEYS[key], "1"),
            Step::Open { key, purpose } => self.open(KEYS[key], purpose),
            Step::Annotate { key } => {
                let operation = Annotate { handle: handle(KEYS[key]), memo: self.now.millis().to_string() };
                let before = self.memory.flow(&operation.handle).cloned();
                let answer = self.memory.annotate(&operation);
                assert_eq!(answer.is_ok(), before.is_some());
                let noted = before.map(|before| Flow { memo: Some(operation.memo.clone()), ..before });
                assert_eq!(self.memory.flow(&operation.handle).cloned(), noted, "a note changes nothing else");
            }
            Step::Register { who } => self.register(who),
            Step::Erase { who } => self.erase(who),
            Step::Wait { milliseconds } => self.now = self.now.plus(Duration::from_millis(milliseconds)),
        }
        self.assert_sound();
    }

    fn open(&mut self, key: &str, purpose: Purpose) {
        if self.memory.flow(&handle(key)).is_some() {
            return;
        }
        let mut sample = asked(key, purpose, &address(PEOPLE[0]), None);
        (sample.state, sample.challenge, sample.identity) = (FlowState::Open, None, None);
        (sample.issued_at, sample.expires_at) = (self.now, self.now.plus(FLOW_LIFE));
        self.memory.open_flow(&OpenFlow { flow: sample });
    }

    fn erase(&mut self, who: usize) {
        let Some(owner) = self.memory.owner(&project(), &address(PEOPLE[who])) else { return };
        let operation = EraseIdentity { now: self.now, project: project(), id: owner.identity.id };
        self.memory.erase_identity(&operation).unwrap();
        self.erased.insert(owner.identity.id);
    }

    fn register(&mut self, who: usize) {
        let identity = Identity {
            id: IdentityId::new(id()),
            project: project(),
            state: IdentityState::Active,
            traits: "{}".to_owned(),
            metadata: "{}".to_owned(),
            revision: 1,
            created_at: self.now,
            updated_at: self.now,
        };
        let address = VerifiableAddress {
            id: AddressId::new(id()),
            identity: identity.id,
            address: address(PEOPLE[who]),
            verified_at: None,
            asked_at: None,
            created_at: self.now,
        };
        self.memory.register(&Register { identity, addresses: vec![address] });
    }

    fn resent(&self, before: &engine::Challenge, after: &engine::Challenge, mode: ResendMode, is_same_owner: bool) {
        let ends_soon = before.expires_at < self.now.plus(engine::RENEWAL);
        assert!(
            after.format == before.format || after.format == FORMAT.long() || before.is_over(self.now),
            "never from long to short"
        );
        if mode == ResendMode::SameCode && !ends_soon && is_same_owner && after.format == before.format {
            // A decoy that has become a code, or the other way round, is new; everything else stays.
            if before.code_digest == after.code_digest {
                assert_eq!((after.epoch, after.expires_at), (before.epoch, before.expires_at));
            }
        } else {
            assert_eq!((after.epoch, after.expires_at), (before.epoch + 1, self.now.plus(CODE_LIFE)));
            assert_ne!(after.code_digest, before.code_digest);
        }
        assert_eq!(after.attempts, before.attempts);
    }

    fn asked(&mut self, handle: &Handle, outcome: &StartOutcome) {
        let StartOutcome::Started { flow, .. } = outcome else { return };
        assert_eq!(flow.handle, *handle);
        let message = &self.memory.outbox[&challenge(flow).message];
        let who = PEOPLE.iter().position(|name| address(name) == message.recipient).unwrap();
        self.owed.entry(who).or_default().push(self.now);
        if message.kind == MessageKind::Code {
            self.sent.push(code(flow));
        }
    }

    fn verify(&mut self, key: &str, typed: &str) {
        let Some(before) = self.memory.flow(&handle(key)).cloned() else {
            assert_eq!(refusal(&self.memory.verify(&verify(self.now, key, typed))), Refusal::FlowNotFound);
            return;
        };
        let Some(asked) = before.challenge.clone() else {
            let expected = if before.is_live(self.now) { Refusal::FlowNotFound } else { Refusal::FlowExpired };
            let answer = refusal(&self.memory.verify(&verify(self.now, key, typed)));
            assert_eq!(answer, expected, "nothing was asked yet");
            return;
        };
        let most = if asked.max_attempts == UNLIMITED { u32::from(UNLIMITED) } else { 5 };
        let day = Duration::from_hours(24);
        let missed = self.missed.entry(asked.address.as_str().to_owned()).or_default();
        missed.retain(|missed| self.now.since(*missed) < day);
        let is_spent = !asked.format.is_long() && missed.len() >= 5;
        let mut evaluated = || *self.evaluated.entry(before.id).and_modify(|count| *count += 1).or_insert(1);
        match self.memory.verify(&verify(self.now, key, typed)) {
            VerifyOutcome::NotCompared { .. } => {
                assert!(is_spent, "only where too much was guessed nothing is compared");
                assert!(before.is_live(self.now));
                assert_eq!(self.memory.flow(&handle(key)), Some(&before), "nothing is counted");
            }
            VerifyOutcome::Passed(verified) => {
                assert!(!is_spent, "nothing is compared any more");
                assert!(evaluated() <= most);
                assert!(before.is_live(self.now), "only a live flow passes");
                assert_eq!(mailed(&before).as_deref(), Some(typed), "only its present code passes");
                assert!(self.sent.iter().any(|sent| sent == typed), "only a code that was sent passes");
                assert!(self.passed_flows.insert(before.id), "a passed flow never passes again");
                assert!(self.passed_codes.insert(typed.to_owned()), "a passed code never passes again");
                assert_eq!(verified.address.address, challenge(&before).address);
                assert!(!self.erased.contains(&verified.identity.id), "nobody erased signs in");
            }
            VerifyOutcome::Refused { refusal, .. } => match refusal {
                Refusal::CodeMismatch { left } => {
                    assert!(!is_spent, "at most five guesses at short codes of an address a day");
                    if !asked.format.is_long() {
                        missed.push(self.now);
                    }
                    let count = evaluated();
                    assert!(count <= most);
                    assert_eq!(left, asked.left() - 1, "what is told is what is left");
                    assert!(before.is_live(self.now));
                }
                Refusal::AttemptsExhausted => assert!(self.evaluated[&before.id] >= 5),
                Refusal::FlowPassed => assert_eq!(before.state, FlowState::Passed),
                Refusal::CodeExpired | Refusal::FlowExpired => assert!(!before.is_live(self.now)),
                Refusal::AddressTaken | Refusal::IdentityNotFound => {
                    assert!(evaluated() <= most);
                    let after = self.memory.flow(&handle(key)).unwrap();
                    assert_eq!(after.state, FlowState::Passed, "a right code is spent, whatever comes of it");
                }
                other => panic!("{other:?} was not to be expected"),
            },
        }
    }

    fn assert_sound(&mut self) {
        for flow in self.memory.flows.values() {
            let concerned = flow.identity.as_ref();
            assert!(concerned.is_none_or(|id| !self.erased.contains(id)), "no flow concerns somebody erased");
            let Some(challenge) = &flow.challenge else {
                assert_eq!(flow.state, FlowState::Open);
                continue;
            };
            let before = self.attempts.insert(flow.id, challenge.attempts).unwrap_or(0);
            assert!(challenge.attempts >= before, "attempts never decrease");
            assert!(challenge.attempts <= 5 || challenge.format.is_long());
            assert_eq!(challenge.code_digest.is_none(), flow.state == FlowState::Passed);
            if self.passed_flows.contains(&flow.id) {
                assert_eq!(flow.state, FlowState::Passed, "a passed flow stays so");
            }
            let is_owed = |it: &&engine::OutboxMessage| it.flow == flow.id && it.state == MessageState::Owed;
            assert!(self.memory.outbox.values().filter(is_owed).count() <= 1, "a flow owes one message at most");
        }
        for session in self.memory.sessions.values().filter(|session| self.erased.contains(&session.identity)) {
            assert!(session.ended_at.is_some(), "nobody erased stays signed in");
        }
        let owners: BTreeSet<_> = self.memory.addresses.values().map(|(_, it)| it.address.clone()).collect();
        assert_eq!(owners.len(), self.memory.addresses.len(), "an address has one owner");
        assert_eq!(self.memory.sessions.len(), self.passed_flows.len(), "one pass, one session");
        for times in self.owed.values() {
            let within = |window| times.iter().filter(|sent| self.now.since(**sent) < window).count();
            assert!(within(Duration::from_hours(1)) <= LIMIT.per_hour);
            assert!(within(Duration::from_hours(24)) <= LIMIT.per_day);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run { now: NOON, ..Run::default() };
        for step in &steps {
            run.step(step);
        }
    }
}
