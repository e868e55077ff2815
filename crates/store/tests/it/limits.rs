//! What may be guessed and sent, over days: the engine on a real database, with a clock to move and callers from everywhere.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use engine::{
    Address, Attempt, Client, Context, DeviceProof, Error, Event, KNOWN_FOR, Naming, NewChallenge, Policy, Purpose,
    Refusal, ResendMode, Result, SendLimit, SessionTerms, Started, Timestamp, VerificationOutcome, Verified,
};
use testkit::world::{DIALECT, LIFE, World, other_than, unlimited};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Somebody who asks and answers.
#[derive(Clone, Copy, Default)]
struct From<'a> {
    network: Option<IpAddr>,
    proof: Option<&'a Verified>,
}

impl From<'_> {
    fn network(network: &str) -> Self {
        Self { network: Some(network.parse().unwrap()), proof: None }
    }

    fn number(number: u32) -> Self {
        Self { network: Some(Ipv4Addr::from_bits(0x0a00_0000 + number).into()), proof: None }
    }

    fn context(self, world: &World) -> Context<'_> {
        let client = Client { address: self.network, user_agent: None };
        let project = world.engine.projects().default_project();
        let proof = self.proof.map(|verified| {
            let session = verified.session.as_ref().unwrap();
            DeviceProof::Identity { identity: verified.identity.id, proved_at: session.issued_at }
        });
        Context { proof, ..world.engine.context(project, DIALECT, client) }
    }

    async fn asks(self, world: &World, key: &str, address: &Address) -> Result<Started> {
        world.engine.start_challenge(&self.context(world), world.challenge(key, Purpose::SignIn, address)).await
    }

    async fn asks_again(self, world: &World, key: &str) -> Result<Started> {
        let context = self.context(world);
        world.engine.resend(&context, world.handle(key), Naming::Public, ResendMode::SameCode).await
    }

    async fn types(self, world: &World, key: &str, code: &str) -> Result<Verified> {
        let attempt = Attempt { handles: &[world.handle(key)], code, session: Some(SessionTerms::of(LIFE)) };
        world.engine.verify(&self.context(world), attempt).await
    }
}

/// How long somebody has to wait.
fn wait<T: std::fmt::Debug>(answer: Result<T>) -> Option<Duration> {
    match answer {
        Ok(_) => None,
        Err(Error::Refused { refusal: Refusal::TooSoon { retry_after }, .. }) => Some(retry_after),
        Err(other) => panic!("{other:?}"),
    }
}

/// The limits of production, and somebody who has an account and a device that knows her.
async fn production() -> Option<(World, Verified)> {
    let policy = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let world = World::on(super::BACKEND, policy).await?;
    let ada = world.sign_in("enrol", &address("ada")).await;
    world.clock.advance(DAY);
    Some((world, ada))
}

fn most_within(times: &[Timestamp], window: Duration) -> usize {
    let within = |first: &Timestamp| times.iter().filter(|at| *at >= first && **at < first.plus(window)).count();
    times.iter().map(within).max().unwrap_or_default()
}

#[tokio::test]
async fn st_42_a_thousand_callers_send_one_recipient_ten_mails_a_day_and_her_device_is_not_kept_waiting() {
    let Some((world, ada)) = production().await else { return };
    let mut sent = Vec::new();
    for number in 0..1_000_u32 {
        // Over two days, from a thousand networks.
        world.clock.advance(DAY * 2 / 1_000);
        if wait(From::number(number).asks(&world, &format!("flow {number}"), &address("ada")).await).is_none() {
            sent.push(world.engine.now());
        }
    }
    assert_eq!((most_within(&sent, DAY), most_within(&sent, HOUR)), (10, 5));
    assert!(sent.len() <= 21, "{}", sent.len());
    // She comes in from where she was before, at once.
    let known = From { proof: Some(&ada), ..From::network("192.0.2.1") };
    known.asks(&world, "known", &address("ada")).await.unwrap();
    known.types(&world, "known", &world.code(&address("ada")).await.unwrap()).await.unwrap();
    // From elsewhere she waits, which is what many networks can do: a day at most.
    let wait = wait(From::network("192.0.2.1").asks(&world, "new", &address("ada")).await);
    assert!(wait.is_some_and(|wait| wait <= DAY), "{wait:?}");
}

#[tokio::test]
async fn a_known_device_asks_in_a_flow_of_its_own_where_anybody_can_name_the_other() {
    let Some((world, ada)) = production().await else { return };
    let handles = [world.handle("anybody"), world.handle("known")];
    let asks = async |from: From<'_>| {
        let challenge = world.challenge("anybody", Purpose::SignIn, &address("ada"));
        let challenge = NewChallenge { naming: Naming::Divided { known: handles[1] }, ..challenge };
        let started = world.engine.start_challenge(&from.context(&world), challenge).await.unwrap();
        (started.flow.handle, world.code(&address("ada")).await.unwrap())
    };
    let known = || From { proof: Some(&ada), ..From::network("192.0.2.1") };
    let (of_strangers, theirs) = asks(From::network("203.0.113.9")).await;
    let (own, hers) = asks(known()).await;
    assert_eq!([of_strangers, own], handles);
    world.clock.advance(SECOND * 30);
    assert_eq!(asks(known()).await, (own, hers.clone()), "the same one is asked again");
    for code in [theirs, hers] {
        let attempt = Attempt { handles: &handles, code: &code, session: Some(SessionTerms::of(LIFE)) };
        world.engine.verify(&known().context(&world), attempt).await.unwrap();
    }
}

#[tokio::test]
async fn st_42_one_network_leaves_room_for_the_others() {
    let Some((world, _)) = production().await else { return };
    let (one, ada) = (From::network("203.0.113.9"), address("ada"));
    let mut sent = Vec::new();
    for minute in 0..(48 * 60) {
        world.clock.advance(SECOND * 60);
        if wait(one.asks(&world, &format!("flow {minute}"), &ada).await).is_none() {
            sent.push(world.engine.now());
        }
    }
    assert_eq!((most_within(&sent, DAY), most_within(&sent, HOUR)), (5, 3));
    world.clock.advance(SECOND * 30);
    From::network("198.51.100.7").asks(&world, "hers", &ada).await.unwrap();
}

#[tokio::test]
async fn st_09_a_network_is_one_however_its_address_is_written() {
    for (first, same, other) in [
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("2001:db8:0:1::1", "2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
        ("::ffff:c000:207", "192.0.2.7", "::ffff:192.0.2.8"),
    ] {
        let Some((world, _)) = production().await else { return };
        for number in 0..3 {
            world.clock.advance(SECOND * 30);
            let from = [first, same][number % 2];
            From::network(from).asks(&world, &format!("flow {number}"), &address("ada")).await.unwrap();
        }
        world.clock.advance(SECOND * 30);
        let answer = wait(From::network(same).asks(&world, "more", &address("ada")).await);
        assert_eq!(answer, HOUR.checked_sub(SECOND * 90), "{same}");
        From::network(other).asks(&world, "other", &address("ada")).await.unwrap();
    }
}

#[tokio::test]
async fn st_36_the_caps_of_a_network_are_the_same_for_known_and_unknown_addresses() {
    let Some((world, ada)) = production().await else { return };
    let one = From::network("203.0.113.9");
    for number in 0..60 {
        let to = if number % 2 == 0 { format!("somebody-{number}") } else { format!("nobody-{number}") };
        if number % 2 == 0 {
            world.engine.register(world.project(), address(&to)).await.unwrap();
        }
        one.asks(&world, &to, &address(&to)).await.unwrap();
        // A repeat, and what is refused for another reason, cost nothing.
        one.asks(&world, &to, &address(&to)).await.unwrap();
        assert!(wait(one.asks(&world, &format!("{to} again"), &address(&to)).await).is_some());
    }
    world.engine.register(world.project(), address("known")).await.unwrap();
    for name in ["known", "unknown"] {
        assert_eq!(wait(one.asks(&world, name, &address(name)).await), Some(Duration::from_mins(1)), "{name}");
    }
    // Another network does not notice, and neither does a device that its address knows.
    From::network("203.0.113.10").asks(&world, "other", &address("known")).await.unwrap();
    From { proof: Some(&ada), ..one }.asks(&world, "hers", &address("ada")).await.unwrap();
    // Somebody else's device is a stranger's.
    assert!(wait(From { proof: Some(&ada), ..one }.asks(&world, "hers too", &address("bob")).await).is_some());
}

#[tokio::test]
async fn st_42_the_cap_of_a_project_holds_and_raises_an_event() {
    let limit = SendLimit { project: 300, ..SendLimit::default() };
    let world = world!(Policy { send_limit: Some(limit), ..unlimited() });
    let ada = world.sign_in("enrol", &address("ada")).await;
    world.events.take();
    let mut sent = 0;
    for number in 0..1_000 {
        let to = address(&format!("to-{number}"));
        sent += u32::from(wait(From::number(number).asks(&world, &format!("flow {number}"), &to).await).is_none());
    }
    assert_eq!(sent, 299, "one of 300 was hers");
    let told = world.events.take().into_iter().filter(|event| matches!(event, Event::CapReached { .. }));
    assert_eq!(told.count(), 1);
    From { proof: Some(&ada), ..From::network("192.0.2.1") }.asks(&world, "hers", &address("ada")).await.unwrap();
    world.clock.advance(SECOND * 12);
    From::number(5_000).asks(&world, "one more", &address("later")).await.unwrap();
    assert!(wait(From::number(5_001).asks(&world, "two more", &address("even-later")).await).is_some());
}

#[tokio::test]
async fn st_12_a_success_of_whoever_it_is_gives_no_guess_and_no_message_back() {
    let Some((world, _)) = production().await else { return };
    let one = From::network("203.0.113.9");
    world.sign_in("his own", &address("mallory")).await;
    for number in 0..5 {
        let key = format!("flow {number}");
        world.clock.advance(HOUR);
        let network = From::number(number);
        network.asks(&world, &key, &address("ada")).await.unwrap();
        let code = world.code(&address("ada")).await.unwrap();
        assert!(matches!(one.types(&world, &key, &other_than(&code)).await, refused!(Refusal::CodeMismatch { .. })));
        // He signs in himself between any two guesses, and so does she.
        world.sign_in("his own", &address("mallory")).await;
    }
    world.clock.advance(HOUR);
    let started = From::number(9).asks(&world, "next", &address("ada")).await.unwrap();
    assert!(started.flow.challenge.unwrap().format.is_long());
    From::number(9).types(&world, "next", &world.code(&address("ada")).await.unwrap()).await.unwrap();
    world.clock.advance(SECOND * 30);
    let started = From::number(10).asks(&world, "after", &address("ada")).await.unwrap();
    assert!(started.flow.challenge.unwrap().format.is_long(), "her success is no reason to guess again");
}

#[tokio::test]
async fn st_57_a_code_is_taken_whatever_was_sent_and_no_way_of_asking_goes_round_the_caps() {
    let limit = SendLimit { network: 2, ..SendLimit::default() };
    let world = world!(Policy { send_limit: Some(limit), ..unlimited() });
    world.sign_in("enrol", &address("ada")).await;
    world.clock.advance(DAY);
    let one = From::network("203.0.113.9");
    one.asks(&world, "flow", &address("ada")).await.unwrap();
    one.asks(&world, "another", &address("bob")).await.unwrap();
    // Asking is over, for starts and for resends of a code that is out.
    world.clock.advance(SECOND * 31);
    assert!(wait(one.asks(&world, "third", &address("cleo")).await).is_some());
    assert!(wait(one.asks_again(&world, "flow").await).is_some());
    // Answering is not.
    let code = world.code(&address("ada")).await.unwrap();
    for _ in 0..4 {
        assert!(matches!(one.types(&world, "flow", "wrong").await, refused!(Refusal::CodeMismatch { .. })));
    }
    one.types(&world, "flow", &code).await.unwrap();
}

#[tokio::test]
async fn st_54_who_asks_on_behalf_of_somebody_spends_what_she_may_be_sent() {
    let Some((world, ada)) = production().await else { return };
    let admin = From::default();
    let mut challenge = world.challenge("by an operator", Purpose::VerifyAddress, &address("ada"));
    challenge.identity = Some(ada.identity.id);
    world.engine.start_challenge(&admin.context(&world), challenge.clone()).await.unwrap();
    world.clock.advance(SECOND * 3);
    assert_eq!(wait(world.engine.start_challenge(&admin.context(&world), challenge).await), Some(SECOND * 27));
    assert_eq!(wait(admin.asks_again(&world, "by an operator").await), Some(SECOND * 27));
    assert_eq!(wait(admin.asks(&world, "by herself", &address("ada")).await), Some(SECOND * 27));
}

#[tokio::test]
async fn st_48_a_clock_that_is_set_gives_no_guess_back_and_no_code_a_longer_life() {
    for forward in [false, true] {
        let world = world!();
        let (one, ada) = (From::network("203.0.113.9"), address("ada"));
        world.sign_in("enrol", &ada).await;
        for number in 0..6 {
            one.asks(&world, &format!("flow {number}"), &ada).await.unwrap();
        }
        let code = world.code(&ada).await.unwrap();
        for number in 0..5 {
            one.types(&world, &format!("flow {number}"), "wrong").await.unwrap_err();
        }
        if forward {
            world.clock.advance(HOUR);
        } else {
            world.clock.set_back(HOUR);
        }
        let answer = one.types(&world, "flow 5", &code).await;
        assert!(matches!(answer, refused!(Refusal::CodeMismatch { .. } | Refusal::FlowExpired | Refusal::CodeExpired)));
        assert_eq!(world.events.verified(VerificationOutcome::Mismatch), 5);
        let next = one.asks(&world, "next", &ada).await.unwrap().flow.challenge.unwrap();
        assert!(next.format.is_long(), "forward: {forward}");
        // A code that was sent before a step back ends when it was said to.
        let ends_at = world.engine.flow(world.handle("flow 5")).await.unwrap().challenge.unwrap().expires_at;
        world.clock.set(ends_at);
        let answer = one.types(&world, "flow 5", &code).await;
        assert!(matches!(answer, refused!(Refusal::CodeExpired | Refusal::FlowExpired)), "{answer:?}");
    }
}

#[tokio::test]
async fn st_47_what_is_said_of_a_code_s_end_is_when_it_ends_also_after_a_resend() {
    let Some((world, _)) = production().await else { return };
    let (one, ada) = (From::network("203.0.113.9"), address("ada"));
    for (again_after, is_renewed) in [(Duration::from_mins(2), false), (Duration::from_mins(8), true)] {
        world.clock.advance(DAY);
        let key = format!("after {again_after:?}");
        let said = one.asks(&world, &key, &ada).await.unwrap().flow.challenge.unwrap().expires_at;
        assert_eq!(said, world.engine.now().plus(Duration::from_mins(10)));
        world.clock.advance(again_after);
        let again = one.asks_again(&world, &key).await.unwrap().flow.challenge.unwrap().expires_at;
        assert_eq!(again != said, is_renewed, "{key}");
        // The mail says the same: it is made of this.
        let leased = world.engine.lease_messages(10).await.unwrap();
        let mailed = leased.iter().find(|it| it.recipient == ada && it.not_after == again);
        let code = mailed.unwrap().content.code().unwrap().expose().clone();
        world.clock.set(again);
        assert!(matches!(one.types(&world, &key, &code).await, refused!(Refusal::CodeExpired | Refusal::FlowExpired)));
        world.clock.set_back(Duration::from_millis(1));
        one.types(&world, &key, &code).await.unwrap();
    }
}

#[tokio::test]
async fn a_device_is_known_for_ninety_days_after_it_was_last_proved() {
    let Some((world, ada)) = production().await else { return };
    let one = From::network("203.0.113.9");
    for number in 0..5 {
        world.clock.advance(HOUR);
        From::number(number).asks(&world, "flow", &address("ada")).await.unwrap();
        one.types(&world, "flow", "wrong").await.unwrap_err();
    }
    world.clock.advance(SECOND * 60);
    let form = async |key: &str| {
        let known = From { proof: Some(&ada), ..one };
        known.asks(&world, key, &address("ada")).await.unwrap().flow.challenge.unwrap().format.is_long()
    };
    assert!(!form("known").await);
    world.clock.set(ada.session.as_ref().unwrap().issued_at.plus(KNOWN_FOR).minus(HOUR * 2));
    for number in 5..10 {
        world.clock.advance(SECOND * 31);
        From::number(number).asks(&world, &format!("late {number}"), &address("ada")).await.unwrap();
        one.types(&world, &format!("late {number}"), "wrong").await.unwrap_err();
    }
    assert!(!form("still known").await);
    world.clock.advance(HOUR * 2);
    assert!(form("not any more").await);
}
