//! Random sequences of operations on the engine over a real database, held against a model that knows only what must be true:
//! which code is live, how many guesses are left, to a flow and about an address, who is signed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{
    CodeFormat, Delivery, DeliveryOutcome, Error, IdentityId, KNOWN_FOR, LEAST_LIFE, MessageId, Naming, NewFlow,
    Purpose, RENEWAL, REPEAT, Refusal, Registered, ResendMode, SHORT_GUESSES, SessionId, Started, Timestamp, UNLIMITED,
};
use proptest::prelude::*;
use testkit::world::{LIFE, World};

use crate::support::*;

const CODE_LIFE: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);
const KEYS: [&str; 3] = ["one", "two", "three"];
const PEOPLE: [&str; 2] = ["ada", "grace"];
/// So many digits that no two codes of a run are the same by chance, and still a short code.
const FORMAT: CodeFormat = CodeFormat { length: 9, ..CodeFormat::SIX_DIGITS };

/// One thing that somebody does.
#[derive(Debug, Clone)]
enum Step {
    Start {
        key: usize,
        who: usize,
        purpose: Purpose,
        mode: ResendMode,
    },
    Resend {
        key: usize,
        mode: ResendMode,
    },
    /// Brings back the code that was sent `back` messages ago, to whomever, for whatever.
    Try {
        key: usize,
        back: usize,
    },
    Guess {
        key: usize,
    },
    /// Opens a flow in the place of whatever is called so.
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
    Deliver,
    Sweep,
    Restart,
    Wait {
        milliseconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS.len();
    let who = || 0..PEOPLE.len();
    let purpose = || prop::sample::select(vec![Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp]);
    let mode = || prop::sample::select(vec![ResendMode::SameCode, ResendMode::NewCode]);
    let wait = prop_oneof![
        4 => 0_u64..4_000,
        4 => 60_000_u64..650_000,
        1 => Just(3_600_000_u64),
        1 => Just(90_000_000_u64)
    ];
    prop_oneof![
        8 => (key(), who(), purpose(), mode()).prop_map(|(key, who, purpose, mode)| Step::Start { key, who, purpose, mode }),
        4 => (key(), mode()).prop_map(|(key, mode)| Step::Resend { key, mode }),
        8 => (key(), 0_usize..4).prop_map(|(key, back)| Step::Try { key, back }),
        8 => key().prop_map(|key| Step::Guess { key }),
        2 => (key(), purpose()).prop_map(|(key, purpose)| Step::Open { key, purpose }),
        2 => key().prop_map(|key| Step::Annotate { key }),
        2 => who().prop_map(|who| Step::Register { who }),
        1 => who().prop_map(|who| Step::Erase { who }),
        2 => Just(Step::Deliver),
        1 => Just(Step::Sweep),
        1 => Just(Step::Restart),
        6 => wait.prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

/// A flow, as far as anybody can tell from outside.
#[derive(Debug, Clone)]
struct Known {
    /// Whose address was asked about; none where nobody's was yet.
    who: Option<usize>,
    purpose: Purpose,
    memo: Option<String>,
    /// Whether it concerns the one who owns the address.
    is_owners: bool,
    /// The live code; none where a decoy stands in its place.
    code: Option<String>,
    /// Whether it is a long one: wrong guesses do not end it, and are not limited.
    is_long: bool,
    sent_at: Timestamp,
    code_ends_at: Timestamp,
    ends_at: Timestamp,
    attempts: u8,
    has_passed: bool,
}

/// An identity as known.
#[derive(Debug, Clone, Copy)]
struct Person {
    id: IdentityId,
    is_proven: bool,
}

#[derive(Default)]
struct Model {
    flows: BTreeMap<usize, Known>,
    people: BTreeMap<usize, Person>,
    /// Codes in the order they were sent.
    sent: Vec<String>,
    /// Who is signed in, and until when.
    sessions: Vec<(SessionId, Timestamp, IdentityId)>,
    delivered: BTreeSet<MessageId>,
    /// When short codes of somebody's address were guessed wrong.
    misses: BTreeMap<usize, Vec<Timestamp>>,
}

impl Model {
    /// Whether another guess at a short code of the address of `who` is compared.
    fn has_room(&self, who: usize, now: Timestamp) -> bool {
        let counts = |missed: &&Timestamp| now < missed.plus(DAY);
        self.misses.get(&who).is_none_or(|misses| misses.iter().filter(counts).count() < SHORT_GUESSES)
    }
}

impl Known {
    /// What a submission of anything is answered, unless it is compared.
    fn refusal(&self, now: Timestamp) -> Option<Refusal> {
        if self.has_passed {
            Some(Refusal::FlowPassed)
        } else if now >= self.ends_at {
            Some(Refusal::FlowExpired)
        } else if self.who.is_none() {
            Some(Refusal::FlowNotFound)
        } else if self.attempts >= 5 && !self.is_long {
            Some(Refusal::AttemptsExhausted)
        } else if now >= self.code_ends_at {
            Some(Refusal::CodeExpired)
        } else {
            None
        }
    }
}

impl Known {
    /// Whether something may be asked in it.
    fn is_live(&self, now: Timestamp) -> bool {
        matches!(self.refusal(now), None | Some(Refusal::FlowNotFound))
    }
}

/// Whether a code is sent for `purpose`, and whether the flow concerns the owner.
fn concern(purpose: Purpose, owner: Option<&Person>) -> (bool, bool) {
    match (purpose, owner) {
        (Purpose::SignInOrUp | Purpose::SignUp, None) => (true, false),
        (Purpose::SignIn, None) => (false, false),
        (Purpose::SignUp, Some(owner)) if owner.is_proven => (false, false),
        (_, Some(_)) => (true, true),
        (Purpose::VerifyAddress | Purpose::ChangeAddress, None) => unreachable!("no step asks for it"),
    }
}

/// The model beside the real one.
struct Run {
    world: World,
    model: Model,
}

impl Run {
    fn now(&self) -> Timestamp {
        self.world.engine.now()
    }

    async fn step(&mut self, step: &Step) {
        match *step {
            Step::Start { key, who, purpose, mode } => self.start(key, who, purpose, mode).await,
            Step::Resend { key, mode } => self.resend(key, mode).await,
            Step::Try { key, back } => {
                let typed = self.model.sent.iter().rev().nth(back).cloned();
                self.verify(key, &typed.unwrap_or_else(|| "0".to_owned())).await;
            }
            Step::Guess { key } => self.verify(key, "1").await,
            Step::Open { key, purpose } => self.open(key, purpose).await,
            Step::Annotate { key } => self.annotate(key).await,
            Step::Erase { who } => self.erase(who).await,
            Step::Register { who } => self.register(who).await,
            Step::Deliver => self.deliver().await,
            Step::Sweep => {
                let before = self.now().minus(DAY);
                self.world.engine.sweep().await.unwrap();
                self.model.flows.retain(|_, known| known.ends_at >= before);
                // A session that is over shows that its device is known.
                let before = self.now().minus(KNOWN_FOR);
                self.model.sessions.retain(|(_, ends_at, _)| *ends_at >= before);
            }
            Step::Restart => self.world.reopen().await,
            Step::Wait { milliseconds } => self.world.clock.advance(Duration::from_millis(milliseconds)),
        }
    }

    async fn start(&mut self, key: usize, who: usize, purpose: Purpose, mode: ResendMode) {
        let mut challenge = self.world.challenge(KEYS[key], purpose, &address(PEOPLE[who]));
        challenge.mode = mode;
        challenge.format = FORMAT;
        let started = self.world.engine.start_challenge(&self.world.context(), challenge).await.unwrap();
        let before = self.model.flows.get(&key).filter(|it| it.is_live(self.now())).cloned();
        // Anybody can name these flows: a question that somebody can answer holds. A note is part of what is asked.
        let is_same =
            |it: &&Known| it.who == Some(who) && (it.purpose == purpose && it.memo.is_none() || it.code.is_some());
        let asked = before.as_ref().filter(is_same);
        let (is_same, purpose) = (asked.is_some(), asked.map_or(purpose, |it| it.purpose));
        self.asked(key, before, is_same.then_some(mode), (who, purpose), &started).await;
    }

    async fn resend(&mut self, key: usize, mode: ResendMode) {
        let handle = self.world.handle(KEYS[key]);
        let answer = self.world.engine.resend(&self.world.context(), handle, Naming::Public, mode).await;
        let before = self.model.flows.get(&key).cloned();
        let expected = match &before {
            None => Some(Refusal::FlowNotFound),
            Some(known) => known.refusal(self.now()).filter(|it| *it != Refusal::CodeExpired),
        };
        match (answer, expected, before) {
            (Ok(started), None, Some(known)) => {
                let question = (known.who.unwrap(), known.purpose);
                self.asked(key, Some(known), Some(mode), question, &started).await;
            }
            (Err(Error::Refused { refusal, .. }), Some(expected), _) => assert_eq!(refusal, expected),
            (answer, expected, _) => panic!("{answer:?} where {expected:?} was to be expected"),
        }
    }

    /// Something was asked in a flow that was `before`, if it was live: again as `again` says, or anew.
    async fn asked(
        &mut self,
        key: usize,
        before: Option<Known>,
        again: Option<ResendMode>,
        (who, purpose): (usize, Purpose),
        started: &Started,
    ) {
        let now = self.now();
        let code = self.code(who, started).await;
        // Nothing limits sending here, so that a new code is sent at once.
        if let (Some(before), Some(ResendMode::SameCode)) = (&before, again)
            && now < before.sent_at.plus(REPEAT)
        {
            assert_eq!(code, before.code, "a repeat changes nothing");
            return;
        }
        let (is_code, is_owners) = concern(purpose, self.model.people.get(&who));
        assert_eq!(code.is_some(), is_code);
        // A flow never goes back from long to short, also where its long code has ended before another is asked for.
        let was_long = before.as_ref().is_some_and(|before| before.is_long);
        let is_long = was_long || !self.model.has_room(who, now);
        let stays = before.as_ref().is_some_and(|before| {
            before.is_long == is_long
                && again == Some(ResendMode::SameCode)
                && before.code_ends_at >= now.plus(RENEWAL)
                && before.is_owners == is_owners
                && before.code.is_some() == is_code
        });
        let code_ends_at = match &before {
            Some(before) if stays => {
                assert_eq!(code, before.code);
                before.code_ends_at
            }
            before => {
                assert!(code.is_none() || before.as_ref().is_none_or(|before| before.code != code), "a new code");
                now.plus(CODE_LIFE)
            }
        };
        let known = Known {
            who: Some(who),
            purpose,
            // Asking something else replaces the note, here by none.
            memo: before.as_ref().and_then(|before| before.memo.clone()).filter(|_| again.is_some()),
            is_owners,
            code: code.clone(),
            is_long,
            sent_at: now,
            code_ends_at,
            ends_at: before.as_ref().map_or(now.plus(LIFE), |before| before.ends_at).max(code_ends_at),
            attempts: before.as_ref().map_or(0, |before| before.attempts),
            has_passed: false,
        };
        let challenge = started.flow.challenge.as_ref().unwrap();
        assert_eq!(
            (challenge.attempts, challenge.expires_at, started.flow.expires_at),
            (known.attempts, known.code_ends_at, known.ends_at)
        );
        assert_eq!(challenge.format, if is_long { FORMAT.long() } else { FORMAT });
        self.model.flows.insert(key, known);
        self.model.sent.extend(code);
    }

    /// The code that the inbox shows for the flow.
    async fn code(&self, who: usize, started: &Started) -> Option<String> {
        let shown = self.world.engine.inbox(Some(address(PEOPLE[who]))).await.unwrap();
        let newest = shown.into_iter().find(|it| it.message.flow == started.flow.id)?;
        newest.code.map(|code| code.expose().clone())
    }

    async fn verify(&mut self, key: usize, typed: &str) {
        let now = self.now();
        let answer = self.world.verify(KEYS[key], typed).await;
        let has_room: BTreeMap<_, _> = (0..PEOPLE.len()).map(|who| (who, self.model.has_room(who, now))).collect();
        let Some(known) = self.model.flows.get_mut(&key) else {
            assert!(matches!(answer, refused!(Refusal::FlowNotFound)), "{answer:?}");
            return;
        };
        if let Some(expected) = known.refusal(now) {
            assert!(matches!(answer, refused!(refusal) if refusal == expected), "{answer:?}, not {expected:?}");
            return;
        }
        let asked_about = known.who.unwrap();
        if !known.is_long && !has_room[&asked_about] {
            // Right or wrong, it is not compared; it looks like a wrong one, and counts for nothing.
            assert!(matches!(answer, refused!(Refusal::CodeMismatch { .. })), "{answer:?}");
            return;
        }
        if known.code.as_deref() != Some(typed) {
            known.attempts += 1;
            let most = if known.is_long { UNLIMITED } else { 5 };
            let expected = most - known.attempts;
            assert!(matches!(answer, refused!(Refusal::CodeMismatch { left }) if left == expected), "{answer:?}");
            if !known.is_long {
                self.model.misses.entry(asked_about).or_default().push(now);
            }
            return;
        }
        known.has_passed = true;
        let (who, purpose, is_owners) = (known.who.unwrap(), known.purpose, known.is_owners);
        let person = self.model.people.get(&who).copied();
        let expected = match (purpose, person) {
            (Purpose::SignUp, Some(_)) if !is_owners => Some(Refusal::AddressTaken),
            (Purpose::SignIn, _) if !is_owners => Some(Refusal::IdentityNotFound),
            _ => None,
        };
        match (answer, expected) {
            (Ok(verified), None) => {
                assert_eq!(verified.is_first_proof, person.is_none_or(|person| !person.is_proven));
                assert!(person.is_none_or(|person| person.id == verified.identity.id));
                self.model.people.insert(who, Person { id: verified.identity.id, is_proven: true });
                let session = verified.session.unwrap();
                self.model.sessions.push((session.id, session.expires_at, session.identity));
                if person.is_some_and(|person| !person.is_proven) {
                    self.model.flows.retain(|other, it| *other == key || !it.is_owners || it.who != Some(who));
                }
                if let Some(known) = self.model.flows.get_mut(&key) {
                    known.is_owners = true;
                }
            }
            (Err(Error::Refused { refusal, .. }), Some(expected)) => assert_eq!(refusal, expected),
            (answer, expected) => panic!("{answer:?} where {expected:?} was to be expected"),
        }
    }

    async fn open(&mut self, key: usize, purpose: Purpose) {
        let handle = self.world.handle(KEYS[key]);
        let new = NewFlow { handle, purpose, device: None, attributes: None, memo: None, flow_life: LIFE };
        let flow = self.world.engine.open_flow(&self.world.context(), new).await.unwrap();
        let known = Known {
            who: None,
            purpose,
            memo: None,
            is_owners: false,
            code: None,
            is_long: false,
            sent_at: flow.issued_at,
            code_ends_at: flow.expires_at,
            ends_at: flow.expires_at,
            attempts: 0,
            has_passed: false,
        };
        self.model.flows.insert(key, known);
    }

    async fn annotate(&mut self, key: usize) {
        let memo = self.now().millis().to_string();
        let answer = self.world.engine.annotate(self.world.handle(KEYS[key]), memo.clone()).await;
        match self.model.flows.get_mut(&key) {
            Some(known) => {
                answer.unwrap();
                known.memo = Some(memo);
            }
            None => assert!(matches!(answer, refused!(Refusal::FlowNotFound)), "{answer:?}"),
        }
    }

    async fn erase(&mut self, who: usize) {
        let Some(person) = self.model.people.remove(&who) else { return };
        let now = self.now();
        self.world.engine.erase_identity(&self.world.context(), person.id).await.unwrap();
        self.model.flows.retain(|_, it| !it.is_owners || it.who != Some(who));
        for (_, ends_at, identity) in &mut self.model.sessions {
            if *identity == person.id {
                *ends_at = now.min(*ends_at);
            }
        }
        let again = self.world.engine.erase_identity(&self.world.context(), person.id).await;
        assert!(matches!(again, refused!(Refusal::IdentityNotFound)), "{again:?}");
    }

    async fn register(&mut self, who: usize) {
        let answer = self.world.engine.register(self.world.project(), address(PEOPLE[who])).await.unwrap();
        match (answer, self.model.people.get(&who)) {
            (Registered::Added(owner), None) => {
                self.model.people.insert(who, Person { id: owner.identity.id, is_proven: false });
            }
            (Registered::Taken(owner), Some(person)) => assert_eq!(owner.identity.id, person.id),
            (answer, person) => panic!("{answer:?} although {person:?}"),
        }
    }

    /// A courier comes by, and everything it takes arrives.
    async fn deliver(&mut self) {
        let now = self.now();
        let leased = self.world.engine.lease_messages(100).await.unwrap();
        for it in &leased {
            let is_live =
                |known: &Known| !known.has_passed && known.code.as_ref() == Some(it.content.code().unwrap().expose());
            assert!(self.model.flows.values().any(is_live), "only live codes are sent");
            assert!(it.not_after >= now.plus(LEAST_LIFE));
            assert!(self.model.delivered.insert(it.id), "and each message once");
        }
        let sent = |it: engine::Leased| Delivery { id: it.id, lease: it.lease, outcome: DeliveryOutcome::Sent };
        self.world.engine.settle_messages(leased.into_iter().map(sent).collect()).await.unwrap();
        assert_eq!(self.world.engine.outbox_depth().await.unwrap().owed, 0);
    }

    /// What is kept is what is known.
    async fn assert_agrees(&self) {
        for (key, name) in KEYS.iter().enumerate() {
            let kept = self.world.engine.flow(self.world.handle(name)).await.ok();
            let known = self.model.flows.get(&key);
            assert_eq!(kept.is_some(), known.is_some());
            let (Some(kept), Some(known)) = (kept, known) else { continue };
            assert_eq!(kept.challenge.as_ref().map(|it| it.attempts), known.who.map(|_| known.attempts));
            assert_eq!(kept.memo, known.memo);
            let owner = known
                .who
                .and_then(|who| self.model.people.get(&who))
                .map(|person| person.id)
                .filter(|_| known.is_owners);
            assert_eq!(kept.identity, owner);
        }
        for (who, name) in PEOPLE.iter().enumerate() {
            let owner = self.world.engine.owner(self.world.project(), &address(name)).await.ok();
            let person = self.model.people.get(&who);
            assert_eq!(owner.as_ref().map(|it| it.identity.id), person.map(|it| it.id));
            let is_proven = owner.is_some_and(|it| it.address.verified_at.is_some());
            assert_eq!(is_proven, person.is_some_and(|it| it.is_proven));
        }
        for (session, ends_at, identity) in &self.model.sessions {
            let is_somebodys = self.model.people.values().any(|person| person.id == *identity);
            let kept = self.world.session(*session).await;
            assert_eq!(kept.is_some(), is_somebodys, "without its identity a session is nobody's");
            assert_eq!(kept.is_some_and(|kept| kept.is_live(self.now())), self.now() < *ends_at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_database_agrees_with_what_must_be_true(steps in prop::collection::vec(step(), 20..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run { world: world!(), model: Model::default() };
            for step in &steps {
                run.step(step).await;
                run.assert_agrees().await;
            }
            let sessions = run.world.row::<i64>("SELECT count(*) FROM sessions");
            assert_eq!(usize::try_from(sessions).unwrap(), run.model.sessions.len());
        });
    }
}
