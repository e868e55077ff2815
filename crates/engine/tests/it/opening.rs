//! Flows that are opened before anything is asked in them, and what is noted about them.

use std::time::Duration;

use engine::{
    Annotate, DeviceId, Flow, FlowEnd, FlowState, Handle, Naming, OpenFlow, Operation as _, Purpose, Refusal,
    ResendMode, Start, StartSeen, Timestamp,
};

use crate::memory::Memory;
use crate::support::*;

/// A flow as it is opened at noon.
fn opening(key: &str, purpose: Purpose) -> OpenFlow {
    let sample = asked(key, purpose, &address("ada"), None);
    let flow = Flow {
        state: FlowState::Open,
        identity: None,
        device: Some(DeviceId::new(id())),
        memo: Some("opened".to_owned()),
        challenge: None,
        expires_at: NOON.plus(FLOW_LIFE),
        ..sample
    };
    OpenFlow { flow }
}

/// Asks in a flow that only its owner can name, and whose life is what it was opened for.
fn ask(now: Timestamp, key: &str, name: &str) -> Start {
    let mut operation = start(now, key, Purpose::SignInOrUp, &address(name));
    operation.naming = Naming::Secret;
    operation.asking.flow_end = FlowEnd::Fixed;
    operation.asking.mode = ResendMode::NewCode;
    operation
}

fn note(handle: Handle, memo: &str) -> Annotate {
    Annotate { handle, memo: memo.to_owned() }
}

#[test]
fn a_flow_is_opened_by_one_write_and_asks_nothing() {
    let operation = opening("flow", Purpose::SignInOrUp);
    let decision = operation.decide(());
    assert_eq!(names(&decision.writes), ["PutFlow"]);
    assert_eq!(decision.outcome, operation.flow);
    assert_eq!((decision.outcome.state, decision.outcome.challenge), (FlowState::Open, None));
}

#[test]
fn nothing_passes_where_nothing_was_asked() {
    let mut memory = Memory::default();
    let flow = memory.open_flow(&opening("flow", Purpose::SignInOrUp));
    for (now, why) in [
        (NOON, Refusal::FlowNotFound),
        (flow.expires_at.minus(MILLISECOND), Refusal::FlowNotFound),
        (flow.expires_at, Refusal::FlowExpired),
    ] {
        for typed in ["", "000000"] {
            let decision = verify(now, "flow", typed).decide(only(memory.seen(&handle("flow")).unwrap()));
            assert_eq!(refusal(&decision.outcome), why);
            assert!(decision.writes.is_empty(), "and no guess is counted");
        }
    }
}

#[test]
fn nothing_is_sent_again_where_nothing_was_asked() {
    let flow = opening("flow", Purpose::SignInOrUp).flow;
    for (now, why) in [(NOON, Refusal::FlowNotFound), (flow.expires_at, Refusal::FlowExpired)] {
        for mode in [ResendMode::SameCode, ResendMode::NewCode] {
            let seen = StartSeen { flow: Some(flow.clone()), ..StartSeen::default() };
            let decision = resend(now, "flow", mode).decide(seen);
            assert!(decision.writes.is_empty());
            assert_eq!(start_refusal(decision.outcome), why, "as a code that is brought back is told");
        }
    }
}

#[test]
fn what_is_asked_in_an_open_flow_is_asked_in_that_flow() {
    let mut memory = Memory::default();
    let opened = memory.open_flow(&opening("flow", Purpose::SignIn));
    let now = NOON.plus(Duration::from_mins(1));
    let mut operation = ask(now, "flow", "ada");
    operation.memo = Some("asked".to_owned());
    operation.device = Some(DeviceId::new(id()));
    let flow = started(memory.start(&operation));
    let kept = |flow: &Flow| (flow.id, flow.seed, flow.device, flow.issued_at, flow.expires_at);
    assert_eq!(kept(&flow), kept(&opened));
    assert_eq!(
        (flow.state, flow.purpose, flow.memo.as_deref()),
        (FlowState::Sent, Purpose::SignInOrUp, Some("asked")),
        "what it is for is what was asked last"
    );
    assert_eq!((challenge(&flow).epoch, challenge(&flow).sends, challenge(&flow).attempts), (1, 1, 0));
    let verified = passed(memory.verify(&verify(now, "flow", &code(&flow))));
    assert_eq!(verified.flow.id, opened.id);
    assert_eq!(memory.flows.len(), 1);
}

#[test]
fn an_open_flow_may_be_asked_in_until_the_millisecond_its_life_ends() {
    let opened = opening("flow", Purpose::SignInOrUp).flow;
    let ends = opened.expires_at;
    for (now, may) in [(NOON, true), (ends.minus(MILLISECOND), true), (ends, false)] {
        let decision = ask(now, "flow", "ada").decide(StartSeen { flow: Some(opened.clone()), ..StartSeen::default() });
        if may {
            let flow = started(decision.outcome);
            assert_eq!(challenge(&flow).expires_at, now.plus(CODE_LIFE).min(ends), "a code ends with its flow");
            assert_eq!(flow.expires_at, ends, "whose life nothing lengthens");
        } else {
            assert!(decision.writes.is_empty());
            assert_eq!(start_refusal(decision.outcome), Refusal::FlowExpired);
        }
    }
}

#[test]
fn a_flow_with_a_fixed_end_is_not_lengthened_and_one_that_ends_with_its_code_is() {
    let now = NOON.plus(FLOW_LIFE).minus(Duration::from_mins(5));
    for (flow_end, ends) in [(FlowEnd::Fixed, NOON.plus(FLOW_LIFE)), (FlowEnd::WithCode, now.plus(CODE_LIFE))] {
        let mut flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
        let seen = |flow: &Flow| StartSeen { flow: Some(flow.clone()), ..StartSeen::default() };
        let mut elsewhere = ask(now, "flow", "grace");
        elsewhere.asking.flow_end = flow_end;
        let mut again = resend(now, "flow", ResendMode::NewCode);
        again.asking.flow_end = flow_end;
        for outcome in [elsewhere.decide(seen(&flow)).outcome, again.decide(seen(&flow)).outcome] {
            flow = started(outcome);
            assert_eq!((challenge(&flow).expires_at, flow.expires_at), (ends, ends), "{flow_end:?}");
        }
    }
}

#[test]
fn a_code_that_ends_with_its_flow_is_sent_again_as_long_as_no_other_would_live_longer() {
    let ends = NOON.plus(FLOW_LIFE);
    let opened = opening("flow", Purpose::SignInOrUp).flow;
    let asked_at = ends.minus(Duration::from_mins(2));
    let seen = |flow: &Flow| StartSeen { flow: Some(flow.clone()), ..StartSeen::default() };
    let flow = started(ask(asked_at, "flow", "ada").decide(seen(&opened)).outcome);
    for (mode, epoch) in [(ResendMode::SameCode, 1), (ResendMode::NewCode, 2)] {
        let mut again = resend(asked_at.plus(Duration::from_secs(30)), "flow", mode);
        again.asking.flow_end = FlowEnd::Fixed;
        let again = started(again.decide(seen(&flow)).outcome);
        assert_eq!((challenge(&again).epoch, challenge(&again).expires_at), (epoch, ends), "{mode:?}");
        assert_eq!(code(&again) == code(&flow), epoch == 1);
    }
}

#[test]
fn another_address_in_the_same_flow_kills_the_code_and_gives_no_guess_back() {
    let mut memory = Memory::default();
    memory.open_flow(&opening("flow", Purpose::SignInOrUp));
    let first = started(memory.start(&ask(NOON, "flow", "ada")));
    let wrong = other_than(&code(&first));
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &wrong))), Refusal::CodeMismatch { left: 4 });
    let second = started(memory.start(&ask(NOON, "flow", "grace")));
    assert_eq!((challenge(&second).epoch, challenge(&second).attempts), (2, 1));
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &code(&first)))), Refusal::CodeMismatch { left: 3 });
    for left in [2, 1, 0] {
        assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", "x"))), Refusal::CodeMismatch { left });
    }
    // Nor does asking a third one, after all five.
    assert_eq!(start_refusal(memory.start(&ask(NOON, "flow", "ada"))), Refusal::AttemptsExhausted);
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &code(&second)))), Refusal::AttemptsExhausted);
}

#[test]
fn a_note_takes_the_place_of_the_one_before_whatever_state_its_flow_is_in_and_changes_nothing_else() {
    let mut memory = Memory::default();
    let hers = handle("flow");
    assert_eq!(memory.annotate(&note(hers, "too early")), Err(Refusal::FlowNotFound));
    memory.open_flow(&opening("flow", Purpose::SignInOrUp));
    let annotated = |memory: &mut Memory, memo: &str| {
        let before = memory.flow(&hers).unwrap().clone();
        let decision = note(hers, memo).decide(Some(before.clone()));
        assert_eq!(names(&decision.writes), ["AnnotateFlow"], "one write");
        assert_eq!(memory.annotate(&note(hers, memo)), Ok(()));
        let after = memory.flow(&hers).unwrap();
        assert_eq!(*after, Flow { memo: Some(memo.to_owned()), ..before });
    };
    annotated(&mut memory, "open");
    let flow = started(memory.start(&ask(NOON, "flow", "ada")));
    annotated(&mut memory, "sent");
    let code = code(&flow);
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &other_than(&code)))), Refusal::CodeMismatch { left: 4 });
    annotated(&mut memory, "missed");
    let verified = passed(memory.verify(&verify(NOON, "flow", &code)));
    assert_eq!(verified.flow.memo.as_deref(), Some("missed"), "and is handed back with the flow");
    annotated(&mut memory, "passed");
    assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &code))), Refusal::FlowPassed);
}
