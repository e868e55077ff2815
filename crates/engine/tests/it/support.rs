//! What the rules are tried on: one moment, one key, a few people, and operations with everything filled in.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use engine::{
    Account, Address, AddressId, Asking, Breaker, Budget, Challenge, CodeFormat, Content, Disclosure, Flow, FlowEnd,
    FlowId, FlowSeen, Handle, Identity, IdentityId, IdentityState, KeyId, Keys, Lease, MasterKey, MessageId,
    MessageKind, MessageState, Naming, Operation as _, OutboxMessage, Owner, ProjectId, Purpose, Refusal, Resend,
    ResendMode, Secret, SessionId, SessionTerms, Start, StartOutcome, StartSeen, Strangers, Timestamp,
    VerifiableAddress, Verified, Verify, VerifyOutcome, VerifySeen, Write,
};

/// When everything begins.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_772_366_400_000);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const CODE_LIFE: Duration = Duration::from_mins(10);
pub(crate) const FLOW_LIFE: Duration = Duration::from_hours(1);
pub(crate) const PURPOSES: [Purpose; 4] =
    [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress];

/// An id that nothing else of the test has; the same in every run.
pub(crate) fn id() -> i64 {
    thread_local!(static NEXT: Cell<i64> = const { Cell::new(1) });
    NEXT.replace(NEXT.get() + 1)
}

pub(crate) fn keys_of(master: u8) -> Arc<Keys> {
    Arc::new(Keys::new(&MasterKey::new([master; 32])).unwrap())
}

pub(crate) fn keys() -> Arc<Keys> {
    static KEYS: LazyLock<Arc<Keys>> = LazyLock::new(|| keys_of(7));
    Arc::clone(&KEYS)
}

pub(crate) fn project() -> ProjectId {
    ProjectId::new("P1")
}

pub(crate) fn address(name: &str) -> Address {
    Address::email(&format!("{name}@example.com")).unwrap()
}

pub(crate) fn handle(key: &str) -> Handle {
    Handle::new("test", &project(), "flow", key.as_bytes())
}

/// Somebody who owns `address`.
pub(crate) fn owner_of(address: &Address, verified_at: Option<Timestamp>) -> Owner {
    let identity = Identity {
        id: IdentityId::new(id()),
        project: project(),
        state: IdentityState::Active,
        traits: "{}".to_owned(),
        metadata: "{}".to_owned(),
        revision: 1,
        created_at: NOON,
        updated_at: NOON,
    };
    let address = VerifiableAddress {
        id: AddressId::new(id()),
        identity: identity.id,
        address: address.clone(),
        verified_at,
        asked_at: None,
        created_at: NOON,
    };
    Owner { identity, address }
}

pub(crate) fn asking(now: Timestamp, mode: ResendMode) -> Asking {
    Asking {
        project: project(),
        now,
        code_life: CODE_LIFE,
        send_limit: None,
        network: None,
        capped: None,
        mode,
        flow_end: FlowEnd::WithCode,
        strangers: Strangers::Silent,
        proof: None,
        breaker: Breaker::Closed,
        link: None,
        message: MessageId::new(id()),
        place: None,
        keys: keys(),
    }
}

/// A start at `now` in the flow `key`, which anybody can name.
pub(crate) fn start(now: Timestamp, key: &str, purpose: Purpose, address: &Address) -> Start {
    let flow = id();
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&flow.to_be_bytes());
    Start {
        asking: asking(now, ResendMode::SameCode),
        dialect: "test",
        sessions_of: "test",
        device: None,
        handle: handle(key),
        naming: Naming::Public,
        purpose,
        address: address.clone(),
        identity: None,
        change: None,
        attributes: None,
        memo: None,
        disclosure: Disclosure::Uniform,
        format: CodeFormat::SIX_DIGITS,
        max_attempts: 5,
        flow_life: FLOW_LIFE,
        flow: FlowId::new(flow),
        seed,
    }
}

pub(crate) fn resend(now: Timestamp, key: &str, mode: ResendMode) -> Resend {
    Resend { asking: asking(now, mode), handle: handle(key) }
}

pub(crate) fn verify(now: Timestamp, key: &str, code: &str) -> Verify {
    Verify {
        now,
        handles: vec![handle(key)],
        code: Secret::new(code.to_owned()),
        proof: None,
        session: Some(SessionTerms::of(FLOW_LIFE)),
        session_id: SessionId::new(id()),
        identity_id: IdentityId::new(id()),
        address_id: AddressId::new(id()),
        notice_id: MessageId::new(id()),
        keys: keys(),
    }
}

/// The flow that a start at noon opens for `address`, which `owner` owns.
pub(crate) fn asked(key: &str, purpose: Purpose, address: &Address, owner: Option<&Owner>) -> Flow {
    let mut operation = start(NOON, key, purpose, address);
    operation.identity = owner.map(|owner| owner.identity.id);
    let seen = StartSeen { owner: owner.cloned(), ..StartSeen::default() };
    started(operation.decide(seen).outcome)
}

pub(crate) fn started(outcome: StartOutcome) -> Flow {
    match outcome {
        StartOutcome::Started { flow, .. } => *flow,
        other => panic!("not started but {other:?}"),
    }
}

pub(crate) fn repeated(outcome: StartOutcome) -> Flow {
    match outcome {
        StartOutcome::Repeated(flow) => *flow,
        other => panic!("not repeated but {other:?}"),
    }
}

pub(crate) fn start_refusal(outcome: StartOutcome) -> Refusal {
    match outcome {
        StartOutcome::Refused(refusal) => refusal,
        other => panic!("not refused but {other:?}"),
    }
}

pub(crate) fn passed(outcome: VerifyOutcome) -> Verified {
    match outcome {
        VerifyOutcome::Passed(verified) => *verified,
        other => panic!("not passed but {other:?}"),
    }
}

pub(crate) fn refusal(outcome: &VerifyOutcome) -> Refusal {
    match outcome {
        VerifyOutcome::Refused { refusal, .. } => *refusal,
        other => panic!("not refused but {other:?}"),
    }
}

pub(crate) fn challenge(flow: &Flow) -> &Challenge {
    flow.challenge.as_ref().unwrap()
}

/// A message that carries the present code of `flow`.
pub(crate) fn message(flow: &Flow) -> OutboxMessage {
    let challenge = challenge(flow);
    OutboxMessage {
        id: MessageId::new(id()),
        project: flow.project.clone(),
        kind: MessageKind::Code,
        state: MessageState::Owed,
        flow: flow.id,
        epoch: challenge.epoch,
        recipient: challenge.address.clone(),
        due_at: challenge.sent_at,
        attempts: 0,
        not_after: challenge.expires_at,
        created_at: challenge.sent_at,
        last_error: None,
        link: None,
        replaced_by: None,
    }
}

pub(crate) fn lease(now: Timestamp) -> Lease {
    Lease { now, limit: 100, keys: keys() }
}

/// What a mail with the present code of `flow` would say; none where none would be sent.
pub(crate) fn mailed(flow: &Flow) -> Option<String> {
    let leased = lease(challenge(flow).sent_at).decide(vec![(message(flow), Some(flow.clone()))]).outcome;
    leased.messages.first().map(|leased| told(&leased.content))
}

/// The code that a message tells.
pub(crate) fn told(content: &Content) -> String {
    match content {
        Content::Code { code, .. } => code.expose().clone(),
        Content::NoAccount | Content::AddressReplaced { .. } => panic!("no code"),
    }
}

pub(crate) fn code(flow: &Flow) -> String {
    mailed(flow).unwrap()
}

/// What looks like `code` and is not.
pub(crate) fn other_than(code: &str) -> String {
    code.chars().map(|symbol| if symbol == '0' { '1' } else { '0' }).collect()
}

/// A key that nobody has.
pub(crate) const LOST_KEY: KeyId = KeyId(1);

/// The account of somebody who has nothing but the address he was found by.
pub(crate) fn account_of(owner: &Owner) -> Account {
    Account { identity: owner.identity.clone(), addresses: vec![owner.address.clone()] }
}

/// A flow as a verification sees it while nothing has changed since the start.
pub(crate) fn seen(flow: &Flow, owner: Option<&Owner>) -> FlowSeen {
    FlowSeen { flow: flow.clone(), owner: owner.cloned(), account: owner.map(account_of), device: None }
}

/// What is written, by name.
pub(crate) fn names(writes: &[Write]) -> Vec<String> {
    let name = |write: &Write| {
        let text = format!("{write:?}");
        text.split([' ', '(', '{']).next().unwrap().to_owned()
    };
    writes.iter().map(name).collect()
}

/// What a verification sees of one flow, at whose address nobody has guessed yet.
pub(crate) fn only(flow: FlowSeen) -> VerifySeen {
    several([flow])
}

/// The same of several.
pub(crate) fn several(flows: impl IntoIterator<Item = FlowSeen>) -> VerifySeen {
    let mut seen = VerifySeen::default();
    for flow in flows {
        if let Some(challenge) = flow.flow.challenge.as_ref().filter(|it| !seen.budgets.has(&it.address)) {
            seen.budgets.add(&flow.flow.project, &challenge.address, Budget::default());
        }
        seen.flows.push(flow);
    }
    seen
}
