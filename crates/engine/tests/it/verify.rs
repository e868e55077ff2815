//! Bringing a code back.

use std::time::{Duration, Instant};

use engine::{
    Alphabet, Challenge, CodeFormat, Decision, Flow, FlowSeen, FlowState, Handle, IdentityId, IdentityState,
    Operation as _, Purpose, Refusal, ResendMode, StartSeen, Timestamp, Verify, VerifyOutcome, VerifySeen, Write,
};

use crate::memory::Memory;
use crate::support::*;

#[test]
fn a_right_code_signs_in_whoever_owns_the_address() {
    let ada = address("ada");
    let owner = owner_of(&ada, Some(NOON));
    let flow = asked("flow", Purpose::SignIn, &ada, Some(&owner));
    let now = NOON.plus(Duration::from_secs(30));
    let operation = verify(now, "flow", &code(&flow));
    let decision = operation.decide(only(seen(&flow, Some(&owner))));
    assert_eq!(names(&decision.writes), ["PassFlow", "OpenSession"], "later proofs change nothing");
    let verified = passed(decision.outcome);
    assert_eq!((&verified.identity, &verified.address), (&owner.identity, &owner.address));
    assert!(!verified.is_first_proof);
    let session = verified.session.unwrap();
    assert_eq!(
        (session.id, session.identity, session.method.as_str()),
        (operation.session_id, owner.identity.id, "email")
    );
    assert_eq!((session.issued_at, session.expires_at, session.ended_at), (now, now.plus(FLOW_LIFE), None));
    assert_eq!(verified.flow.state, FlowState::Passed);
    assert!(challenge(&verified.flow).code_digest.is_none());
}

#[test]
fn no_session_is_opened_unless_asked_for() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let mut operation = verify(NOON, "flow", &code(&flow));
    operation.session = None;
    let decision = operation.decide(only(seen(&flow, None)));
    assert_eq!(names(&decision.writes), ["AddIdentity", "AddAddress", "PassFlow"]);
    assert!(passed(decision.outcome).session.is_none());
}

#[test]
fn a_code_is_right_however_it_is_typed() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let code = code(&flow);
    let (left, right) = code.split_at(3);
    for typed in [code.clone(), format!(" {left} {right}\n"), format!("{left}-{right}")] {
        passed(verify(NOON, "flow", &typed).decide(only(seen(&flow, None))).outcome);
    }
    for typed in [String::new(), left.to_owned(), format!("{code}0"), format!("0{code}"), format!("{code}{code}")] {
        let refused = verify(NOON, "flow", &typed).decide(only(seen(&flow, None))).outcome;
        assert_eq!(refusal(&refused), Refusal::CodeMismatch { left: 4 }, "{typed:?}");
    }
}

#[test]
fn a_code_of_letters_is_right_in_either_case() {
    let mut operation = start(NOON, "flow", Purpose::SignInOrUp, &address("ada"));
    operation.format = CodeFormat { alphabet: Alphabet::UpperAlphanumeric, length: 10 };
    let flow = started(operation.decide(StartSeen::default()).outcome);
    let code = code(&flow);
    assert!(code.bytes().any(|symbol| symbol.is_ascii_uppercase()));
    passed(verify(NOON, "flow", &code.to_lowercase()).decide(only(seen(&flow, None))).outcome);
}

#[test]
fn st_01_the_fifth_wrong_guess_ends_the_flow_and_the_right_code_is_then_refused() {
    let mut memory = Memory::default();
    let flow = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    let right = code(&flow);
    let wrong = other_than(&right);
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(refusal(&memory.verify(&verify(NOON, "flow", &wrong))), Refusal::CodeMismatch { left });
    }
    let spent = memory.seen(&handle("flow")).unwrap();
    for typed in [&wrong, &right] {
        let decision = verify(NOON, "flow", typed).decide(only(seen(&spent.flow, None)));
        assert_eq!(refusal(&decision.outcome), Refusal::AttemptsExhausted);
        assert!(decision.writes.is_empty(), "nothing is compared any more");
    }
    for mode in [ResendMode::SameCode, ResendMode::NewCode] {
        let outcome = memory.resend(&resend(NOON.plus(Duration::from_secs(5)), "flow", mode));
        assert_eq!(start_refusal(outcome), Refusal::AttemptsExhausted, "no resend gives guesses back");
    }
}

#[test]
fn a_guess_is_counted_in_the_decision_that_compares_it() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let Decision { outcome, writes } = verify(NOON, "flow", &other_than(&code(&flow))).decide(only(seen(&flow, None)));
    assert!(
        matches!(&writes[..], [Write::CountMiss { flow: counted, attempts: 1 }, Write::PutBudget { .. }] if *counted == flow.id)
    );
    let VerifyOutcome::Refused { flow: Some(told), .. } = outcome else { panic!("the caller is told the flow") };
    assert_eq!(challenge(&told).attempts, 1, "as it is now");
}

#[test]
fn st_06_a_passed_code_never_passes_again() {
    let mut memory = Memory::default();
    let flow = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    let code = code(&flow);
    passed(memory.verify(&verify(NOON, "flow", &code)));
    for later in [Duration::ZERO, Duration::from_secs(1), CODE_LIFE, FLOW_LIFE * 2] {
        assert_eq!(refusal(&memory.verify(&verify(NOON.plus(later), "flow", &code))), Refusal::FlowPassed);
    }
    assert_eq!((memory.sessions.len(), memory.identities.len()), (1, 1));
    for mode in [ResendMode::SameCode, ResendMode::NewCode] {
        let outcome = memory.resend(&resend(NOON.plus(Duration::from_secs(5)), "flow", mode));
        assert_eq!(start_refusal(outcome), Refusal::FlowPassed);
    }
}

#[test]
fn st_07_one_pass_spends_everything_the_flow_could_be_opened_with() {
    let mut memory = Memory::default();
    let flow = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    let digest = challenge(&flow).code_digest.unwrap();
    passed(memory.verify(&verify(NOON, "flow", &code(&flow))));

    let spent = memory.flow(&handle("flow")).unwrap().clone();
    assert!(challenge(&spent).code_digest.is_none(), "nothing is left to compare with");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    for secret in [
        code(&flow),
        hex(&flow.seed),
        hex(digest.as_bytes()),
        hex(flow.handle.as_bytes()),
        flow.id.to_string(),
        challenge(&flow).message.to_string(),
        String::new(),
    ] {
        let decision = verify(NOON, "flow", &secret).decide(only(seen(&spent, None)));
        assert_eq!(refusal(&decision.outcome), Refusal::FlowPassed);
        assert!(decision.writes.is_empty());
    }
    assert!(mailed(&spent).is_none(), "and no message carries its code any more");
    // Had only the state been lost, the digest is gone all the same.
    let reopened = Flow { state: FlowState::Sent, ..spent };
    let outcome = verify(NOON, "flow", &code(&flow)).decide(only(seen(&reopened, None))).outcome;
    assert_eq!(refusal(&outcome), Refusal::CodeMismatch { left: 4 });
}

#[test]
fn a_code_is_refused_from_the_millisecond_on_at_which_its_life_ends() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let code = code(&flow);
    let at = |now: Timestamp| verify(now, "flow", &code).decide(only(seen(&flow, None))).outcome;
    let ends = NOON.plus(CODE_LIFE);
    passed(at(ends.minus(MILLISECOND)));
    assert_eq!(refusal(&at(ends)), Refusal::CodeExpired);
    assert_eq!(refusal(&at(NOON.plus(FLOW_LIFE).minus(MILLISECOND))), Refusal::CodeExpired);
    assert_eq!(refusal(&at(NOON.plus(FLOW_LIFE))), Refusal::FlowExpired);
}

#[test]
fn an_expired_code_costs_no_guess() {
    let flow = asked("flow", Purpose::SignInOrUp, &address("ada"), None);
    let decision = verify(NOON.plus(CODE_LIFE), "flow", "000000").decide(only(seen(&flow, None)));
    assert!(decision.writes.is_empty());
}

#[test]
fn st_28_a_code_passes_in_no_other_flow() {
    let mut memory = Memory::default();
    let (ada, grace) = (address("ada"), address("grace"));
    let hers = started(memory.start(&start(NOON, "hers", Purpose::SignInOrUp, &ada)));
    // Another flow of another person, and another one of the same person.
    for (key, address) in [("another's", &grace), ("her second", &ada)] {
        let other = started(memory.start(&start(NOON, key, Purpose::SignInOrUp, address)));
        assert_eq!(
            refusal(&memory.verify(&verify(NOON, key, &code(&hers)))),
            Refusal::CodeMismatch { left: 4 },
            "her code in {key} flow"
        );
        assert_eq!(refusal(&memory.verify(&verify(NOON, "hers", &code(&other)))), {
            let spent = challenge(memory.flow(&handle("hers")).unwrap()).attempts;
            Refusal::CodeMismatch { left: 5 - spent }
        });
    }
    assert!(memory.sessions.is_empty());
    passed(memory.verify(&verify(NOON, "hers", &code(&hers))));
}

#[test]
fn st_28_a_digest_moved_to_another_flow_does_not_pass_there() {
    let (ada, grace) = (address("ada"), address("grace"));
    let hers = asked("hers", Purpose::SignInOrUp, &ada, None);
    let mut other = asked("another's", Purpose::SignInOrUp, &grace, None);
    other.challenge.as_mut().unwrap().code_digest = challenge(&hers).code_digest;
    let outcome = verify(NOON, "another's", &code(&hers)).decide(only(seen(&other, None))).outcome;
    assert_eq!(refusal(&outcome), Refusal::CodeMismatch { left: 4 }, "it is bound to its handle");
}

#[test]
fn a_flow_is_found_only_by_its_surface_its_project_its_slot_and_its_key() {
    let hers = handle("flow");
    let others = [
        Handle::new("other", &project(), "flow", b"flow"),
        Handle::new("test", &engine::ProjectId::new("P2"), "flow", b"flow"),
        Handle::new("test", &project(), "otp", b"flow"),
        Handle::new("test", &project(), "flow", b"other"),
        Handle::new("testP", &engine::ProjectId::new("1"), "flow", b"flow"),
        Handle::new("test", &project(), "flowf", b"low"),
    ];
    let mut memory = Memory::default();
    let flow = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada"))));
    for other in others {
        assert_ne!(other, hers);
        let mut operation = verify(NOON, "flow", &code(&flow));
        operation.handles = vec![other];
        assert_eq!(refusal(&memory.verify(&operation)), Refusal::FlowNotFound);
    }
    assert_eq!(challenge(memory.flow(&hers).unwrap()).attempts, 0);
}

/// Everything that must hold for a code to pass, each with the way to break it.
const INACTIVE: &str = "the owner is inactive";
type Breakage = (&'static str, fn(&mut Verify, &mut FlowSeen));
const BREAKAGES: [Breakage; 12] = [
    ("the flow was completed", |_, seen| seen.flow.state = FlowState::Passed),
    ("the flow is over", |operation, seen| seen.flow.expires_at = operation.now),
    ("nothing was asked", |_, seen| seen.flow.challenge = None),
    ("the guesses are spent", |_, seen| change(seen, |challenge| challenge.attempts = challenge.max_attempts)),
    ("the code is over", |operation, seen| change(seen, |challenge| challenge.expires_at = operation.now)),
    ("the code is another", |operation, _| operation.code = other_than(operation.code.expose()).into()),
    ("the digest is gone", |_, seen| change(seen, |challenge| challenge.code_digest = None)),
    ("the key is gone", |_, seen| change(seen, |challenge| challenge.key = LOST_KEY)),
    ("the handle is another", |_, seen| seen.flow.handle = handle("other")),
    ("the address has no owner", |_, seen| seen.owner = None),
    ("the owner is another", |_, seen| {
        if let Some(owner) = &mut seen.owner {
            owner.identity.id = IdentityId::new(id());
        }
    }),
    (INACTIVE, |_, seen| {
        if let Some(owner) = &mut seen.owner {
            owner.identity.state = IdentityState::Inactive;
        }
        if let Some(account) = &mut seen.account {
            account.identity.state = IdentityState::Inactive;
        }
    }),
];

fn change(seen: &mut FlowSeen, change: impl FnOnce(&mut Challenge)) {
    if let Some(challenge) = &mut seen.flow.challenge {
        change(challenge);
    }
}

#[test]
fn st_30_a_code_passes_only_where_nothing_at_all_is_wrong() {
    let ada = address("ada");
    for purpose in PURPOSES {
        let owner = owner_of(&ada, None);
        let flow = asked("flow", purpose, &ada, Some(&owner));
        let right = code(&flow);
        // The whole truth table: every condition alone, and every set of them.
        for broken in 0..1_u32 << BREAKAGES.len() {
            let (mut operation, mut seen) = (verify(NOON, "flow", &right), seen(&flow, Some(&owner)));
            let mut what = Vec::new();
            for (index, (name, breaks)) in BREAKAGES.iter().enumerate() {
                if broken & (1 << index) != 0 {
                    breaks(&mut operation, &mut seen);
                    what.push(*name);
                }
            }
            if purpose == Purpose::VerifyAddress && what == [INACTIVE] {
                // The one thing that may be the matter with the one purpose that lets nobody in.
                let verified = passed(operation.decide(only(seen)).outcome);
                assert!(verified.session.is_none());
                continue;
            }
            let decision = operation.decide(only(seen));
            match decision.outcome {
                VerifyOutcome::Passed(_) => assert!(what.is_empty(), "{purpose:?} passed although {what:?}"),
                VerifyOutcome::NotCompared { .. } => panic!("{purpose:?}: not compared"),
                VerifyOutcome::Refused { refusal, .. } => {
                    assert!(!what.is_empty(), "{purpose:?}: {refusal:?} although all is well");
                    let is_only_spent = decision.writes.iter().all(|it| {
                        matches!(it, Write::CountMiss { .. } | Write::PassFlow { .. } | Write::PutBudget { .. })
                    });
                    assert!(is_only_spent, "{purpose:?}, {what:?}: {:?}", decision.writes);
                }
            }
        }
    }
}

#[test]
fn of_several_flows_the_one_whose_code_it_is_passes() {
    let ada = address("ada");
    let flows = ["one", "two", "three"].map(|key| asked(key, Purpose::SignInOrUp, &ada, None));
    for right in &flows {
        let mut operation = verify(NOON, "one", &code(right));
        operation.handles = flows.iter().map(|flow| flow.handle).collect();
        let verified = passed(operation.decide(several(flows.iter().map(|flow| seen(flow, None)))).outcome);
        assert_eq!(verified.flow.id, right.id);
    }
}

#[test]
fn a_miss_counts_on_every_live_flow_it_may_have_been_meant_for() {
    let ada = address("ada");
    let mut flows = ["one", "two", "passed", "spent"].map(|key| asked(key, Purpose::SignInOrUp, &ada, None));
    flows[2].state = FlowState::Passed;
    flows[3].challenge.as_mut().unwrap().attempts = 5;
    let wrong =
        (0..10).map(|n| format!("{n:06}")).find(|code| flows[..2].iter().all(|it| mailed(it).as_ref() != Some(code)));
    let wrong = wrong.unwrap();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0]] {
        let decision =
            verify(NOON, "one", &wrong).decide(several(order.iter().map(|index| seen(&flows[*index], None))));
        assert_eq!(names(&decision.writes), ["CountMiss", "CountMiss", "PutBudget"]);
        assert_eq!(
            refusal(&decision.outcome),
            Refusal::CodeMismatch { left: 4 },
            "which is worth more than why others are over"
        );
    }
}

#[test]
fn of_several_flows_that_are_over_the_newest_says_why() {
    let mut flows = ["older", "newer"].map(|key| asked(key, Purpose::SignInOrUp, &address("ada"), None));
    flows[0].state = FlowState::Passed;
    flows[1].challenge.as_mut().unwrap().attempts = 5;
    assert!(flows[0].id < flows[1].id);
    for order in [[0, 1], [1, 0]] {
        let decision =
            verify(NOON, "newer", "000000").decide(several(order.iter().map(|index| seen(&flows[*index], None))));
        assert_eq!(refusal(&decision.outcome), Refusal::AttemptsExhausted);
        assert!(decision.writes.is_empty());
    }
}

#[test]
fn where_there_is_no_flow_nothing_is_written() {
    let decision = verify(NOON, "flow", "000000").decide(VerifySeen::default());
    assert_eq!(refusal(&decision.outcome), Refusal::FlowNotFound);
    assert!(decision.writes.is_empty());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures how long a decision takes")]
fn st_44_comparing_a_code_costs_next_to_nothing() {
    let ada = address("ada");
    let owner = owner_of(&ada, None);
    let flow = asked("flow", Purpose::SignInOrUp, &ada, Some(&owner));
    let right = code(&flow);
    let megabyte = "0".repeat(1 << 20);
    for (what, typed) in [("right", right.as_str()), ("wrong", "000000"), ("a megabyte", &megabyte)] {
        let rounds = if typed.len() > 100 { 20 } else { 2_000 };
        let mut took: Vec<_> = (0..rounds)
            .map(|_| {
                let (operation, seen) = (verify(NOON, "flow", typed), seen(&flow, Some(&owner)));
                let begun = Instant::now();
                let decision = operation.decide(only(seen));
                let took = begun.elapsed();
                assert!(!decision.writes.is_empty());
                took
            })
            .collect();
        took.sort();
        let p99 = took[took.len() * 99 / 100 - 1];
        // A request's body is bounded far below a megabyte; here it must only not explode.
        let most = if typed.len() > 100 { Duration::from_millis(500) } else { Duration::from_millis(5) };
        assert!(p99 < most, "{what}: {p99:?}");
    }
}
