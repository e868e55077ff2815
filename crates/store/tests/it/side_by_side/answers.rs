//! Does the steps in a world, and says what it answered.

use std::fmt::{Debug, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use engine::{
    Address, Attempt, Change, Client, CodeFormat, Content, Context, Delivery, DeviceChange, DeviceId, DeviceProof,
    Error, IdentityChange, IdentityId, Keeping, Leased, MessageId, NewChallenge, NewFlow, NewIdentity, NewTicket,
    Purpose, SealedKey, SessionId, SessionTerms, Sessions, Started, Store as _, Taking, Timestamp, Verified,
    WantedAddress,
};
use testkit::world::{DIALECT, LIFE, World};

use super::steps::{Asker, KEYS, PEOPLE, Question, Step, Typed};
use crate::support::address;

/// So many digits that no two codes of a run are the same by chance, and still a short code.
const FORMAT: CodeFormat = CodeFormat { length: 9, ..CodeFormat::SIX_DIGITS };
/// What an answer says where a store failed.
pub(super) const FAILED: &str = "!FAILED!";

/// What a world answered, and what later steps may name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// All of it, as text.
    pub(super) said: String,
    /// For which flow.
    code: Option<(usize, String)>,
    identity: Option<IdentityId>,
    session: Option<(SessionId, u32)>,
    ticket: Option<String>,
    leases: Vec<(MessageId, Timestamp)>,
}

/// What came to be so far, in its order.
#[derive(Debug, Default)]
pub(super) struct Known {
    codes: Vec<(usize, String)>,
    identities: Vec<IdentityId>,
    /// With the newest generation of each.
    sessions: Vec<(SessionId, u32)>,
    tickets: Vec<String>,
    leases: Vec<(MessageId, Timestamp)>,
}

impl Known {
    pub(super) fn learn(&mut self, answer: Answer) {
        self.codes.extend(answer.code);
        self.identities.extend(answer.identity.filter(|id| !self.identities.contains(id)));
        if let Some((id, _)) = answer.session {
            self.sessions.retain(|(known, _)| *known != id);
        }
        self.sessions.extend(answer.session);
        self.tickets.extend(answer.ticket);
        self.leases.extend(answer.leases);
    }

    fn code(&self, typed: Typed, keys: &[usize]) -> Option<String> {
        let sent = match typed {
            Typed::Own => self.codes.iter().rev().find(|(key, _)| keys.first() == Some(key)).cloned(),
            Typed::Old(back) => nth(&self.codes, back),
            Typed::Nonsense => None,
        };
        sent.map(|(_, code)| code)
    }

    fn session(&self, back: usize) -> (SessionId, u32) {
        nth(&self.sessions, back).unwrap_or((SessionId::new(1), 0))
    }

    fn identity(&self, back: usize) -> IdentityId {
        nth(&self.identities, back).unwrap_or(IdentityId::new(1))
    }
}

/// The one that came to be so many before the last.
fn nth<T: Clone>(list: &[T], back: usize) -> Option<T> {
    list.iter().rev().nth(back).cloned()
}

/// The ids of devices are made by nobody's leave; these are older than any row.
fn device_id(number: usize) -> DeviceId {
    DeviceId::new(1_000 + i64::try_from(number).unwrap())
}

fn person(who: usize) -> Address {
    address(PEOPLE[who])
}

/// An answer as text.
fn told<T: Debug>(answer: &Result<T, Error>) -> String {
    match answer {
        Err(Error::Failed(fault)) => format!("{FAILED} {}", fault.report()),
        answer => format!("{answer:?}"),
    }
}

/// Says `answer`, and notes what `note` finds in it.
fn said<T: Debug>(answer: Result<T, Error>, note: impl FnOnce(T, &mut Answer)) -> Answer {
    let mut given = Answer { said: told(&answer), ..Answer::default() };
    if let Ok(answer) = answer {
        note(answer, &mut given);
    }
    given
}

/// The same for what a method of the port answers.
fn kept<T: Debug>(answer: Result<T, engine::StoreError>) -> Answer {
    said(answer.map_err(Error::from), |_, _| {})
}

/// The frame of a request of `asker`.
fn context<'a>(world: &'a World, known: &Known, asker: Asker) -> Context<'a> {
    let client = Client { address: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, asker.network))), user_agent: None };
    let project = world.engine.projects().default_project();
    let mut context = world.engine.context(project, DIALECT, client);
    context.proof = asker.session.map(|back| DeviceProof::Session(known.session(back).0));
    context
}

/// Does one thing in a world.
pub(super) async fn play(world: &mut World, known: &Known, step: &Step) -> Answer {
    match step {
        Step::Reopen => {
            world.reopen().await;
            Answer::default()
        }
        Step::Wait { milliseconds } => {
            world.clock.advance(Duration::from_millis(*milliseconds));
            Answer::default()
        }
        Step::SetBack { milliseconds } => {
            world.clock.set_back(Duration::from_millis(*milliseconds));
            Answer::default()
        }
        Step::Start(question) => start(world, known, question).await,
        Step::Enter { key, who, device } => enter(world, *key, *who, *device).await,
        Step::Move { key, who, which, keeping } => {
            let mut challenge = world.challenge(KEYS[*key], Purpose::ChangeAddress, &person(*who));
            challenge.change = Some(change(world, known, *who, *which, *keeping).await);
            challenge.format = FORMAT;
            pass(world, *key, challenge).await
        }
        Step::Resend { .. } | Step::Verify { .. } | Step::Open { .. } | Step::Annotate { .. } => {
            ask(world, known, step).await
        }
        Step::Register { .. } | Step::Create { .. } | Step::Change { .. } | Step::Erase { .. } => {
            own(world, known, step).await
        }
        Step::Refresh { .. }
        | Step::EndSessions { .. }
        | Step::Activate { .. }
        | Step::SignOut { .. }
        | Step::PutTicket { .. }
        | Step::TakeTicket { .. } => hold(world, known, step).await,
        Step::Lease { .. }
        | Step::Settle { .. }
        | Step::Deliver { .. }
        | Step::Sweep { .. }
        | Step::Forgive { .. }
        | Step::EmptyInbox
        | Step::Look { .. }
        | Step::AddKey { .. }
        | Step::Claim { .. } => keep(world, known, step).await,
    }
}

/// Notes the code that was sent for the flow called `key`.
async fn sent(world: &World, key: usize, started: Result<Started, Error>) -> Answer {
    let flow = started.as_ref().ok().map(|started| started.flow.id);
    let mut given = said(started, |_, _| {});
    let shown = world.engine.inbox(None).await;
    if shown.is_err() {
        given.said.push_str(&told(&shown));
    }
    let newest = shown.into_iter().flatten().find(|it| Some(it.message.flow) == flow);
    given.code = newest.and_then(|it| it.code).map(|code| (key, code.expose().clone()));
    given
}

/// Notes who has signed in.
fn entered(verified: Verified, given: &mut Answer) {
    given.identity = Some(verified.identity.id);
    given.session = verified.session.map(|session| (session.id, session.generation));
}

async fn enter(world: &World, key: usize, who: usize, device: Option<usize>) -> Answer {
    let mut challenge = world.challenge(KEYS[key], Purpose::SignInOrUp, &person(who));
    (challenge.format, challenge.device) = (FORMAT, device.map(device_id));
    pass(world, key, challenge).await
}

/// Asks for a code and brings it back at once.
async fn pass(world: &World, key: usize, challenge: NewChallenge) -> Answer {
    let started = sent(world, key, world.engine.start_challenge(&world.context(), challenge).await).await;
    let Some((_, code)) = &started.code else { return started };
    let session = Some(SessionTerms { life: LIFE * 3, memo: Some("noted".to_owned()) });
    let attempt = Attempt { handles: &[world.handle(KEYS[key])], code, session };
    let mut given = said(world.engine.verify(&world.context(), attempt).await, entered);
    (given.said, given.code) = (format!("{} {}", started.said, given.said), started.code);
    given
}

/// On whose behalf an address is changed: that of a session, from the first address that its identity has.
async fn change(world: &World, known: &Known, who: usize, back: usize, keeping: Keeping) -> Change {
    let (session, generation) = known.session(back);
    let own = world.engine.caller(&world.context(), session).await.map(|caller| caller.account.addresses);
    let current = own.ok().and_then(|own| Some(own.first()?.address.clone())).unwrap_or_else(|| person(who));
    Change { session, generation: Some(generation), current, keeping }
}

async fn start(world: &World, known: &Known, question: &Question) -> Answer {
    let mut challenge = world.challenge(KEYS[question.key], question.purpose, &person(question.who));
    challenge.naming = question.naming;
    challenge.mode = question.mode;
    challenge.disclosure = question.disclosure;
    challenge.strangers = question.strangers;
    challenge.format = FORMAT;
    challenge.link = question.has_link.then(|| engine::Secret::new("https://example.com/?code={code}".to_owned()));
    challenge.device = question.device.map(device_id);
    challenge.identity = question.identity.map(|back| known.identity(back));
    if question.is_told_of {
        challenge.attributes = Some(format!("{{\"key\":{}}}", question.key));
        challenge.memo = Some(question.who.to_string());
    }
    if question.purpose == Purpose::ChangeAddress {
        let (back, keeping, is_own) = question.change;
        let change = change(world, known, question.who, back, keeping).await;
        if is_own {
            challenge.address = change.current.clone();
        }
        challenge.change = Some(change);
    }
    let started = world.engine.start_challenge(&context(world, known, question.asker), challenge).await;
    sent(world, question.key, started).await
}

async fn ask(world: &World, known: &Known, step: &Step) -> Answer {
    let engine = &world.engine;
    match step {
        Step::Resend { key, naming, mode, asker } => {
            let context = context(world, known, *asker);
            sent(world, *key, engine.resend(&context, world.handle(KEYS[*key]), *naming, *mode).await).await
        }
        Step::Verify { keys, typed, session, asker } => {
            let handles: Vec<_> = keys.iter().map(|key| world.handle(KEYS[*key])).collect();
            let code = known.code(*typed, keys).unwrap_or_else(|| "0".to_owned());
            let session = session.then(|| SessionTerms { life: LIFE * 3, memo: Some("noted".to_owned()) });
            let attempt = Attempt { handles: &handles, code: &code, session };
            said(engine.verify(&context(world, known, *asker), attempt).await, entered)
        }
        Step::Open { key, purpose, device } => {
            let handle = world.handle(KEYS[*key]);
            let device = device.map(device_id);
            let new = NewFlow { handle, purpose: *purpose, device, attributes: None, memo: None, flow_life: LIFE };
            said(engine.open_flow(&world.context(), new).await, |_, _| {})
        }
        Step::Annotate { key } => {
            let memo = world.engine.now().millis().to_string();
            said(engine.annotate(world.handle(KEYS[*key]), memo).await, |(), _| {})
        }
        other => unreachable!("{other:?} asks nothing"),
    }
}

fn wanted(people: &[usize], verified: Option<bool>) -> Vec<WantedAddress> {
    people.iter().map(|who| WantedAddress { address: person(*who), verified }).collect()
}

async fn own(world: &World, known: &Known, step: &Step) -> Answer {
    let (engine, context) = (&world.engine, world.context());
    match step {
        Step::Register { who } => said(engine.register(world.project(), person(*who)).await, |registered, given| {
            if let engine::Registered::Added(account) = registered {
                given.identity = Some(account.identity.id);
            }
        }),
        Step::Create { people, verified, state } => {
            let addresses = wanted(people, *verified);
            let (traits, metadata) = ("{\"name\":\"new\"}".to_owned(), "{}".to_owned());
            let new = NewIdentity { traits, metadata, state: *state, addresses };
            said(engine.create_identity(&context, new).await, |account, given| {
                given.identity = Some(account.identity.id);
            })
        }
        Step::Change { which, people, verified, state, revision } => {
            let change = IdentityChange {
                revision: *revision,
                traits: verified.map(|verified| format!("{{\"verified\":{verified}}}")),
                metadata: state.map(|state| format!("{{\"state\":\"{}\"}}", state.name())),
                state: *state,
                addresses: people.as_ref().map(|people| wanted(people, *verified)),
            };
            said(engine.change_identity(&context, known.identity(*which), change).await, |_, _| {})
        }
        Step::Erase { which } => said(engine.erase_identity(&context, known.identity(*which)).await, |(), _| {}),
        other => unreachable!("{other:?} is about no identity"),
    }
}

async fn hold(world: &World, known: &Known, step: &Step) -> Answer {
    let (engine, context) = (&world.engine, world.context());
    let device =
        async |device: usize, change| said(engine.change_device(&context, device_id(device), change).await, |_, _| {});
    match step {
        Step::Refresh { which, back, rotation } => {
            let (session, generation) = known.session(*which);
            let generation = generation.saturating_sub(*back);
            said(engine.refresh(&context, session, generation, *rotation).await, |caller, given| {
                given.session = Some((session, caller.session.generation));
            })
        }
        Step::EndSessions { which, all } => {
            let which_sessions = if *all { Sessions::OfIdentity } else { Sessions::This };
            said(engine.end_sessions(&context, known.session(*which).0, which_sessions).await, |(), _| {})
        }
        Step::Activate { device: number, which } => {
            device(*number, DeviceChange::Activate(known.session(*which).0)).await
        }
        Step::SignOut { device: number, which } => {
            device(*number, DeviceChange::SignOut(which.map(|back| known.session(back).0))).await
        }
        Step::PutTicket { identity, seconds } => {
            let identity = identity.map(|back| known.identity(back));
            let life = Duration::from_secs(*seconds);
            let new = NewTicket { kind: "code", binding: [1; 32], identity, method: "email", body: b"held", life };
            said(engine.put_ticket(&context, new).await, |ticket, given| given.ticket = Some(ticket.expose().clone()))
        }
        Step::TakeTicket { which, is_bound, session } => {
            let ticket = nth(&known.tickets, *which).unwrap_or_default();
            let session = session.then(|| SessionTerms::of(LIFE));
            let taking = Taking { kind: "code", ticket: &ticket, binding: [u8::from(*is_bound); 32], session };
            said(engine.take_ticket(&context, taking).await, |taken, given| {
                write!(given.said, " {:?}", taken.body.expose()).unwrap();
                given.session = taken.session.map(|session| (session.id, session.generation));
            })
        }
        other => unreachable!("{other:?} is about nothing that anybody holds"),
    }
}

/// Notes what may be sent, and says what that is.
fn leased(leased: Vec<Leased>, given: &mut Answer) {
    for it in leased {
        match &it.content {
            Content::Code { code, link } => {
                let link = link.as_ref().map(engine::Secret::expose);
                write!(given.said, " {:?} {link:?}", code.expose()).unwrap();
            }
            said @ (Content::NoAccount | Content::AddressReplaced { .. }) => write!(given.said, " {said:?}").unwrap(),
        }
        given.leases.push((it.id, it.lease));
    }
}

async fn keep(world: &World, known: &Known, step: &Step) -> Answer {
    let engine = &world.engine;
    match step {
        Step::Lease { limit } => said(engine.lease_messages(*limit).await, leased),
        Step::Deliver { outcome } => {
            let mut given = said(engine.lease_messages(100).await, leased);
            let delivery = |(id, lease): &(_, _)| Delivery { id: *id, lease: *lease, outcome: outcome.clone() };
            let settled = engine.settle_messages(given.leases.iter().map(delivery).collect()).await;
            given.said.push_str(&told(&settled));
            given
        }
        Step::Settle { which, outcome } => {
            let lease = nth(&known.leases, *which);
            let delivery = |(id, lease)| Delivery { id, lease, outcome: outcome.clone() };
            said(engine.settle_messages(lease.map(delivery).into_iter().collect()).await, |(), _| {})
        }
        Step::Sweep { milliseconds } => {
            world.clock.advance(Duration::from_millis(*milliseconds));
            said(engine.sweep().await, |_, _| {})
        }
        Step::Forgive { who } => said(engine.forgive(world.project(), &person(*who)).await, |(), _| {}),
        Step::EmptyInbox => said(engine.empty_inbox().await, |(), _| {}),
        Step::Look { who, which, device } => look(world, known, *who, *which, *device).await,
        Step::AddKey { algorithm, slot } => {
            let kid = format!("{} made at {}", algorithm.name(), engine.now().millis());
            let (project, created_at) = (world.project().clone(), engine.now());
            let key = SealedKey { kid, project, algorithm: *algorithm, slot: *slot, created_at, sealed: vec![1, 2, 3] };
            kept(world.calls.add_signing_key(key).await)
        }
        Step::Claim { value } => kept(world.calls.claim_meta("claimed", vec![*value]).await),
        other => unreachable!("{other:?} keeps nothing"),
    }
}

async fn look(world: &World, known: &Known, who: usize, which: usize, device: usize) -> Answer {
    let (engine, context) = (&world.engine, world.context());
    let identity = known.identity(which);
    let mut answer = Answer::default();
    let mut say = |text: String| writeln!(answer.said, "{text}").unwrap();
    for key in KEYS {
        say(told(&engine.flow(world.handle(key)).await));
    }
    say(told(&engine.owner(world.project(), &person(who)).await));
    say(told(&engine.identity(&context, identity).await));
    for (after, limit) in [(None, 100), (None, 1), (Some(identity), 2)] {
        say(told(&engine.identities(&context, after, limit).await));
    }
    say(told(&engine.sessions(&context, identity).await));
    say(told(&engine.device(&context, device_id(device)).await));
    say(told(&engine.caller(&context, known.session(which).0).await));
    say(told(&engine.outbox_depth().await));
    let shown = engine.inbox(Some(person(who))).await;
    for it in shown.iter().flatten() {
        let secrets = [&it.code, &it.link].map(|secret| secret.as_ref().map(|secret| secret.expose().clone()));
        say(format!("{secrets:?}"));
    }
    say(told(&shown));
    say(kept(world.calls.signing_keys(world.project().clone()).await).said);
    say(kept(world.calls.meta("claimed").await).said);
    say(kept(world.calls.highest_id().await).said);
    answer
}
