//! Identities by an operator's hand, and their sessions, on a real database.

use std::time::Duration;

use engine::{
    Account, Address, Change, Context, IdentityChange, IdentityId, IdentityState, Keeping, NewIdentity, NewTicket,
    Purpose, Refusal, Session, SessionTerms, Taking, WantedAddress,
};
use testkit::world::{LIFE, World};

use crate::support::*;

fn wanted(name: &str, verified: Option<bool>) -> WantedAddress {
    WantedAddress { address: address(name), verified }
}

fn new_identity(addresses: Vec<WantedAddress>) -> NewIdentity {
    NewIdentity {
        traits: r#"{"name":"Ada"}"#.to_owned(),
        metadata: r#"{"kratos":{"schema_id":"default"}}"#.to_owned(),
        state: IdentityState::Active,
        addresses,
    }
}

async fn create(world: &World, addresses: Vec<WantedAddress>) -> engine::Result<Account> {
    world.engine.create_identity(&world.context(), new_identity(addresses)).await
}

async fn change(world: &World, id: IdentityId, change: IdentityChange) -> engine::Result<Account> {
    world.engine.change_identity(&world.context(), id, change).await
}

async fn readdress(world: &World, id: IdentityId, addresses: Vec<WantedAddress>) -> engine::Result<Account> {
    change(world, id, IdentityChange { addresses: Some(addresses), ..IdentityChange::default() }).await
}

#[tokio::test]
async fn an_identity_is_added_with_all_its_addresses_or_not_at_all() {
    let mut world = world!();
    world.calls.take_calls();
    let addresses = vec![
        wanted("ada", Some(true)),
        wanted("ada.other", None),
        wanted("ada", Some(false)),
        wanted("a", Some(false)),
    ];
    let ada = create(&world, addresses).await.unwrap();
    assert_eq!(world.calls.take_calls(), ["register"]);
    let now = world.engine.now();
    let told: Vec<_> = ada.addresses.iter().map(|own| (own.address.as_str(), own.verified_at)).collect();
    assert_eq!(
        told,
        [("ada@example.com", Some(now)), ("ada.other@example.com", None), ("a@example.com", None)],
        "named twice, it counts as it is named first"
    );
    assert_eq!((ada.identity.revision, ada.identity.state), (1, IdentityState::Active));
    world.reopen().await;
    assert_eq!(world.engine.identity(&world.context(), ada.identity.id).await.unwrap(), ada);

    let taken = create(&world, vec![wanted("grace", None), wanted("ada.other", Some(true))]).await;
    assert!(matches!(taken, refused!(Refusal::AddressTaken)));
    assert_eq!(world.row::<i64>("SELECT count(*) FROM identities"), 1);
    assert!(world.engine.owner(world.project(), &address("grace")).await.is_err());
    let nobody = create(&world, Vec::new()).await.unwrap();
    assert!(nobody.addresses.is_empty(), "one may have none");
}

#[tokio::test]
async fn who_was_added_inactive_does_not_sign_in() {
    let world = world!();
    let new = NewIdentity { state: IdentityState::Inactive, ..new_identity(vec![wanted("ada", Some(true))]) };
    world.engine.create_identity(&world.context(), new).await.unwrap();
    world.start("flow", Purpose::SignIn, &address("ada")).await.unwrap();
    let code = world.code(&address("ada")).await.unwrap();
    assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::IdentityInactive)));
    // But the address is proved, if that is asked.
    world.start("another", Purpose::VerifyAddress, &address("ada")).await.unwrap();
    let code = world.code(&address("ada")).await.unwrap();
    assert!(world.verify("another", &code).await.unwrap().session.is_none());
    assert_eq!(world.row::<i64>("SELECT count(*) FROM sessions"), 0);
}

#[tokio::test]
async fn identities_are_listed_in_the_order_of_their_ids_page_by_page() {
    let world = world!();
    let mut all = Vec::new();
    for number in 0..7 {
        let names = [format!("a{number}"), format!("b{number}")];
        all.push(create(&world, names.iter().map(|name| wanted(name, None)).collect()).await.unwrap());
    }
    let list =
        async |context: &Context<'_>, after, limit| world.engine.identities(context, after, limit).await.unwrap();
    let context = world.context();
    assert_eq!(list(&context, None, 100).await, all);
    let (mut listed, mut after) = (Vec::new(), None);
    for expected in [3, 3, 1, 0] {
        let page = list(&context, after, 3).await;
        assert_eq!(page.len(), expected);
        after = page.last().map(|account| account.identity.id).or(after);
        listed.extend(page);
    }
    assert_eq!(listed, all);
    assert!(list(&context, None, 0).await.is_empty());

    let mut tenant = (**world.engine.projects().default_project()).clone();
    tenant.id = engine::ProjectId::new("P2");
    let elsewhere = Context { project: &tenant, ..context };
    assert!(list(&elsewhere, None, 100).await.is_empty());
    let id = all[0].identity.id;
    let none = world.engine.identity(&elsewhere, id).await;
    assert!(matches!(none, refused!(Refusal::IdentityNotFound)));
    let none = world.engine.change_identity(&elsewhere, id, IdentityChange::default()).await;
    assert!(matches!(none, refused!(Refusal::IdentityNotFound)));
    let none = world.engine.erase_identity(&elsewhere, id).await;
    assert!(matches!(none, refused!(Refusal::IdentityNotFound)));
    assert_eq!(world.engine.identity(&world.context(), id).await.unwrap(), all[0]);
}

#[tokio::test]
async fn a_change_is_one_operation_and_is_kept_as_it_is_told() {
    let world = world!();
    let before = create(&world, vec![wanted("ada", Some(true)), wanted("ada.other", None)]).await.unwrap();
    let grace = create(&world, vec![wanted("grace", None)]).await.unwrap();
    let id = before.identity.id;
    world.clock.advance(Duration::from_secs(1));
    world.calls.take_calls();
    let what = IdentityChange {
        revision: Some(1),
        traits: Some(r#"{"name":"Ada L."}"#.to_owned()),
        metadata: Some("{}".to_owned()),
        state: Some(IdentityState::Inactive),
        addresses: Some(vec![wanted("ada", Some(false)), wanted("ada.new", Some(true))]),
    };
    let after = change(&world, id, what.clone()).await.unwrap();
    assert_eq!(world.calls.take_calls(), ["change_identity"]);
    assert_eq!(world.engine.identity(&world.context(), id).await.unwrap(), after);
    let now = world.engine.now();
    assert_eq!(
        (after.identity.revision, after.identity.updated_at, after.identity.created_at),
        (2, now, before.identity.created_at)
    );
    let told: Vec<_> = after.addresses.iter().map(|own| (own.address.as_str(), own.verified_at)).collect();
    assert_eq!(told, [("ada@example.com", None), ("ada.new@example.com", Some(now))]);
    assert_eq!(after.addresses[0].id, before.addresses[0].id, "it is the row it was");

    assert!(matches!(change(&world, id, what).await, refused!(Refusal::IdentityChanged)));
    let taken = readdress(&world, id, vec![wanted("grace", None)]).await;
    assert!(matches!(taken, refused!(Refusal::AddressTaken)));
    assert_eq!(world.engine.identity(&world.context(), id).await.unwrap(), after);
    assert_eq!(world.engine.identity(&world.context(), grace.identity.id).await.unwrap(), grace);
    let nobody = change(&world, IdentityId::new(1), IdentityChange::default()).await;
    assert!(matches!(nobody, refused!(Refusal::IdentityNotFound)));
    // What one gives up another may have.
    readdress(&world, grace.identity.id, vec![wanted("ada.other", None)]).await.unwrap();
}

/// Asks for everything that there may be pending at `ada`, which the owner of `session` has beside `ada.other`.
async fn pending(world: &World, session: &Session, ada: &Address) -> Vec<(String, String)> {
    let mut codes = Vec::new();
    for purpose in
        [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress, Purpose::ChangeAddress]
    {
        let key = format!("{purpose:?}");
        let mut challenge = world.challenge(&key, purpose, ada);
        if purpose == Purpose::ChangeAddress {
            challenge.change = Some(Change {
                session: session.id,
                generation: None,
                current: address("ada.other"),
                keeping: Keeping::Both,
            });
        }
        world.engine.start_challenge(&world.context(), challenge).await.unwrap();
        codes.push((key, world.code(ada).await.unwrap()));
    }
    codes
}

#[tokio::test]
async fn st_27_nothing_that_was_pending_gives_back_what_an_operator_took_away_or_erased() {
    for is_erased in [false, true] {
        let world = world!();
        let ada = address("ada");
        let id = create(&world, vec![wanted("ada.other", Some(true)), wanted("ada", None)]).await.unwrap().identity.id;
        let session = world.sign_in("before", &address("ada.other")).await.session.unwrap();
        let pending = pending(&world, &session, &ada).await;
        if is_erased {
            world.engine.erase_identity(&world.context(), id).await.unwrap();
        } else {
            readdress(&world, id, vec![wanted("ada.other", None)]).await.unwrap();
        }
        for (key, code) in pending {
            let is_gone = is_erased || key == "ChangeAddress";
            let expected = if is_gone { Refusal::FlowNotFound } else { Refusal::IdentityNotFound };
            let answer = world.verify(&key, &code).await;
            assert!(matches!(answer, refused!(refusal) if refusal == expected), "{key}, {is_erased}: {answer:?}");
            assert!(world.engine.owner(world.project(), &ada).await.is_err(), "{key}");
        }
        let live: i64 = world.row("SELECT count(*) FROM sessions WHERE ended_at IS NULL");
        assert_eq!(live, i64::from(!is_erased), "no session by it");
        assert!(world.engine.lease_messages(10).await.unwrap().is_empty(), "and no mail any more");
    }
}

#[tokio::test]
async fn erasing_is_one_operation_and_leaves_nothing_that_says_who_it_was() {
    let world = world!();
    let device = world.engine.new_device_id(&world.context());
    let mut challenge = world.challenge("flow", Purpose::SignInOrUp, &address("ada"));
    challenge.device = Some(device);
    world.engine.start_challenge(&world.context(), challenge).await.unwrap();
    let code = world.code(&address("ada")).await.unwrap();
    let memo = Some("192.0.2.1 Mozilla/5.0".to_owned());
    let attempt = engine::Attempt {
        handles: &[world.handle("flow")],
        code: &code,
        session: Some(SessionTerms { life: LIFE, memo: memo.clone() }),
    };
    let ada = world.engine.verify(&world.context(), attempt).await.unwrap();
    let (id, session) = (ada.identity.id, ada.session.unwrap());
    assert_eq!(world.session(session.id).await.unwrap().memo, memo);
    let new = NewTicket { kind: "code", binding: [1; 32], identity: Some(id), method: "email", body: b"", life: LIFE };
    let ticket = world.engine.put_ticket(&world.context(), new).await.unwrap();
    let grace = world.sign_in("grace", &address("grace")).await;

    world.calls.take_calls();
    world.engine.erase_identity(&world.context(), id).await.unwrap();
    assert_eq!(world.calls.take_calls(), ["erase_identity"]);
    let of_hers = |table: &str, column: &str| {
        world.row::<i64>(&format!("SELECT count(*) FROM {table} WHERE {column} = {}", id.get()))
    };
    assert_eq!(of_hers("identities", "id") + of_hers("addresses", "identity_id"), 0);
    assert_eq!(of_hers("flows", "identity_id") + of_hers("tickets", "identity_id"), 0);
    assert_eq!(of_hers("sessions", "identity_id"), 1, "until it is swept, it is known that there was one");
    let noted: i64 = world.row("SELECT count(*) FROM sessions WHERE memo IS NOT NULL OR ended_at IS NULL");
    assert_eq!(noted, 1, "hers is over and forgotten, the other's is not");
    let caller = world.engine.caller(&world.context(), session.id).await;
    assert!(matches!(caller, refused!(Refusal::SessionEnded)));
    assert!(world.engine.sessions(&world.context(), id).await.unwrap().is_empty());
    assert!(world.engine.device(&world.context(), device).await.unwrap().callers.is_empty());
    let taking = Taking { kind: "code", ticket: ticket.expose(), binding: [1; 32], session: None };
    assert!(matches!(world.engine.take_ticket(&world.context(), taking).await, refused!(Refusal::TicketInvalid)));
    assert!(world.engine.caller(&world.context(), grace.session.unwrap().id).await.is_ok());

    let again = world.engine.erase_identity(&world.context(), id).await;
    assert!(matches!(again, refused!(Refusal::IdentityNotFound)));
    // Whoever reads the address may come again, and is somebody new.
    let anew = world.sign_in("anew", &address("ada")).await;
    assert_ne!(anew.identity.id, id);
}

#[tokio::test]
async fn sessions_are_told_by_surface_the_oldest_first_and_only_while_they_live() {
    let world = world!();
    let ada = address("ada");
    let mut opened = Vec::new();
    for (key, memo) in [("one", None), ("two", Some("Firefox")), ("three", Some("curl"))] {
        world.start(key, Purpose::SignInOrUp, &ada).await.unwrap();
        let code = world.code(&ada).await.unwrap();
        let terms = SessionTerms { life: LIFE, memo: memo.map(str::to_owned) };
        let attempt = engine::Attempt { handles: &[world.handle(key)], code: &code, session: Some(terms) };
        let session = world.engine.verify(&world.context(), attempt).await.unwrap().session.unwrap();
        assert_eq!(session.memo.as_deref(), memo);
        opened.push(session);
        world.clock.advance(Duration::from_secs(5));
    }
    let id = opened[0].identity;
    let context = world.context();
    assert_eq!(world.engine.sessions(&context, id).await.unwrap(), opened);
    let of_another = Context { sessions_of: "other", ..context };
    assert!(world.engine.sessions(&of_another, id).await.unwrap().is_empty());

    world.engine.end_sessions(&context, opened[1].id, engine::Sessions::This).await.unwrap();
    assert_eq!(world.engine.sessions(&world.context(), id).await.unwrap(), [opened[0].clone(), opened[2].clone()]);
    world.clock.set(opened[0].expires_at);
    assert_eq!(world.engine.sessions(&world.context(), id).await.unwrap(), [opened[2].clone()]);
}

#[tokio::test]
async fn st_55_a_session_counts_at_another_surface_only_where_that_says_so() {
    let world = world!();
    let ada = world.sign_in("flow", &address("ada")).await.session.unwrap();
    let other = Context { dialect: "other", sessions_of: "other", ..world.context() };
    let trusting = Context { dialect: "other", ..world.context() };
    let change = |key: &str| {
        let mut challenge = world.challenge(key, Purpose::ChangeAddress, &address("ada.new"));
        challenge.change =
            Some(Change { session: ada.id, generation: None, current: address("ada"), keeping: Keeping::Replace });
        challenge
    };
    assert!(matches!(world.engine.caller(&other, ada.id).await, refused!(Refusal::SessionEnded)));
    let refused = world.engine.start_challenge(&other, change("other")).await;
    assert!(matches!(refused, refused!(Refusal::SessionEnded)));
    let refused = world.engine.end_sessions(&other, ada.id, engine::Sessions::This).await;
    assert!(matches!(refused, refused!(Refusal::SessionEnded)));

    assert_eq!(world.engine.caller(&trusting, ada.id).await.unwrap().session, ada);
    let flow = world.engine.start_challenge(&trusting, change("trusting")).await.unwrap().flow;
    assert_eq!(flow.dialect, "other", "its flows are its own");
    world.engine.end_sessions(&trusting, ada.id, engine::Sessions::This).await.unwrap();
    assert!(matches!(world.engine.caller(&world.context(), ada.id).await, refused!(Refusal::SessionEnded)));
}
