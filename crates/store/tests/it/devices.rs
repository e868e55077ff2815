//! Devices, on a real database.

use std::time::Duration;

use engine::{
    Attempt, CodeFormat, Context, Device, DeviceChange, DeviceId, DeviceProof, DeviceView, FLOWS_SHOWN, KNOWN_FOR,
    Naming, NewFlow, Purpose, Refusal, ResendMode, SIGN_INS_SEEN, Sessions, Swept, Verified,
};
use testkit::world::{LIFE, World, other_than};

use crate::support::*;

async fn view(world: &World, device: DeviceId) -> DeviceView {
    world.engine.device(&world.context(), device).await.unwrap()
}

/// Signs `name` in at `device`.
async fn sign_in(world: &World, device: DeviceId, name: &str) -> Verified {
    let key = format!("{name} at {device}");
    let mut challenge = world.challenge(&key, Purpose::SignInOrUp, &address(name));
    challenge.device = Some(device);
    world.engine.start_challenge(&world.context(), challenge).await.unwrap();
    let code = world.code(&address(name)).await.unwrap();
    world.verify(&key, &code).await.unwrap()
}

#[tokio::test]
async fn a_device_comes_to_be_with_its_first_session_and_lasts() {
    let mut world = world!();
    world.calls.take_calls();
    let device = world.engine.new_device_id(&world.context());
    assert!(world.calls.take_calls().is_empty(), "it is named without I/O");
    let made_at = world.engine.now();
    world.clock.advance(Duration::from_secs(1));
    let fresh = Device {
        id: device,
        project: world.project().clone(),
        dialect: "test".to_owned(),
        generation: 0,
        rotated_at: made_at,
        active: None,
        updated_at: made_at,
    };
    let empty = DeviceView { device: fresh.clone(), flows: Vec::new(), callers: Vec::new() };
    assert_eq!(view(&world, device).await, empty);

    let mut challenge = world.challenge("flow", Purpose::SignInOrUp, &address("ada"));
    challenge.device = Some(device);
    let flow = world.engine.start_challenge(&world.context(), challenge).await.unwrap().flow;
    assert_eq!(view(&world, device).await, DeviceView { flows: vec![flow], ..empty });
    assert_eq!(world.row::<i64>("SELECT count(*) FROM devices"), 0);

    world.clock.advance(Duration::from_secs(1));
    let verified = world.verify("flow", &world.code(&address("ada")).await.unwrap()).await.unwrap();
    world.reopen().await;
    let now = world.engine.now();
    let seen = view(&world, device).await;
    let session = verified.session.unwrap();
    assert_eq!(
        seen.device,
        Device { generation: 1, rotated_at: now, active: Some(session.id), updated_at: now, ..fresh }
    );
    assert_eq!(seen.flows, [verified.flow]);
    assert_eq!(seen.callers.len(), 1);
    assert_eq!((&seen.callers[0].session, &seen.callers[0].account.identity), (&session, &verified.identity));
}

#[tokio::test]
async fn a_device_is_changed_by_one_operation_and_shows_what_was_told() {
    let world = world!();
    let device = world.engine.new_device_id(&world.context());
    let ada = sign_in(&world, device, "ada").await.session.unwrap();
    let grace = sign_in(&world, device, "grace").await.session.unwrap();
    let change = async |what| {
        world.clock.advance(Duration::from_secs(1));
        world.calls.take_calls();
        let changed = world.engine.change_device(&world.context(), device, what).await;
        assert_eq!(world.calls.take_calls(), ["change_device"]);
        changed
    };
    let live = async || view(&world, device).await.callers.iter().map(|it| it.session.id).collect::<Vec<_>>();
    assert_eq!(live().await, [ada.id, grace.id], "the oldest first");
    for (what, generation, active, left) in [
        (DeviceChange::Activate(ada.id), 3, Some(ada.id), vec![ada.id, grace.id]),
        (DeviceChange::SignOut(Some(ada.id)), 4, Some(grace.id), vec![grace.id]),
        (DeviceChange::SignOut(None), 5, None, vec![]),
    ] {
        let changed = change(what).await.unwrap();
        assert_eq!((changed.generation, changed.active, changed.rotated_at), (generation, active, world.engine.now()));
        assert_eq!(view(&world, device).await.device, changed);
        assert_eq!(live().await, left);
    }
    for what in [DeviceChange::SignOut(None), DeviceChange::Activate(ada.id)] {
        assert!(matches!(change(what).await, refused!(Refusal::SessionEnded)));
    }
    assert_eq!(view(&world, device).await.device.generation, 5, "what is refused rotates nothing");
    let nobodys = world.engine.new_device_id(&world.context());
    let refused = world.engine.change_device(&world.context(), nobodys, DeviceChange::SignOut(None)).await;
    assert!(matches!(refused, refused!(Refusal::SessionEnded)));
}

#[tokio::test]
async fn st_55_a_device_and_its_sessions_are_nothing_to_another_surface_or_tenant() {
    let world = world!();
    let device = world.engine.new_device_id(&world.context());
    let session = sign_in(&world, device, "ada").await.session.unwrap();
    let other_surface = Context { dialect: "other", ..world.context() };
    let mut tenant = (**world.engine.projects().default_project()).clone();
    tenant.id = engine::ProjectId::new("P2");
    let other_tenant = Context { project: &tenant, ..world.context() };
    for context in [other_surface, other_tenant] {
        let seen = world.engine.device(&context, device).await.unwrap();
        assert_eq!((seen.device.generation, seen.device.active), (0, None));
        assert!(seen.flows.is_empty() && seen.callers.is_empty());
        let refused = world.engine.change_device(&context, device, DeviceChange::Activate(session.id)).await;
        assert!(matches!(refused, refused!(Refusal::SessionEnded)));
    }
    // Nor does a flow that another surface opens at it show where it is.
    let new = NewFlow {
        handle: world.handle("other"),
        purpose: Purpose::SignIn,
        device: Some(device),
        attributes: None,
        memo: None,
        flow_life: LIFE,
    };
    world.engine.open_flow(&other_surface, new).await.unwrap();
    let seen = view(&world, device).await;
    assert_eq!((seen.device.active, seen.flows.len()), (Some(session.id), 1));
}

#[tokio::test]
async fn a_session_that_ended_elsewhere_is_no_devices_active_one() {
    let world = world!();
    let device = world.engine.new_device_id(&world.context());
    let session = sign_in(&world, device, "ada").await.session.unwrap();
    world.engine.end_sessions(&world.context(), session.id, Sessions::OfIdentity).await.unwrap();
    let seen = view(&world, device).await;
    assert_eq!((seen.device.active, seen.callers.len(), seen.device.generation), (None, 0, 1));
}

#[tokio::test]
async fn who_begins_many_flows_at_a_device_is_shown_the_newest() {
    let world = world!();
    let device = world.engine.new_device_id(&world.context());
    let mut opened = Vec::new();
    for number in 0..FLOWS_SHOWN + 3 {
        let new = NewFlow {
            handle: world.handle(&number.to_string()),
            purpose: Purpose::SignIn,
            device: Some(device),
            attributes: None,
            memo: None,
            flow_life: LIFE,
        };
        opened.push(world.engine.open_flow(&world.context(), new).await.unwrap());
    }
    assert_eq!(view(&world, device).await.flows, opened[3..], "the oldest of them first");
}

#[tokio::test]
async fn a_device_goes_with_its_last_session() {
    let world = world!();
    let [lasting, short] = [(); 2].map(|()| world.engine.new_device_id(&world.context()));
    sign_in(&world, short, "ada").await;
    sign_in(&world, lasting, "ada").await;
    world.clock.set(world.engine.now().plus(LIFE).minus(Duration::from_secs(1)));
    let last = sign_in(&world, lasting, "grace").await.session.unwrap();
    world.engine.lease_messages(10).await.unwrap();
    let devices = async || {
        world.engine.sweep().await.unwrap();
        world.row::<Option<String>>(
            "SELECT string_agg(CAST(id AS TEXT), ' ') FROM (SELECT id FROM devices ORDER BY id) AS ordered",
        )
    };
    world.clock.advance(KNOWN_FOR);
    assert_eq!(devices().await, Some(format!("{lasting} {short}")), "for ninety days they show that they are known");
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(devices().await, Some(lasting.to_string()));
    assert_eq!(view(&world, short).await.device.generation, 0, "and is again what it was when it was named");
    world.clock.set(last.expires_at.plus(KNOWN_FOR));
    assert_eq!(devices().await, Some(lasting.to_string()));
    world.clock.advance(Duration::from_millis(1));
    let swept = world.engine.sweep().await.unwrap();
    assert_eq!((swept.sessions, swept.others), (1, 1));
    assert_eq!(world.engine.sweep().await.unwrap(), Swept::default());
    assert_eq!(devices().await, None);
}

/// How a code looks that `address` is sent by whoever shows `proof`, asked for in a flow of its own and there once more, and whether it
/// passes then.
async fn asked(world: &World, key: &str, proof: Option<DeviceProof>) -> (CodeFormat, bool) {
    let context = Context { proof, ..world.context() };
    let started = world.engine.start_challenge(&context, world.challenge(key, Purpose::SignIn, &address("ada"))).await;
    let format = started.unwrap().flow.challenge.unwrap().format;
    world.clock.advance(Duration::from_secs(3));
    let again = world.engine.resend(&context, world.handle(key), Naming::Public, ResendMode::NewCode).await;
    assert_eq!(again.unwrap().flow.challenge.unwrap().format, format);
    let code = world.code(&address("ada")).await.unwrap();
    let attempt = Attempt { handles: &[world.handle(key)], code: &code, session: None };
    (format, world.engine.verify(&context, attempt).await.is_ok())
}

#[tokio::test]
async fn st_08_a_device_knows_whoever_was_signed_in_at_it_though_strangers_have_spent_their_guesses() {
    const SHORT: CodeFormat = CodeFormat::SIX_DIGITS;
    let world = world!();
    let [device, other] = [(); 2].map(|()| world.engine.new_device_id(&world.context()));
    let ada = sign_in(&world, device, "ada").await.session.unwrap();
    let grace = sign_in(&world, device, "grace").await.session.unwrap();
    sign_in(&world, other, "grace").await;
    // Both leave: she at the device, and everybody else there with all that she has.
    world.engine.change_device(&world.context(), device, DeviceChange::SignOut(Some(ada.id))).await.unwrap();
    world.engine.end_sessions(&world.context(), grace.id, Sessions::OfIdentity).await.unwrap();
    for number in 0..5 {
        let key = format!("attack {number}");
        world.start(&key, Purpose::SignIn, &address("ada")).await.unwrap();
        let wrong = other_than(&world.code(&address("ada")).await.unwrap());
        assert!(matches!(world.verify(&key, &wrong).await, refused!(Refusal::CodeMismatch { .. })));
    }
    for (key, proof, expected) in [
        ("a stranger", None, SHORT.long()),
        ("her device", Some(DeviceProof::Device(device)), SHORT),
        ("her session", Some(DeviceProof::Session(ada.id)), SHORT),
        ("another device", Some(DeviceProof::Device(other)), SHORT.long()),
        ("another's session", Some(DeviceProof::Session(grace.id)), SHORT.long()),
    ] {
        assert_eq!(asked(&world, key, proof).await, (expected, true), "{key}");
    }
    // Far more sign-ins than anybody needs are not all looked at.
    for _ in 1..SIGN_INS_SEEN {
        sign_in(&world, device, "grace").await;
    }
    assert_eq!(asked(&world, "crowded out", Some(DeviceProof::Device(device))).await, (SHORT.long(), true));
}
