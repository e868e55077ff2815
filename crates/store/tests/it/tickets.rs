//! Tickets, bearer tokens and sealed values, on a real database.

use std::time::Duration;

use engine::{
    Context, IdentityChange, IdentityId, IdentityState, NewTicket, Refusal, SessionTerms, Swept, Taken, Taking,
};
use testkit::world::{LIFE, World};

use crate::support::*;

const KIND: &str = "code";
const TICKET_LIFE: Duration = Duration::from_mins(1);

/// A ticket for `identity` that is bound to a client.
async fn put(world: &World, identity: Option<IdentityId>) -> String {
    let new = NewTicket {
        kind: KIND,
        binding: [1; 32],
        identity,
        method: "email",
        body: br#"{"nonce":"n-0S6_WzA2Mj"}"#,
        life: TICKET_LIFE,
    };
    let ticket = world.engine.put_ticket(&world.context(), new).await.unwrap();
    ticket.expose().clone()
}

fn taking(ticket: &str) -> Taking<'_> {
    let session = Some(SessionTerms { life: LIFE, memo: Some("client web".to_owned()) });
    Taking { kind: KIND, ticket, binding: [1; 32], session }
}

async fn take(world: &World, taking: Taking<'_>) -> engine::Result<Taken> {
    world.engine.take_ticket(&world.context(), taking).await
}

#[tokio::test]
async fn a_ticket_is_made_and_taken_by_one_operation_each() {
    let mut world = world!();
    let ada = world.sign_in("flow", &address("ada")).await;
    world.calls.take_calls();
    let ticket = put(&world, Some(ada.identity.id)).await;
    assert_eq!(world.calls.take_calls(), ["put_ticket"]);
    assert_eq!(ticket.len(), 43);
    assert!(ticket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{ticket}");
    assert_ne!(put(&world, None).await, ticket);
    world.reopen().await;

    world.calls.take_calls();
    let taken = take(&world, taking(&ticket)).await.unwrap();
    assert_eq!(world.calls.take_calls(), ["take_ticket"]);
    assert_eq!(taken.body.expose().as_slice(), br#"{"nonce":"n-0S6_WzA2Mj"}"#);
    assert_eq!(taken.account.unwrap().identity, ada.identity);
    let session = taken.session.unwrap();
    assert_eq!((session.method.as_str(), session.memo.as_deref()), ("email", Some("client web")));
    assert_eq!(session.expires_at, world.engine.now().plus(LIFE));
    assert_eq!(world.engine.caller(&world.context(), session.id).await.unwrap().session, session);
}

#[tokio::test]
async fn a_second_take_ends_the_session_of_the_first() {
    let world = world!();
    let ada = world.sign_in("flow", &address("ada")).await;
    let ticket = put(&world, Some(ada.identity.id)).await;
    let session = take(&world, taking(&ticket)).await.unwrap().session.unwrap();
    world.clock.advance(TICKET_LIFE * 2);
    assert!(matches!(take(&world, taking(&ticket)).await, refused!(Refusal::TicketReused)));
    assert_eq!(world.session(session.id).await.unwrap().ended_at, Some(world.engine.now()));
    let caller = world.engine.caller(&world.context(), session.id).await;
    assert!(matches!(caller, refused!(Refusal::SessionEnded)));
    let hers = ada.session.unwrap().id;
    assert!(world.engine.caller(&world.context(), hers).await.is_ok(), "others of hers go on");
}

#[tokio::test]
async fn a_ticket_shown_with_another_binding_is_burned_and_one_of_another_kind_or_tenant_is_not_touched() {
    let world = world!();
    let ada = world.sign_in("flow", &address("ada")).await;
    let ticket = put(&world, Some(ada.identity.id)).await;
    let mut tenant = (**world.engine.projects().default_project()).clone();
    tenant.id = engine::ProjectId::new("P2");
    let elsewhere = Context { project: &tenant, ..world.context() };
    let answer = world.engine.take_ticket(&elsewhere, taking(&ticket)).await;
    assert!(matches!(answer, refused!(Refusal::TicketInvalid)));
    let another_kind = Taking { kind: "logout", ..taking(&ticket) };
    assert!(matches!(take(&world, another_kind).await, refused!(Refusal::TicketInvalid)));
    let longer = format!("{ticket}A");
    let padded = format!("{ticket}=");
    for text in ["", "A", "none of ours", &ticket[1..], &longer, &padded, &"A".repeat(43), &"A".repeat(100_000)] {
        assert!(matches!(take(&world, taking(text)).await, refused!(Refusal::TicketInvalid)), "{text}");
    }
    let spent: i64 = world.row("SELECT count(*) FROM tickets WHERE spent_at IS NOT NULL");
    assert_eq!(spent, 0);

    let wrong = Taking { binding: [2; 32], ..taking(&ticket) };
    assert!(matches!(take(&world, wrong).await, refused!(Refusal::TicketInvalid)));
    assert!(matches!(take(&world, taking(&ticket)).await, refused!(Refusal::TicketReused)));
    assert_eq!(world.row::<i64>("SELECT count(*) FROM sessions"), 1, "hers of before alone");
}

#[tokio::test]
async fn a_ticket_is_over_from_the_exact_millisecond_on() {
    let world = world!();
    for (later, passes) in [(Duration::from_millis(59_999), true), (TICKET_LIFE, false)] {
        let ticket = put(&world, None).await;
        world.clock.advance(later);
        match take(&world, taking(&ticket)).await {
            Ok(taken) => assert!(passes && taken.session.is_none()),
            refused!(refusal) => assert!(!passes && refusal == Refusal::TicketInvalid),
            Err(failed) => panic!("{failed:?}"),
        }
    }
}

#[tokio::test]
async fn st_32_a_ticket_lets_nobody_in_whom_an_operator_has_put_out() {
    let world = world!();
    let (ada, grace) = (world.sign_in("a", &address("ada")).await, world.sign_in("g", &address("grace")).await);
    let tickets = [put(&world, Some(ada.identity.id)).await, put(&world, Some(grace.identity.id)).await];
    let out = IdentityChange { state: Some(IdentityState::Inactive), ..IdentityChange::default() };
    world.engine.change_identity(&world.context(), ada.identity.id, out).await.unwrap();
    world.engine.erase_identity(&world.context(), grace.identity.id).await.unwrap();
    for ticket in &tickets {
        assert!(matches!(take(&world, taking(ticket)).await, refused!(Refusal::TicketInvalid)), "it went with them");
    }
    // Made afterwards, it is refused for what it is.
    for (identity, expected) in
        [(ada.identity.id, Refusal::IdentityInactive), (grace.identity.id, Refusal::IdentityNotFound)]
    {
        let ticket = put(&world, Some(identity)).await;
        assert!(matches!(take(&world, taking(&ticket)).await, refused!(refusal) if refusal == expected));
        assert!(matches!(take(&world, taking(&ticket)).await, refused!(Refusal::TicketReused)));
    }
    assert_eq!(world.row::<i64>("SELECT count(*) FROM sessions WHERE ended_at IS NULL"), 0);
}

#[tokio::test]
async fn a_ticket_is_swept_a_day_after_its_end_taken_or_not() {
    let world = world!();
    let taken = put(&world, None).await;
    put(&world, None).await;
    take(&world, taking(&taken)).await.unwrap();
    world.clock.advance(TICKET_LIFE + Duration::from_hours(24));
    assert_eq!(world.engine.sweep().await.unwrap(), Swept::default());
    assert!(matches!(take(&world, taking(&taken)).await, refused!(Refusal::TicketReused)));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.engine.sweep().await.unwrap(), Swept { others: 2, ..Swept::default() });
    assert!(matches!(take(&world, taking(&taken)).await, refused!(Refusal::TicketInvalid)));
}

#[tokio::test]
async fn a_bearer_token_names_its_row_for_its_kind_alone_and_outlasts_a_restart() {
    let mut world = world!();
    let token = *world.engine.bearer("session", 42).expose();
    world.reopen().await;
    world.calls.take_calls();
    assert_eq!(world.engine.bearer("session", 42).expose(), &token);
    assert_eq!(world.engine.read_bearer("session", &token), Some(42));
    assert_eq!(world.engine.read_bearer("device", &token), None);
    assert_ne!(world.engine.bearer("session", 43).expose()[8..], token[8..], "each has a tag of its own");
    for index in 0..token.len() {
        for bit in 0..8 {
            let mut altered = token;
            altered[index] ^= 1 << bit;
            assert_eq!(world.engine.read_bearer("session", &altered), None, "bit {bit} of byte {index}");
        }
    }
    let longer = [&token[..], &[0]].concat();
    for other in [&[][..], &token[..8], &token[..23], &longer] {
        assert_eq!(world.engine.read_bearer("session", other), None);
    }
    // The start of a token of the largest id is no id of another.
    for id in [0, 1, -1, i64::MAX, i64::MIN] {
        assert_eq!(world.engine.read_bearer("session", world.engine.bearer("session", id).expose()), Some(id));
    }
    assert!(world.calls.take_calls().is_empty(), "and nothing is read or written for it");
}

#[tokio::test]
async fn what_is_sealed_for_a_place_opens_there_alone() {
    let mut world = world!();
    let sealed = world.engine.seal("cookie", b"state").unwrap();
    assert_ne!(world.engine.seal("cookie", b"state").unwrap(), sealed, "never twice the same");
    assert!(!sealed.windows(5).any(|window| window == b"state"));
    world.reopen().await;
    assert_eq!(world.engine.open_sealed("cookie", &sealed).unwrap().expose().as_slice(), b"state");
    for place in ["", "cookies", "surface/cookie", "outbox/1"] {
        assert!(world.engine.open_sealed(place, &sealed).is_none(), "{place}");
    }
    for index in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[index] ^= 1;
        assert!(world.engine.open_sealed("cookie", &altered).is_none(), "byte {index}");
        assert!(world.engine.open_sealed("cookie", &sealed[..index]).is_none(), "its first {index} bytes");
    }
    // What the engine seals for itself is not to be opened by a surface, whatever place it names.
    let of_the_engine: Vec<u8> = world.row("SELECT value FROM project_meta WHERE name = 'instance'");
    for place in ["project_meta/instance", "../project_meta/instance"] {
        assert!(world.engine.open_sealed(place, &of_the_engine).is_none());
    }
}
