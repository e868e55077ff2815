//! Where mail goes, and whom it tells of a change, on a real database.

use std::time::Duration;

use engine::{
    Address, Change, Content, Keeping, LEASE, MessageKind, NOTICE_LIFE, NewChallenge, Policy, Purpose, Refusal,
    ResendMode, SendLimit, Session,
};
use testkit::world::{World, unlimited};

use crate::support::*;

fn typed(text: &str) -> Address {
    Address::email(text).unwrap()
}

/// The mailboxes that mail is owed to now, the longest due first.
async fn mailboxes(world: &World) -> Vec<String> {
    let leased = world.engine.lease_messages(100).await.unwrap();
    leased.iter().map(|message| message.recipient.mailbox().to_owned()).collect()
}

/// The canonical form and the mailbox of the only address that somebody has.
fn stored(world: &World) -> String {
    world.row("SELECT address || ' ' || mailbox FROM addresses")
}

#[tokio::test]
async fn st_16_mail_goes_to_the_mailbox_as_it_is_stored_whatever_is_typed_later() {
    let world = world!();
    let ada = typed("  Ada.Lovelace@Example.COM ");
    // Nobody's yet: mail goes where it was asked for, and what was proved is what is stored.
    world.start("sign-up", Purpose::SignInOrUp, &ada).await.unwrap();
    assert_eq!(mailboxes(&world).await, ["Ada.Lovelace@example.com"]);
    let verified = world.verify("sign-up", &world.code(&ada).await.unwrap()).await.unwrap();
    assert_eq!(stored(&world), "ada.lovelace@example.com Ada.Lovelace@example.com");

    let texts = ["ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM", "ada.Lovelace@example.com"];
    for (number, text) in texts.into_iter().enumerate() {
        let (key, written) = (number.to_string(), typed(text));
        world.start(&key, Purpose::SignIn, &written).await.unwrap();
        world.clock.advance(Duration::from_secs(5));
        let again = world.challenge(&key, Purpose::SignIn, &written);
        world.engine.start_challenge(&world.context(), again).await.unwrap();
        assert_eq!(mailboxes(&world).await, ["Ada.Lovelace@example.com"], "{text}: one of the two is cancelled");
        world.clock.advance(Duration::from_secs(5));
        let handle = world.handle(&key);
        world.engine.resend(&world.context(), handle, engine::Naming::Public, ResendMode::NewCode).await.unwrap();
        assert_eq!(mailboxes(&world).await, ["Ada.Lovelace@example.com"], "{text}");
        let flow = world.engine.flow(handle).await.unwrap();
        assert_eq!(flow.challenge.unwrap().address.mailbox(), "Ada.Lovelace@example.com", "{text}");
        assert!(matches!(world.verify(&key, "wrong").await, refused!(Refusal::CodeMismatch { .. })));
        let again = world.verify(&key, &world.code(&written).await.unwrap()).await.unwrap();
        assert_eq!(
            (again.identity.id, again.address.address.mailbox()),
            (verified.identity.id, "Ada.Lovelace@example.com")
        );
        assert_eq!(world.engine.owner(world.project(), &written).await.unwrap().address, again.address);
    }
    assert_eq!(stored(&world), "ada.lovelace@example.com Ada.Lovelace@example.com");
    assert_eq!(
        world.row::<String>("SELECT address FROM budgets"),
        "ada.lovelace@example.com",
        "one budget for all of them"
    );
    assert_eq!(world.row::<i64>("SELECT count(*) FROM budgets"), 1);
    // What only looks like it is nobody's, and what cannot be an address is none.
    assert!(Address::email("ad\u{e1}@example.com").is_err());
    assert!(world.engine.owner(world.project(), &typed("ada.lovelace@xn--exmple-cua.com")).await.is_err());
}

#[tokio::test]
async fn st_16_mail_to_what_an_operator_added_goes_to_what_he_wrote() {
    let world = world!();
    world.engine.register(world.project(), typed("Grace@example.com")).await.unwrap();
    world.start("flow", Purpose::SignUp, &typed("grace@example.com")).await.unwrap();
    assert_eq!(mailboxes(&world).await, ["Grace@example.com"]);
    world.verify("flow", &world.code(&address("grace")).await.unwrap()).await.unwrap();
    assert_eq!(stored(&world), "grace@example.com Grace@example.com");
}

#[tokio::test]
async fn st_16_a_code_that_went_to_one_mailbox_signs_nobody_in_whose_mail_goes_to_another() {
    let world = world!();
    let (hers, his) = (typed("ada@example.com"), typed("Ada@example.com"));
    world.start("his", Purpose::SignInOrUp, &his).await.unwrap();
    let code = world.code(&his).await.unwrap();
    let ada = world.sign_in("hers", &hers).await;
    assert!(matches!(world.verify("his", &code).await, refused!(Refusal::AddressTaken)));
    assert_eq!(world.engine.owner(world.project(), &his).await.unwrap().identity.id, ada.identity.id);
    assert_eq!(stored(&world), "ada@example.com ada@example.com");
    // Asked again, he is asked where her mail goes.
    world.clock.advance(Duration::from_secs(5));
    mailboxes(&world).await;
    world.start("his again", Purpose::SignInOrUp, &his).await.unwrap();
    assert_eq!(mailboxes(&world).await, ["ada@example.com"]);
}

#[tokio::test]
async fn st_34_known_and_unknown_addresses_write_the_same_rows_however_they_are_typed() {
    let world = world!();
    world.sign_in("enrol", &typed("Ada@example.com")).await;
    for (key, text) in [("known", "ADA@example.com"), ("unknown", "EVA@example.com")] {
        world.start(key, Purpose::SignIn, &typed(text)).await.unwrap();
    }
    for (table, columns) in [
        ("flows", ["channel", "address", "mailbox", "code_digest", "message_id"]),
        ("outbox", ["channel", "address", "mailbox", "link", "settled_at"]),
    ] {
        // What is filled in is the same in the two newest rows.
        let filled = columns.map(|column| format!("({column} IS NULL)")).join(", ");
        let newest = format!("SELECT id FROM {table} ORDER BY id DESC LIMIT 2");
        let kinds =
            format!("SELECT count(*) FROM (SELECT DISTINCT {filled} FROM {table} WHERE id IN ({newest})) AS kinds");
        assert_eq!(world.row::<i64>(&kinds), 1, "{table}");
    }
}

/// Who is signed in as the owner of `current`, which `new` is to replace: the code that does it.
async fn asks_to_change(world: &World, key: &str, session: &Session, current: &Address, new: &Address) -> String {
    let change = Change { session: session.id, generation: None, current: current.clone(), keeping: Keeping::Replace };
    let challenge = NewChallenge { change: Some(change), ..world.challenge(key, Purpose::ChangeAddress, new) };
    world.engine.start_challenge(&world.context(), challenge).await.unwrap();
    world.code(new).await.unwrap()
}

/// The notices that are due now: to which mailbox, about which address.
async fn notices(world: &World) -> Vec<(String, String)> {
    let leased = world.engine.lease_messages(100).await.unwrap();
    let notices = leased.iter().filter_map(|message| match &message.content {
        Content::AddressReplaced { by } => Some((message.recipient.mailbox().to_owned(), by.clone())),
        Content::Code { .. } | Content::NoAccount => None,
    });
    notices.collect()
}

#[tokio::test]
async fn st_33_the_old_address_works_until_the_new_one_is_proved_and_is_told_then() {
    let policy = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let world = world!(policy);
    let (ada, countess) = (typed("Ada@example.com"), typed("Countess@example.com"));
    let signed_in = world.sign_in("enrol", &ada).await;
    let session = signed_in.session.unwrap();
    world.clock.advance(Duration::from_mins(5));
    let code = asks_to_change(&world, "change", &session, &ada, &countess).await;
    assert_eq!(notices(&world).await, []);
    world.verify("change", "wrong").await.unwrap_err();
    assert!(world.engine.owner(world.project(), &countess).await.is_err(), "not before it is proved");
    assert_eq!(world.engine.owner(world.project(), &ada).await.unwrap().identity.id, signed_in.identity.id);

    let sends = "SELECT stranger FROM budgets WHERE address = 'ada@example.com'";
    let before: Vec<u8> = world.row(sends);
    let verified = world.verify("change", &code).await.unwrap();
    assert_eq!(verified.addresses, std::slice::from_ref(&verified.address));
    world.verify("change", &code).await.unwrap_err();
    assert_eq!(world.row::<i64>("SELECT count(*) FROM outbox WHERE kind = 'address_replaced'"), 1);
    assert_eq!(world.row::<Vec<u8>>(sends), before, "it counts against nothing");
    // Whoever did it does not keep it from going out by asking something else in the same flow.
    world.clock.advance(Duration::from_mins(20));
    world.start("change", Purpose::SignInOrUp, &countess).await.unwrap();
    let expected = [("Ada@example.com".to_owned(), "c***@example.com".to_owned())];
    assert_eq!(notices(&world).await, expected);
    assert_eq!(notices(&world).await, [], "it is leased");
    world.clock.advance(LEASE);
    assert_eq!(notices(&world).await, expected);
    // The inbox shows it to the old address, without a code.
    let shown = world.engine.inbox(Some(ada)).await.unwrap();
    assert_eq!(shown[0].message.kind, MessageKind::AddressReplaced);
    assert_eq!(shown[0].message.replaced_by.as_deref(), Some("c***@example.com"));
    assert!(shown[0].code.is_none() && shown[0].link.is_none());
}

#[tokio::test]
async fn st_33_a_notice_outlives_the_account_and_is_given_up_after_a_day() {
    let world = world!();
    let (ada, countess) = (address("ada"), address("countess"));
    let signed_in = world.sign_in("enrol", &ada).await;
    let code = asks_to_change(&world, "change", &signed_in.session.unwrap(), &ada, &countess).await;
    world.verify("change", &code).await.unwrap();
    world.engine.erase_identity(&world.context(), signed_in.identity.id).await.unwrap();
    assert_eq!(world.row::<i64>("SELECT count(*) FROM flows"), 0);
    assert_eq!(notices(&world).await.len(), 1);
    world.clock.advance(NOTICE_LIFE);
    assert_eq!(notices(&world).await, []);
    assert_eq!(world.row::<String>("SELECT state FROM outbox WHERE kind = 'address_replaced'"), "expired");
}

#[tokio::test]
async fn what_is_not_durable_is_not_handed_to_the_courier() {
    let world = world!();
    world.engine.departures().open(1);
    world.stop().await;
    world.start("ada", Purpose::SignInOrUp, &address("ada")).await.unwrap_err();
    let fetched = world.engine.departures().fetch();
    assert!(fetched.messages.is_empty() && !fetched.has_owed);
}
