//! What may be guessed: five short codes of an address a day, over every flow and surface together, and nobody locked out.

use std::time::Duration;

use engine::{
    Breaker, ChangeDevice, CodeFormat, DeviceChange, DeviceId, DeviceProof, Flow, IdentityId, KNOWN_FOR, Naming, Owner,
    Purpose, Refusal, Register, ResendMode, Start, StartOutcome, Timestamp, Verified, VerifyOutcome,
};

use crate::memory::Memory;
use crate::support::*;

const SHORT: CodeFormat = CodeFormat::SIX_DIGITS;
const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

/// A sign-in at `now` in the flow `key`, by who shows `proof`.
fn sign_in(now: Timestamp, key: &str, proof: Option<DeviceProof>) -> Start {
    let mut operation = start(now, key, Purpose::SignIn, &address("ada"));
    operation.asking.proof = proof;
    operation
}

/// Types `typed` into the flow `key`, showing `proof`.
fn types(memory: &mut Memory, now: Timestamp, key: &str, typed: &str, proof: Option<DeviceProof>) -> VerifyOutcome {
    let mut operation = verify(now, key, typed);
    operation.proof = proof;
    memory.verify(&operation)
}

/// A world in which Ada has an account.
fn with_ada() -> (Memory, Owner) {
    let mut memory = Memory::default();
    let Owner { identity, address } = owner_of(&address("ada"), Some(NOON));
    memory.register(&Register { identity: identity.clone(), addresses: vec![address.clone()] });
    (memory, Owner { identity, address })
}

/// What shows that Ada was proved here `ago`.
fn proof_of(ada: &Owner, ago: Duration) -> DeviceProof {
    DeviceProof::Identity { identity: ada.identity.id, proved_at: NOON.minus(ago) }
}

/// Spends all that strangers may guess about Ada, in a flow of its own for each guess.
fn spend(memory: &mut Memory, now: Timestamp) {
    for number in 0..5 {
        let key = format!("attack {} {number}", now.millis());
        let flow = started(memory.start(&sign_in(now, &key, None)));
        let wrong = other_than(&code(&flow));
        assert!(matches!(
            types(memory, now, &key, &wrong, None),
            VerifyOutcome::Refused { refusal: Refusal::CodeMismatch { .. }, .. }
        ));
    }
}

fn format(flow: &Flow) -> CodeFormat {
    challenge(flow).format
}

fn passes(outcome: VerifyOutcome) -> Verified {
    passed(outcome)
}

#[test]
fn st_02_over_two_hundred_flows_five_guesses_are_compared_and_no_short_code_passes_any_more() {
    let (mut memory, _) = with_ada();
    let flows: Vec<_> = (0..200)
        .map(|number| {
            let key = format!("flow {number}");
            let flow = started(memory.start(&sign_in(NOON, &key, None)));
            assert_eq!(format(&flow), SHORT, "asked before anything was guessed");
            (key, code(&flow))
        })
        .collect();
    let compared = flows.iter().filter(|(key, code)| {
        let outcome = types(&mut memory, NOON, key, &other_than(code), None);
        !matches!(outcome, VerifyOutcome::NotCompared { .. })
    });
    assert_eq!(compared.count(), 5);
    for (key, code) in &flows {
        let outcome = types(&mut memory, NOON.plus(CODE_LIFE).minus(MILLISECOND), key, code, None);
        assert!(matches!(outcome, VerifyOutcome::NotCompared { .. }), "the right code of {key} is not even compared");
    }
}

#[test]
fn st_02_no_resend_and_no_success_in_between_gives_a_guess_back() {
    let (mut memory, _) = with_ada();
    let flow = started(memory.start(&sign_in(NOON, "hers", None)));
    spend(&mut memory, NOON);
    let again = memory.resend(&resend(NOON.plus(Duration::from_secs(5)), "hers", ResendMode::SameCode));
    let again = started(again);
    assert_eq!(format(&again), SHORT.long(), "a resend that finds a short code makes it a long one");
    assert!(matches!(
        types(&mut memory, NOON.plus(Duration::from_secs(6)), "hers", &code(&flow), None),
        VerifyOutcome::Refused { .. }
    ));
    passes(types(&mut memory, NOON.plus(Duration::from_secs(7)), "hers", &code(&again), None));
    let next = started(memory.start(&sign_in(NOON.plus(Duration::from_secs(8)), "next", None)));
    assert_eq!(format(&next), SHORT.long(), "her success forgives nobody");
}

#[test]
fn st_08_who_spends_the_guesses_locks_nobody_out() {
    let (mut memory, ada) = with_ada();
    spend(&mut memory, NOON);
    // From a new device she is sent a long code, which passes however often strangers guess.
    let flow = started(memory.start(&sign_in(NOON, "new device", None)));
    assert_eq!(format(&flow), SHORT.long());
    assert_eq!(code(&flow).len(), 12);
    for _ in 0..300 {
        let outcome = types(&mut memory, NOON, "new device", "000000000000", None);
        assert!(matches!(outcome, VerifyOutcome::Refused { refusal: Refusal::CodeMismatch { .. }, .. }), "{outcome:?}");
    }
    passes(types(&mut memory, NOON, "new device", &code(&flow), None));
    // From a device she was proved on, a short one.
    let proof = Some(proof_of(&ada, DAY));
    let flow = started(memory.start(&sign_in(NOON, "old device", proof)));
    assert_eq!(format(&flow), SHORT);
    assert!(matches!(types(&mut memory, NOON, "old device", &code(&flow), None), VerifyOutcome::NotCompared { .. }));
    passes(types(&mut memory, NOON, "old device", &code(&flow), proof));
}

#[test]
fn st_08_where_anybody_can_name_the_flow_a_known_device_has_one_of_its_own() {
    let (mut memory, ada) = with_ada();
    let known = handle("known device");
    let asks = |memory: &mut Memory, now, proof| {
        let operation = Start { naming: Naming::Divided { known }, ..sign_in(now, "anybody", proof) };
        started(memory.start(&operation))
    };
    let mut stranger = asks(&mut memory, NOON, None);
    for _ in 0..5 {
        types(&mut memory, NOON, "anybody", &other_than(&code(&stranger)), None);
    }
    // A long code now lives in the flow that anybody can name, who shows nothing or somebody else's token asks in that one.
    stranger = asks(&mut memory, NOON, None);
    assert_eq!((stranger.handle, format(&stranger)), (handle("anybody"), SHORT.long()));
    let foreign = DeviceProof::Identity { identity: IdentityId::new(id()), proved_at: NOON };
    let again = asks(&mut memory, NOON.plus(MINUTE), Some(foreign));
    assert_eq!((again.id, format(&again)), (stranger.id, SHORT.long()));
    // Her device does not.
    let proof = Some(proof_of(&ada, DAY));
    let own = asks(&mut memory, NOON.plus(MINUTE), proof);
    assert_eq!((own.handle, format(&own)), (known, SHORT));
    assert_eq!(asks(&mut memory, NOON.plus(MINUTE * 2), proof).id, own.id, "asked again, it is the same one");
    // Whoever brings a code is looked for in both.
    let brings = |memory: &mut Memory, typed: &str, proof| {
        let mut operation = verify(NOON.plus(MINUTE * 2), "anybody", typed);
        operation.handles.push(known);
        operation.proof = proof;
        memory.verify(&operation)
    };
    // Nobody gains by that: a stranger's guesses at short codes are spent, whichever flow they would be for.
    assert!(!matches!(brings(&mut memory, &code(&own), None), VerifyOutcome::Passed(_)));
    passes(brings(&mut memory, &code(&stranger), None));
    passes(brings(&mut memory, &code(&own), proof));
}

#[test]
fn a_device_is_known_for_ninety_days_and_only_for_whom_it_was_proved_on() {
    let (mut memory, ada) = with_ada();
    spend(&mut memory, NOON);
    let foreign = DeviceProof::Identity { identity: IdentityId::new(id()), proved_at: NOON };
    let nearly = KNOWN_FOR.saturating_sub(MILLISECOND);
    let cases = [
        (Some(proof_of(&ada, nearly)), SHORT),
        (Some(proof_of(&ada, KNOWN_FOR)), SHORT.long()),
        (Some(foreign), SHORT.long()),
        (None, SHORT.long()),
    ];
    for (number, (proof, expected)) in cases.into_iter().enumerate() {
        let flow = started(memory.start(&sign_in(NOON, &format!("flow {number}"), proof)));
        assert_eq!(format(&flow), expected, "{proof:?}");
    }
}

#[test]
fn known_devices_have_five_guesses_of_their_own_and_then_long_codes_too() {
    let (mut memory, ada) = with_ada();
    let proof = Some(proof_of(&ada, DAY));
    for number in 0..5 {
        let key = format!("flow {number}");
        let flow = started(memory.start(&sign_in(NOON, &key, proof)));
        types(&mut memory, NOON, &key, &other_than(&code(&flow)), proof);
    }
    assert_eq!(format(&started(memory.start(&sign_in(NOON, "known", proof)))), SHORT.long());
    assert_eq!(
        format(&started(memory.start(&sign_in(NOON, "stranger", None)))),
        SHORT,
        "which is no matter of strangers"
    );
}

#[test]
fn a_day_after_the_misses_codes_are_short_again_but_a_live_flow_stays_long() {
    let (mut memory, _) = with_ada();
    spend(&mut memory, NOON);
    let last = NOON.plus(DAY).minus(MILLISECOND);
    let long = started(memory.start(&sign_in(last, "flow", None)));
    assert_eq!(format(&long), SHORT.long());
    let later = last.plus(Duration::from_secs(3));
    assert_eq!(format(&started(memory.start(&sign_in(later, "other", None)))), SHORT);
    let again = started(memory.resend(&resend(later, "flow", ResendMode::NewCode)));
    assert_eq!(format(&again), SHORT.long(), "never from long to short");
}

#[test]
fn st_36_unknown_addresses_are_counted_like_known_ones() {
    let forms = [with_ada().0, Memory::default()].map(|mut memory| {
        let flows: Vec<_> =
            (0..7).map(|number| started(memory.start(&sign_in(NOON, &format!("flow {number}"), None)))).collect();
        let answers: Vec<_> = (0..7)
            .map(|number| match types(&mut memory, NOON, &format!("flow {number}"), "wrong", None) {
                VerifyOutcome::NotCompared { .. } => "not compared".to_owned(),
                VerifyOutcome::Refused { refusal, .. } => format!("{refusal:?}"),
                VerifyOutcome::Passed(_) => "passed".to_owned(),
            })
            .collect();
        let next = started(memory.start(&sign_in(NOON, "next", None)));
        (flows.iter().map(format).collect::<Vec<_>>(), answers, format(&next))
    });
    assert_eq!(forms[0], forms[1]);
    assert_eq!(forms[0].1.iter().filter(|answer| *answer == "not compared").count(), 2);
}

#[test]
fn while_the_breaker_is_open_strangers_are_sent_long_codes_and_nobody_is_refused() {
    let (mut memory, ada) = with_ada();
    for (key, proof, expected) in [("stranger", None, SHORT.long()), ("known", Some(proof_of(&ada, DAY)), SHORT)] {
        let mut operation = sign_in(NOON, key, proof);
        operation.asking.breaker = Breaker::Open;
        let flow = started(memory.start(&operation));
        assert_eq!(format(&flow), expected, "{key}");
        passes(types(&mut memory, NOON, key, &code(&flow), proof));
    }
}

#[test]
fn five_wrong_guesses_end_a_flow_that_only_its_owner_can_name_also_with_a_long_code() {
    let (mut memory, _) = with_ada();
    spend(&mut memory, NOON);
    let mut operation = sign_in(NOON, "secret", None);
    operation.naming = Naming::Secret;
    operation.asking.flow_end = engine::FlowEnd::Fixed;
    let flow = started(memory.start(&operation));
    for _ in 0..5 {
        types(&mut memory, NOON, "secret", "000000000000", None);
    }
    assert_eq!(refusal(&types(&mut memory, NOON, "secret", &code(&flow), None)), Refusal::AttemptsExhausted);
}

#[test]
fn a_session_that_was_opened_on_a_device_is_its_proof() {
    let (mut memory, _) = with_ada();
    let flow = started(memory.start(&sign_in(NOON, "first", None)));
    let session = passes(types(&mut memory, NOON, "first", &code(&flow), None)).session.unwrap();
    spend(&mut memory, NOON);
    let proof = Some(DeviceProof::Session(session.id));
    assert_eq!(format(&started(memory.start(&sign_in(NOON, "second", proof)))), SHORT);
}

#[test]
fn a_device_proves_whoever_was_signed_in_at_it_also_after_they_left_and_nobody_else() {
    let (mut memory, ada) = with_ada();
    let bob = owner_of(&address("bob"), Some(NOON));
    memory.register(&Register { identity: bob.identity, addresses: vec![bob.address] });
    let [device, other] = [DeviceId::new(id()), DeviceId::new(id())];
    for (name, at) in [("ada", device), ("bob", device), ("bob", other)] {
        let key = format!("{name} at {at}");
        let mut operation = start(NOON, &key, Purpose::SignIn, &address(name));
        operation.device = Some(at);
        let flow = started(memory.start(&operation));
        passes(types(&mut memory, NOON, &key, &code(&flow), None));
    }
    let (id, change) = (device, DeviceChange::SignOut(None));
    memory.change_device(&ChangeDevice { now: NOON, project: project(), dialect: "test", id, change }).unwrap();
    spend(&mut memory, NOON);
    let shown = |device| Some(DeviceProof::Device(device));
    for (at, expected) in [(device, SHORT), (other, SHORT.long()), (DeviceId::new(1_000_000), SHORT.long())] {
        let flow = started(memory.start(&sign_in(NOON, &format!("again at {at}"), shown(at))));
        assert_eq!(format(&flow), expected);
    }
    // A flow that is asked in again is asked by whoever asks then, and its code is tried by whoever tries it.
    let key = format!("again at {device}");
    let mut operation = resend(NOON.plus(Duration::from_secs(3)), &key, ResendMode::NewCode);
    operation.asking.proof = shown(device);
    let flow = started(memory.resend(&operation));
    assert_eq!(format(&flow), SHORT);
    assert!(matches!(types(&mut memory, NOON, &key, &code(&flow), shown(other)), VerifyOutcome::NotCompared { .. }));
    assert_eq!(passes(types(&mut memory, NOON, &key, &code(&flow), shown(device))).identity.id, ada.identity.id);
}

#[test]
fn an_address_that_was_never_proved_knows_no_device() {
    let (mut memory, ada) = with_ada();
    // Beside her own she claims somebody's whom she is not.
    let mut claimed = owner_of(&address("claimed"), None).address;
    claimed.identity = ada.identity.id;
    memory.addresses.insert(claimed.id, (project(), claimed));
    for number in 0..5 {
        let key = format!("flow {number}");
        let flow = started(memory.start(&start(NOON, &key, Purpose::VerifyAddress, &address("claimed"))));
        types(&mut memory, NOON, &key, &other_than(&code(&flow)), None);
    }
    let mut operation = start(NOON, "next", Purpose::VerifyAddress, &address("claimed"));
    operation.asking.proof = Some(proof_of(&ada, DAY));
    assert_eq!(format(&started(memory.start(&operation))), SHORT.long());
}

#[test]
fn a_spent_budget_does_not_keep_anybody_from_asking() {
    let (mut memory, _) = with_ada();
    spend(&mut memory, NOON);
    for number in 0..50 {
        let outcome = memory.start(&sign_in(NOON, &format!("flow {number}"), None));
        assert!(matches!(outcome, StartOutcome::Started { .. }), "{outcome:?}");
    }
}
