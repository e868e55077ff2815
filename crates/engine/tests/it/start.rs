//! Asking, and asking again.

use std::time::Duration;

use engine::{
    Budget, Decision, Digest, Flow, FlowId, FlowState, IdentityId, MessageId, MessageKind, Naming, Operation as _,
    OutboxMessage, Owner, Purpose, RENEWAL, REPEAT, Refusal, ResendMode, SendLimit, SendLog, Spent, StartOutcome,
    StartSeen, Timestamp, Write,
};

use crate::memory::Memory;
use crate::support::*;

/// The owners an address may have at the start, as far as a start can tell.
fn owners(name: &str) -> [(&'static str, Option<Owner>); 3] {
    let address = address(name);
    [
        ("nobody's", None),
        ("somebody's, unproven", Some(owner_of(&address, None))),
        ("somebody's, proven", Some(owner_of(&address, Some(NOON)))),
    ]
}

fn owed(writes: &[Write]) -> &OutboxMessage {
    let mut owed = writes.iter().filter_map(|write| match write {
        Write::OweMessage(message) => Some(message),
        _ => None,
    });
    let message = owed.next().expect("a message is owed");
    assert!(owed.next().is_none(), "one message is owed");
    message
}

/// `flow` without what differs between any two flows of the same question.
fn without_ids(flow: &Flow) -> Flow {
    let mut flow = flow.clone();
    flow.id = FlowId::new(0);
    flow.handle = handle("");
    flow.seed = [0; 16];
    flow.identity = None;
    let challenge = flow.challenge.as_mut().unwrap();
    challenge.message = MessageId::new(0);
    challenge.code_digest = challenge.code_digest.map(|_| Digest::from_bytes([0; 32]));
    flow
}

#[test]
fn a_start_opens_a_flow_and_owes_its_code() {
    let ada = address("ada");
    let operation = start(NOON, "flow", Purpose::SignInOrUp, &ada);
    let decision = operation.decide(StartSeen::default());
    let message = owed(&decision.writes).clone();
    let flow = started(decision.outcome);

    assert_eq!((flow.state, flow.purpose, flow.identity), (FlowState::Sent, Purpose::SignInOrUp, None));
    assert_eq!((flow.issued_at, flow.expires_at), (NOON, NOON.plus(FLOW_LIFE)));
    let challenge = challenge(&flow);
    assert_eq!((challenge.epoch, challenge.sends, challenge.attempts, challenge.max_attempts), (1, 1, 0, 5));
    assert_eq!((challenge.sent_at, challenge.expires_at), (NOON, NOON.plus(CODE_LIFE)));

    assert_eq!((message.kind, message.recipient, message.flow), (MessageKind::Code, ada, flow.id));
    assert_eq!((message.epoch, message.due_at, message.not_after), (1, NOON, challenge.expires_at));
    assert_eq!(message.id, challenge.message);
}

#[test]
fn a_flow_outlives_its_code() {
    let mut operation = start(NOON, "flow", Purpose::SignInOrUp, &address("ada"));
    operation.flow_life = Duration::from_mins(1);
    let flow = started(operation.decide(StartSeen::default()).outcome);
    assert_eq!(flow.expires_at, challenge(&flow).expires_at);
}

#[test]
fn a_code_is_owed_only_where_it_could_pass() {
    use MessageKind::{Code, Decoy};
    for (purpose, kinds) in [
        (Purpose::SignIn, [Decoy, Code, Code]),
        (Purpose::SignInOrUp, [Code, Code, Code]),
        (Purpose::SignUp, [Code, Code, Decoy]),
        (Purpose::VerifyAddress, [Decoy, Code, Code]),
    ] {
        for ((whose, owner), kind) in owners("ada").into_iter().zip(kinds) {
            let mut operation = start(NOON, "flow", purpose, &address("ada"));
            operation.identity = owner.as_ref().map(|owner| owner.identity.id);
            let decision = operation.decide(StartSeen { owner: owner.clone(), ..StartSeen::default() });
            assert_eq!(owed(&decision.writes).kind, kind, "{purpose:?} of an address that is {whose}");
            let flow = started(decision.outcome);
            if kind == Code {
                assert_eq!(flow.identity, owner.map(|owner| owner.identity.id), "{purpose:?}, {whose}");
            }
        }
    }
}

#[test]
fn proving_an_address_of_somebody_else_owes_a_decoy() {
    let ada = address("ada");
    let mut operation = start(NOON, "flow", Purpose::VerifyAddress, &ada);
    operation.identity = Some(IdentityId::new(id()));
    let decision = operation.decide(StartSeen { owner: Some(owner_of(&ada, Some(NOON))), ..StartSeen::default() });
    assert_eq!(owed(&decision.writes).kind, MessageKind::Decoy);
    assert_eq!(started(decision.outcome).identity, operation.identity, "the flow stays whose it was asked for");
}

#[test]
fn st_34_known_and_unknown_addresses_get_the_same_answer_and_the_same_rows() {
    for purpose in PURPOSES {
        let mut answers = owners("ada").into_iter().map(|(whose, owner)| {
            let mut operation = start(NOON, "flow", purpose, &address("ada"));
            operation.asking.send_limit = Some(SendLimit::default());
            let decision = operation.decide(StartSeen { owner, ..StartSeen::default() });
            let shape: Vec<_> = decision.writes.iter().map(std::mem::discriminant).collect();
            let message = owed(&decision.writes);
            let message = OutboxMessage {
                id: MessageId::new(0),
                flow: FlowId::new(0),
                kind: MessageKind::Code,
                ..message.clone()
            };
            (whose, shape, message, without_ids(&started(decision.outcome)))
        });
        let (_, shape, message, flow) = answers.next().unwrap();
        for (whose, other_shape, other_message, other_flow) in answers {
            assert_eq!(other_shape, shape, "{purpose:?}, {whose}");
            assert_eq!(other_message, message, "{purpose:?}, {whose}");
            assert_eq!(other_flow, flow, "{purpose:?}, {whose}");
        }
    }
}

#[test]
fn st_34_known_and_unknown_addresses_are_sent_as_often() {
    let waits = owners("ada").map(|(_, owner)| {
        let mut log = Budget::default();
        let mut waits = Vec::new();
        for minute in 0..90 {
            let now = NOON.plus(Duration::from_mins(minute));
            let mut operation = start(now, "flow", Purpose::SignIn, &address("ada"));
            operation.asking.send_limit = Some(SendLimit::default());
            let seen = StartSeen { owner: owner.clone(), budget: log.clone(), ..StartSeen::default() };
            let decision = operation.decide(seen);
            for write in decision.writes {
                if let Write::PutBudget { budget: longer, .. } = write {
                    log = longer;
                }
            }
            waits.push(match decision.outcome {
                StartOutcome::Refused(refusal) => Some(refusal),
                _ => None,
            });
        }
        waits
    });
    assert_eq!(waits[0], waits[1]);
    assert_eq!(waits[0], waits[2]);
    assert_eq!(waits[0].iter().filter(|wait| wait.is_none()).count(), 10, "five an hour");
}

#[test]
fn a_spent_send_budget_writes_nothing() {
    let limit = SendLimit::default();
    let sends = SendLog::default().spend(&limit, None, NOON).unwrap();
    let budget = Budget { stranger: Spent { sends, ..Spent::default() }, ..Budget::default() };
    let mut operation = start(NOON.plus(Duration::from_secs(10)), "flow", Purpose::SignInOrUp, &address("ada"));
    operation.asking.send_limit = Some(limit);
    let decision = operation.decide(StartSeen { budget, ..StartSeen::default() });
    assert!(decision.writes.is_empty());
    assert_eq!(start_refusal(decision.outcome), Refusal::TooSoon { retry_after: Duration::from_secs(20) });
}

#[test]
fn a_decoy_never_passes() {
    // Three digits, so that every answer there is can be tried.
    for purpose in [Purpose::SignIn, Purpose::SignUp] {
        let ada = address("ada");
        let owner = (purpose == Purpose::SignUp).then(|| owner_of(&ada, Some(NOON)));
        let mut operation = start(NOON, "flow", purpose, &ada);
        operation.format.length = 3;
        let flow = started(operation.decide(StartSeen { owner: owner.clone(), ..StartSeen::default() }).outcome);
        assert!(challenge(&flow).code_digest.is_some(), "it looks like any other");
        let sent = code(&flow);
        let mut mismatches = 0;
        for number in 0..1000 {
            let typed = format!("{number:03}");
            let seen = seen(&flow, owner.as_ref());
            let refusal = refusal(&verify(NOON, "flow", &typed).decide(only(seen)).outcome);
            let is_mismatch = matches!(refusal, Refusal::CodeMismatch { .. });
            assert!(is_mismatch || typed != sent, "not even what a mail would have said is right");
            mismatches += u32::from(is_mismatch);
        }
        assert!(mismatches >= 999, "{purpose:?}");
    }
}

/// What asking again at `now`, by a start and by a resend, comes to in `flow`, asked at noon.
fn asked_again(flow: &Flow, now: Timestamp, mode: ResendMode, limit: Option<SendLimit>) -> [Decision<StartOutcome>; 2] {
    let mut again = start(now, "flow", flow.purpose, &challenge(flow).address);
    let mut resend = resend(now, "flow", mode);
    again.asking.mode = mode;
    for asking in [&mut again.asking, &mut resend.asking] {
        asking.send_limit = limit;
    }
    let seen = || StartSeen { flow: Some(flow.clone()), ..StartSeen::default() };
    [again.decide(seen()), resend.decide(seen())]
}

#[test]
fn a_repeat_within_two_seconds_owes_nothing() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let later = NOON.plus(REPEAT);
    // Where nothing limits sending (development), the same code is spared all the same.
    for (mode, limit) in [
        (ResendMode::SameCode, Some(SendLimit::default())),
        (ResendMode::NewCode, Some(SendLimit::default())),
        (ResendMode::SameCode, None),
    ] {
        for (now, is_repeat) in [(NOON, true), (later.minus(MILLISECOND), true), (later, false)] {
            for decision in asked_again(&flow, now, mode, limit) {
                assert_eq!(decision.writes.is_empty(), is_repeat, "{mode:?} at {now:?}");
                if is_repeat {
                    assert_eq!(repeated(decision.outcome), flow);
                } else {
                    assert_eq!(challenge(&started(decision.outcome)).sends, 2);
                }
            }
        }
    }
}

#[test]
fn where_nothing_limits_sending_a_new_code_is_sent_at_once() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    for now in [NOON, NOON.plus(MILLISECOND), NOON.plus(REPEAT).minus(MILLISECOND)] {
        for decision in asked_again(&flow, now, ResendMode::NewCode, None) {
            let again = started(decision.outcome);
            assert_eq!((challenge(&again).epoch, challenge(&again).sends), (2, 2), "at {now:?}");
            assert_ne!(code(&again), code(&flow));
        }
    }
}

#[test]
fn the_same_code_is_sent_again_until_less_than_three_minutes_of_it_are_left() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let last = NOON.plus(CODE_LIFE).minus(RENEWAL);
    for now in [NOON.plus(REPEAT), last] {
        let again = started(
            resend(now, "flow", ResendMode::SameCode)
                .decide(StartSeen { flow: Some(flow.clone()), ..StartSeen::default() })
                .outcome,
        );
        assert_eq!(challenge(&again).epoch, 1);
        assert_eq!(challenge(&again).expires_at, NOON.plus(CODE_LIFE), "the deadline stays");
        assert_eq!(challenge(&again).sent_at, now);
        assert_eq!(code(&again), code(&flow));
    }
    for now in [last.plus(MILLISECOND), NOON.plus(CODE_LIFE), NOON.plus(Duration::from_mins(30))] {
        let again = started(
            resend(now, "flow", ResendMode::SameCode)
                .decide(StartSeen { flow: Some(flow.clone()), ..StartSeen::default() })
                .outcome,
        );
        assert_eq!(challenge(&again).epoch, 2);
        assert_eq!(challenge(&again).expires_at, now.plus(CODE_LIFE));
        assert_ne!(code(&again), code(&flow));
    }
}

#[test]
fn in_new_code_mode_the_old_code_dies_at_once() {
    let mut memory = Memory::default();
    let first = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    let now = NOON.plus(REPEAT);
    let second = started(memory.resend(&resend(now, "flow", ResendMode::NewCode)));
    assert_eq!(challenge(&second).epoch, 2);
    assert_eq!(
        refusal(&memory.verify(&verify(now, "flow", &code(&first)))),
        Refusal::CodeMismatch { left: 4 },
        "the old code is a wrong one"
    );
    passed(memory.verify(&verify(now, "flow", &code(&second))));
}

#[test]
fn a_resend_cancels_the_message_that_is_still_owed_and_never_resets_the_guesses() {
    let mut memory = Memory::default();
    let first = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    let wrong = other_than(&code(&first));
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &wrong))), Refusal::CodeMismatch { left: 4 });
    for (round, mode) in [ResendMode::SameCode, ResendMode::NewCode].into_iter().enumerate() {
        let now = NOON.plus(Duration::from_secs(10 * (round as u64 + 1)));
        let again = started(memory.resend(&resend(now, "flow", mode)));
        assert_eq!(challenge(&again).attempts, 1, "{mode:?}");
        assert_eq!(memory.outbox.values().filter(|it| it.state == engine::MessageState::Owed).count(), 1, "{mode:?}");
    }
}

/// Everything that can be the matter with a flow, and what it is called.
fn dead(flow: &Flow) -> [(Flow, Timestamp, Refusal); 4] {
    let mut spent = flow.clone();
    spent.challenge.as_mut().unwrap().attempts = 5;
    let mut passed = flow.clone();
    passed.state = FlowState::Passed;
    [
        (passed, NOON, Refusal::FlowPassed),
        (spent, NOON, Refusal::AttemptsExhausted),
        (flow.clone(), challenge(flow).expires_at, Refusal::CodeExpired),
        (flow.clone(), flow.expires_at, Refusal::FlowExpired),
    ]
}

#[test]
fn a_dead_flow_that_anybody_can_name_is_replaced_by_the_next_start() {
    let ada = address("ada");
    for (dead, now, why) in dead(&asked("flow", Purpose::SignInOrUp, &ada, None)) {
        let operation = start(now, "flow", Purpose::SignInOrUp, &ada);
        let decision = operation.decide(StartSeen { flow: Some(dead.clone()), ..StartSeen::default() });
        let flow = started(decision.outcome);
        assert_ne!(flow.id, dead.id, "{why:?}");
        assert_ne!(flow.seed, dead.seed, "{why:?}");
        assert_eq!((challenge(&flow).epoch, challenge(&flow).attempts), (1, 0), "{why:?}");
        assert_ne!(code(&flow), mailed(&dead).unwrap_or_default(), "{why:?}");
    }
}

#[test]
fn a_dead_flow_that_only_its_owner_can_name_is_never_revived_by_a_start() {
    let ada = address("ada");
    for (dead, now, why) in dead(&asked("flow", Purpose::SignInOrUp, &ada, None)) {
        if why == Refusal::CodeExpired {
            // Its code is over; it is not.
            continue;
        }
        let mut operation = start(now, "flow", Purpose::SignInOrUp, &ada);
        operation.naming = Naming::Secret;
        let decision = operation.decide(StartSeen { flow: Some(dead), ..StartSeen::default() });
        assert!(decision.writes.is_empty(), "{why:?}");
        assert_eq!(start_refusal(decision.outcome), why);
    }
}

#[test]
fn a_flow_that_only_its_owner_can_name_may_be_asked_in_again_after_its_code_alone_is_over() {
    let (ada, grace) = (address("ada"), address("grace"));
    let mut flow = asked("flow", Purpose::SignInOrUp, &ada, None);
    flow.challenge.as_mut().unwrap().attempts = 3;
    let now = challenge(&flow).expires_at;
    for to in [&ada, &grace] {
        let mut operation = start(now, "flow", Purpose::SignInOrUp, to);
        operation.naming = Naming::Secret;
        let decision = operation.decide(StartSeen { flow: Some(flow.clone()), ..StartSeen::default() });
        assert_eq!(owed(&decision.writes).recipient, *to);
        let again = started(decision.outcome);
        assert_eq!((again.id, again.seed, again.issued_at), (flow.id, flow.seed, flow.issued_at), "the same flow");
        assert_eq!((challenge(&again).epoch, challenge(&again).attempts), (2, 3), "guesses stay spent");
        assert_ne!(code(&again), code(&flow));
    }
}

#[test]
fn a_live_flow_is_asked_in_however_it_is_named() {
    let ada = address("ada");
    let flow = asked("flow", Purpose::SignInOrUp, &ada, None);
    for naming in [Naming::Public, Naming::Secret] {
        let mut operation = start(NOON.plus(REPEAT), "flow", Purpose::SignInOrUp, &ada);
        operation.naming = naming;
        let again = started(operation.decide(StartSeen { flow: Some(flow.clone()), ..StartSeen::default() }).outcome);
        assert_eq!((again.id, challenge(&again).epoch, challenge(&again).sends), (flow.id, 1, 2));
    }
}

#[test]
fn a_start_that_asks_something_else_is_a_new_code_in_the_same_flow() {
    let ada = address("ada");
    let mut flow = asked("flow", Purpose::SignInOrUp, &ada, None);
    flow.challenge.as_mut().unwrap().attempts = 3;
    let mut elsewhere = start(NOON, "flow", Purpose::SignInOrUp, &address("grace"));
    // Only its owner can name it: what a stranger asks in a flow that he can name does not count, see `st_63`.
    let mut for_something_else = start(NOON, "flow", Purpose::SignUp, &ada);
    for_something_else.naming = Naming::Secret;
    let mut of_another_form = start(NOON, "flow", Purpose::SignInOrUp, &ada);
    of_another_form.format.length = 8;
    for operation in [&mut elsewhere, &mut for_something_else, &mut of_another_form] {
        let other = started(operation.decide(StartSeen { flow: Some(flow.clone()), ..StartSeen::default() }).outcome);
        assert_eq!(other.id, flow.id);
        assert_eq!((challenge(&other).epoch, challenge(&other).attempts), (2, 3), "guesses stay spent");
        assert_eq!(
            (&challenge(&other).address, other.purpose, challenge(&other).format),
            (&operation.address, operation.purpose, operation.format)
        );
        assert_ne!(code(&other), code(&flow));
    }
}

#[test]
fn proving_an_address_for_somebody_else_is_another_question() {
    let ada = address("ada");
    let owner = owner_of(&ada, None);
    let flow = asked("flow", Purpose::VerifyAddress, &ada, Some(&owner));
    let mut operation = start(NOON.plus(REPEAT), "flow", Purpose::VerifyAddress, &ada);
    operation.identity = Some(IdentityId::new(id()));
    let seen = StartSeen { flow: Some(flow.clone()), owner: Some(owner), ..StartSeen::default() };
    let decision = operation.decide(seen);
    assert_eq!(owed(&decision.writes).kind, MessageKind::Decoy);
    let other = started(decision.outcome);
    assert_eq!((other.identity, challenge(&other).epoch), (operation.identity, 2));
}

#[test]
fn a_resend_is_refused_where_nothing_can_be_asked_again() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let mut open = flow.clone();
    open.challenge = None;
    open.state = FlowState::Open;
    let mut cases = vec![(None, NOON, Refusal::FlowNotFound), (Some(open), NOON, Refusal::FlowNotFound)];
    cases.extend(
        dead(&flow)
            .into_iter()
            .filter(|(_, _, why)| *why != Refusal::CodeExpired)
            .map(|(dead, now, why)| (Some(dead), now, why)),
    );
    for (flow, now, why) in cases {
        for mode in [ResendMode::SameCode, ResendMode::NewCode] {
            let decision = resend(now, "flow", mode).decide(StartSeen { flow: flow.clone(), ..StartSeen::default() });
            assert!(decision.writes.is_empty(), "{why:?}");
            assert_eq!(start_refusal(decision.outcome), why);
        }
    }
}

#[test]
fn a_resend_sends_what_passes_also_when_the_owner_of_the_address_has_changed() {
    let ada = address("ada");
    let somebody = owner_of(&ada, None);
    let somebody_else = owner_of(&ada, None);
    let now = NOON.plus(REPEAT);
    for (before, after) in [(None, Some(&somebody)), (Some(&somebody), None), (Some(&somebody), Some(&somebody_else))] {
        for purpose in [Purpose::SignIn, Purpose::SignInOrUp] {
            let flow = asked("flow", purpose, &ada, before);
            let seen = StartSeen { flow: Some(flow.clone()), owner: after.cloned(), ..StartSeen::default() };
            let decision = resend(now, "flow", ResendMode::SameCode).decide(seen);
            let kind = owed(&decision.writes).kind;
            let again = started(decision.outcome);
            assert_eq!(challenge(&again).epoch, 2, "the old code was asked for by, or for, somebody else");
            assert_eq!(again.identity, after.map(|owner| owner.identity.id));
            let seen = |code: &str| verify(now, "flow", code).decide(only(crate::support::seen(&again, after))).outcome;
            assert!(matches!(refusal(&seen(&code(&flow))), Refusal::CodeMismatch { .. }));
            if kind == MessageKind::Code {
                passed(seen(&code(&again)));
            }
        }
    }
}

#[test]
fn a_resend_after_the_key_of_the_code_is_gone_sends_a_code_of_the_present_key() {
    let mut flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    flow.challenge.as_mut().unwrap().key = LOST_KEY;
    let decision = resend(NOON.plus(REPEAT), "flow", ResendMode::SameCode)
        .decide(StartSeen { flow: Some(flow), ..StartSeen::default() });
    let again = started(decision.outcome);
    assert_eq!((challenge(&again).epoch, challenge(&again).key), (2, keys().newest()));
    assert!(mailed(&again).is_some());
}
