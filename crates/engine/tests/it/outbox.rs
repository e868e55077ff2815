//! Leasing and settling what is owed.

use std::time::Duration;

use engine::{
    Delivery, DeliveryOutcome, Flow, FlowState, KeyId, LEASE, LEAST_LIFE, MessageId, MessageKind, MessageState,
    Operation as _, OutboxMessage, Purpose, ResendMode, Settle, Write, back_off,
};
use proptest::prelude::*;

use crate::memory::Memory;
use crate::support::*;

fn flow() -> Flow {
    asked("flow", Purpose::SignInOrUp, &address("ada"), None)
}

/// What a lease makes of one message: its code, or the state it is settled in.
fn leased(message: OutboxMessage, flow: Option<Flow>, seconds: u64) -> Result<String, MessageState> {
    let now = NOON.plus(Duration::from_secs(seconds));
    let decision = lease(now).decide(vec![(message, flow)]);
    match &decision.writes[..] {
        [Write::DelayMessage { due_at, error: None, .. }] => {
            let [leased] = &decision.outcome.messages[..] else { panic!("one is leased") };
            assert_eq!((*due_at, leased.lease), (now.plus(LEASE), now.plus(LEASE)));
            Ok(told(&leased.content))
        }
        [Write::SettleMessage { state, error: None, .. }] => {
            assert!(decision.outcome.messages.is_empty());
            Err(*state)
        }
        other => panic!("one write and not {other:?}"),
    }
}

#[test]
fn a_leased_message_carries_the_code_that_passes() {
    let flow = flow();
    let code = leased(message(&flow), Some(flow.clone()), 0).unwrap();
    assert_eq!(code.len(), 6);
    passed(verify(NOON, "flow", &code).decide(only(seen(&flow, None))).outcome);
}

#[test]
fn what_nobody_needs_any_more_is_dropped() {
    let flow = flow();
    let with = |change: fn(&mut Flow)| {
        let mut flow = flow.clone();
        change(&mut flow);
        Some(flow)
    };
    for (what, flow) in [
        ("its flow is gone", None),
        ("its flow has passed", with(|flow| flow.state = FlowState::Passed)),
        ("nothing is asked any more", with(|flow| flow.challenge = None)),
        ("another code was sent", with(|flow| flow.challenge.as_mut().unwrap().epoch = 2)),
        ("another address was asked", with(|flow| flow.challenge.as_mut().unwrap().address = address("grace"))),
        ("its key is gone", with(|flow| flow.challenge.as_mut().unwrap().key = LOST_KEY)),
    ] {
        assert_eq!(leased(message(&self::flow()), flow, 0), Err(MessageState::Dropped), "{what}");
    }
    let decoy = OutboxMessage { kind: MessageKind::Decoy, ..message(&flow) };
    assert_eq!(leased(decoy, Some(flow), 0), Err(MessageState::Dropped), "it was never meant to be sent");
}

#[test]
fn nothing_leaves_with_less_than_a_minute_to_live() {
    let flow = flow();
    let last = challenge(&flow).expires_at.minus(LEAST_LIFE).since(NOON).as_secs();
    assert!(leased(message(&flow), Some(flow.clone()), last).is_ok());
    let message = OutboxMessage { not_after: challenge(&flow).expires_at.minus(MILLISECOND), ..message(&flow) };
    assert_eq!(leased(message, Some(flow), last), Err(MessageState::Expired));
}

#[test]
fn a_message_is_leased_once_until_its_lease_ends() {
    let mut memory = Memory::default();
    memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada")));
    assert_eq!(memory.lease(&lease(NOON)).messages.len(), 1);
    assert_eq!(memory.lease(&lease(NOON.plus(LEASE).minus(MILLISECOND))).messages.len(), 0);
    assert_eq!(memory.lease(&lease(NOON.plus(LEASE))).messages.len(), 1, "whoever took it is taken for dead");
}

#[test]
fn what_is_not_sent_never_stands_in_the_way_of_what_is() {
    let flow = flow();
    let decoy = || OutboxMessage { kind: MessageKind::Decoy, ..message(&flow) };
    let one = engine::Lease { limit: 1, ..lease(NOON) };
    let mut seen: Vec<_> = std::iter::repeat_with(|| (decoy(), Some(flow.clone()))).take(64).collect();
    seen.push((message(&flow), Some(flow.clone())));
    assert_eq!(seen.len(), usize::try_from(one.sight()).unwrap());
    let decision = one.decide(seen);
    assert_eq!(decision.outcome.messages.len(), 1);
    assert!(decision.outcome.may_be_more);
    assert_eq!(decision.writes.len(), 65, "the others are settled on the way");
}

#[test]
fn no_more_is_leased_than_was_asked_for() {
    let flow = flow();
    let seen: Vec<_> = std::iter::repeat_with(|| (message(&flow), Some(flow.clone()))).take(5).collect();
    let decision = engine::Lease { limit: 3, ..lease(NOON) }.decide(seen);
    assert_eq!((decision.outcome.messages.len(), decision.writes.len()), (3, 3));
    assert!(!decision.outcome.may_be_more);
}

#[test]
fn what_came_of_a_delivery_is_written_down() {
    let flow = flow();
    let now = NOON.plus(Duration::from_secs(5));
    let lease = NOON.plus(LEASE);
    let message = OutboxMessage { due_at: lease, attempts: 2, ..message(&flow) };
    let settled = |outcome: DeliveryOutcome| {
        let delivery = Delivery { id: message.id, lease, outcome };
        let decision = Settle { now, deliveries: vec![delivery] }.decide(vec![message.clone()]);
        (decision.outcome, decision.writes)
    };
    let reason = || "451 try again later".to_owned();

    let (states, writes) = settled(DeliveryOutcome::Sent);
    assert_eq!(states, [MessageState::Sent]);
    assert!(
        matches!(&writes[..], [Write::SettleMessage { state: MessageState::Sent, at, error: None, .. }] if *at == now)
    );

    let (states, writes) = settled(DeliveryOutcome::Refused { reason: reason() });
    assert_eq!(states, [MessageState::Refused]);
    assert!(
        matches!(&writes[..], [Write::SettleMessage { state: MessageState::Refused, error: Some(told), .. }] if *told == reason())
    );

    let (states, writes) = settled(DeliveryOutcome::Deferred { reason: reason() });
    assert_eq!(states, [MessageState::Owed]);
    let [Write::DelayMessage { due_at, attempts: 3, error: Some(told), .. }] = &writes[..] else {
        panic!("{writes:?}")
    };
    assert_eq!((*due_at, told), (now.plus(back_off(3, message.id)), &reason()));
}

#[test]
fn a_settlement_under_another_lease_or_of_what_is_settled_changes_nothing() {
    let flow = flow();
    let lease = NOON.plus(LEASE);
    let message = OutboxMessage { due_at: lease, ..message(&flow) };
    let settle = |lease, message: &OutboxMessage| {
        let delivery = Delivery { id: message.id, lease, outcome: DeliveryOutcome::Sent };
        Settle { now: NOON, deliveries: vec![delivery] }.decide(vec![message.clone()]).writes.len()
    };
    assert_eq!(settle(lease, &message), 1);
    assert_eq!(settle(lease.minus(MILLISECOND), &message), 0);
    for state in [MessageState::Sent, MessageState::Dropped, MessageState::Expired, MessageState::Refused] {
        assert_eq!(settle(lease, &OutboxMessage { state, ..message.clone() }), 0, "{state:?}");
    }
}

#[test]
fn a_code_that_was_replaced_on_its_way_does_not_come_back() {
    let mut memory = Memory::default();
    memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &address("ada")));
    let on_its_way = memory.lease(&lease(NOON)).messages.remove(0);
    let now = NOON.plus(Duration::from_secs(3));
    memory.resend(&resend(now, "flow", ResendMode::NewCode));
    let deferred = DeliveryOutcome::Deferred { reason: "451".to_owned() };
    let delivery = Delivery { id: on_its_way.id, lease: on_its_way.lease, outcome: deferred };
    assert!(memory.settle(&Settle { now, deliveries: vec![delivery] }).is_empty());
    let later = NOON.plus(Duration::from_mins(4));
    let leased = memory.lease(&lease(later)).messages;
    assert_eq!(leased.len(), 1, "only the new one goes out");
    assert_ne!(told(&leased[0].content), told(&on_its_way.content));
}

#[test]
fn a_message_of_a_key_that_was_replaced_still_goes_out_while_the_old_one_is_kept() {
    let flow = flow();
    let rotated = engine::Keys::new(&engine::MasterKey::new([9; 32]).with_older([7; 32])).unwrap();
    assert_ne!(rotated.newest(), challenge(&flow).key);
    let operation = engine::Lease { keys: rotated.into(), ..lease(NOON) };
    let leased = operation.decide(vec![(message(&flow), Some(flow.clone()))]).outcome.messages;
    assert_eq!(told(&leased[0].content), code(&flow));
    // Written by hand, so that no two constants can agree by chance.
    assert_ne!(challenge(&flow).key, KeyId(0));
}

proptest! {
    #[test]
    fn the_wait_after_a_failure_doubles_up_to_two_minutes_and_spreads_over_a_quarter_more(
        attempts in 1_u32..40,
        id in any::<i64>(),
    ) {
        let wait = back_off(attempts, MessageId::new(id));
        let base = Duration::from_secs((1_u64 << attempts.min(20)).min(120));
        prop_assert!(wait >= base && wait < base * 5 / 4, "{wait:?} after {attempts}");
    }
}

#[test]
fn messages_that_failed_together_come_back_apart() {
    let mut waits: Vec<_> = (1..=1000).map(|id| back_off(10, MessageId::new(id << 12))).collect();
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 200, "{} different waits", waits.len());
}

#[test]
fn a_code_that_lives_shortly_is_sent_while_a_quarter_of_its_life_is_left() {
    let mut operation = start(NOON, "flow", Purpose::SignInOrUp, &address("ada"));
    operation.asking.code_life = Duration::from_secs(4);
    let flow = started(operation.decide(engine::StartSeen::default()).outcome);
    let leased = |now| lease(now).decide(vec![(message(&flow), Some(flow.clone()))]).outcome.messages.len();
    assert_eq!(leased(NOON.plus(Duration::from_secs(3))), 1);
    assert_eq!(leased(NOON.plus(Duration::from_secs(3)).plus(MILLISECOND)), 0);
}
