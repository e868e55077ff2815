//! Links that are mailed beside a code, and what strangers are told, on a real database.

use std::time::Duration;

use engine::{Content, Leased, MessageKind, Naming, Purpose, Refusal, ResendMode, Strangers};
use testkit::world::World;

use crate::support::*;

const LINK: &str = "https://accounts.example.com/verification?flow=6f1c0c1e-4a39&code={code}";

/// Asks for a code for `name` in the flow called `key`, with a link beside it.
async fn ask(world: &World, key: &str, purpose: Purpose, name: &str, strangers: Strangers) {
    let mut challenge = world.challenge(key, purpose, &address(name));
    (challenge.link, challenge.strangers) = (Some(LINK.to_owned().into()), strangers);
    let printed = format!("{challenge:?}");
    assert!(!printed.contains("accounts.example.com"), "a link is worth its code: {printed}");
    world.engine.start_challenge(&world.context(), challenge).await.unwrap();
}

/// The code and the link that a message tells.
fn told(leased: &Leased) -> (String, Option<String>) {
    match &leased.content {
        Content::Code { code, link } => (code.expose().clone(), link.as_ref().map(|link| link.expose().clone())),
        Content::NoAccount | Content::AddressReplaced { .. } => panic!("no code"),
    }
}

#[tokio::test]
async fn a_link_is_mailed_and_shown_with_the_code_in_its_place() {
    let mut world = world!();
    ask(&world, "flow", Purpose::SignInOrUp, "ada", Strangers::Silent).await;
    world.reopen().await;
    let shown = world.engine.inbox(None).await.unwrap().remove(0);
    let leased = world.engine.lease_messages(1).await.unwrap();
    let (code, link) = told(&leased[0]);
    assert_eq!(link, Some(LINK.replace("{code}", &code)));
    assert_eq!(shown.code.unwrap().expose(), &code);
    assert_eq!(shown.link.map(|link| link.expose().clone()), link);
    // Whoever clicks brings back the code; then neither is worth anything (ST-07).
    world.verify("flow", &code).await.unwrap();
    assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::FlowPassed)));
}

#[tokio::test]
async fn a_link_opens_only_in_the_message_it_was_made_for() {
    let world = world!();
    for (key, name) in [("one", "ada"), ("two", "grace")] {
        ask(&world, key, Purpose::SignInOrUp, name, Strangers::Silent).await;
    }
    let newest = "(SELECT max(id) FROM outbox)";
    world.execute(&format!(
        "UPDATE outbox SET link = (SELECT link FROM outbox WHERE id < {newest}) WHERE id = {newest}"
    ));
    let leased = world.engine.lease_messages(10).await.unwrap();
    let links: Vec<_> = leased.iter().map(|it| (it.recipient.as_str(), told(it).1.is_some())).collect();
    assert_eq!(links, [("ada@example.com", true), ("grace@example.com", false)], "the code is sent all the same");
}

#[tokio::test]
async fn st_34_a_decoys_link_has_as_many_bytes_as_a_true_one() {
    let world = world!();
    world.engine.register(world.project(), address("ada")).await.unwrap();
    for (key, name, strangers) in [
        ("known", "ada", Strangers::Silent),
        ("decoy", "nobody", Strangers::Silent),
        ("told", "somebody", Strangers::Told),
    ] {
        ask(&world, key, Purpose::SignIn, name, strangers).await;
    }
    let kinds: String = world.row("SELECT string_agg(kind, ' ') FROM (SELECT kind FROM outbox ORDER BY id) AS ordered");
    assert_eq!(kinds, "code decoy no_account");
    let lengths: i64 = world.row("SELECT count(DISTINCT length(link)) FROM outbox WHERE link IS NOT NULL");
    let different: i64 = world.row("SELECT count(DISTINCT link) FROM outbox");
    assert_eq!((lengths, different), (1, 3));
}

#[tokio::test]
async fn a_resend_mails_the_code_without_a_link() {
    let world = world!();
    ask(&world, "flow", Purpose::SignInOrUp, "ada", Strangers::Silent).await;
    world.clock.advance(Duration::from_secs(5));
    let handle = world.handle("flow");
    world.engine.resend(&world.context(), handle, Naming::Public, ResendMode::SameCode).await.unwrap();
    let leased = world.engine.lease_messages(10).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!(told(&leased[0]).1, None);
    // Both mails hold the same code, and the inbox shows the link where it was.
    let shown = world.engine.inbox(None).await.unwrap();
    assert_eq!(shown.iter().map(|it| it.link.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn who_has_no_account_is_told_so_without_code_or_link_also_in_the_inbox() {
    let world = world!();
    for purpose in [Purpose::SignIn, Purpose::VerifyAddress] {
        let key = format!("{purpose:?}");
        ask(&world, &key, purpose, "nobody", Strangers::Told).await;
        let shown = world.engine.inbox(None).await.unwrap().remove(0);
        assert_eq!((shown.message.kind, shown.purpose), (MessageKind::NoAccount, Some(purpose)));
        assert!(shown.code.is_none() && shown.link.is_none());
        let leased = world.engine.lease_messages(10).await.unwrap();
        assert_eq!(leased.len(), 1);
        assert!(matches!(leased[0].content, Content::NoAccount));
    }
}

#[tokio::test]
async fn st_34_verifying_an_address_of_nobody_looks_like_verifying_one_of_somebody() {
    let world = world!();
    world.engine.register(world.project(), address("ada")).await.unwrap();
    let mut answers = Vec::new();
    for (key, name) in [("known", "ada"), ("unknown", "nobody")] {
        world.calls.take_calls();
        let started = world.start(key, Purpose::VerifyAddress, &address(name)).await.unwrap();
        let challenge = started.flow.challenge.clone().unwrap();
        let refused = world.verify(key, "0").await;
        assert!(matches!(refused, refused!(Refusal::CodeMismatch { left: 4 })), "{key}");
        answers.push((
            world.calls.take_calls(),
            (started.flow.state, started.flow.expires_at),
            (challenge.epoch, challenge.sends, challenge.expires_at, challenge.code_digest.is_some()),
        ));
    }
    assert_eq!(answers[0], answers[1]);
    let leased = world.engine.lease_messages(10).await.unwrap();
    assert_eq!(leased.iter().map(|it| it.recipient.as_str()).collect::<Vec<_>>(), ["ada@example.com"]);
    let owner = world.engine.owner(world.project(), &address("ada")).await.unwrap();
    assert_eq!(owner.address.asked_at, Some(world.engine.now()), "of hers it is known that she was asked");
    let verified = world.verify("known", &told(&leased[0]).0).await.unwrap();
    assert_eq!((verified.address.asked_at, verified.address.verified_at), (None, Some(world.engine.now())));
    assert_eq!(world.engine.owner(world.project(), &address("ada")).await.unwrap().address, verified.address);
}
