//! Devices: a row with the first session, another generation with every change.

use std::time::Duration;

use engine::{
    ChangeDevice, Device, DeviceChange, DeviceId, IdentityState, Naming, Operation as _, ProjectId, Purpose, Refusal,
    Session, SessionId, Timestamp,
};

use crate::memory::Memory;
use crate::support::*;

fn minutes(number: u64) -> Timestamp {
    NOON.plus(Duration::from_mins(number))
}

/// Signs `name` in at `device`.
fn sign_in(memory: &mut Memory, now: Timestamp, device: DeviceId, name: &str) -> Session {
    let key = format!("{name} at {device}");
    let mut operation = start(now, &key, Purpose::SignInOrUp, &address(name));
    operation.device = Some(device);
    operation.naming = Naming::Secret;
    let flow = started(memory.start(&operation));
    passed(memory.verify(&verify(now, &key, &code(&flow)))).session.unwrap()
}

fn change(now: Timestamp, id: DeviceId, change: DeviceChange) -> ChangeDevice {
    ChangeDevice { now, project: project(), dialect: "test", id, change }
}

/// A device with two sessions: the older one's and the newer one's.
fn two(memory: &mut Memory) -> (DeviceId, Session, Session) {
    let device = DeviceId::new(id());
    let older = sign_in(memory, minutes(1), device, "ada");
    let newer = sign_in(memory, minutes(2), device, "grace");
    (device, older, newer)
}

#[test]
fn a_device_has_no_row_before_its_first_session() {
    let mut memory = Memory::default();
    let device = DeviceId::new(id());
    let mut operation = start(NOON, "flow", Purpose::SignInOrUp, &address("ada"));
    operation.device = Some(device);
    let flow = started(memory.start(&operation));
    assert_eq!(flow.device, Some(device));
    assert!(memory.devices.is_empty());

    // A wrong code changes nothing about it either.
    memory.verify(&verify(NOON, "flow", &other_than(&code(&flow))));
    assert!(memory.devices.is_empty());

    let now = minutes(1);
    let session = passed(memory.verify(&verify(now, "flow", &code(&flow)))).session.unwrap();
    assert_eq!(session.device, Some(device));
    let expected = Device {
        id: device,
        project: project(),
        dialect: "test".to_owned(),
        generation: 1,
        rotated_at: now,
        active: Some(session.id),
        updated_at: now,
    };
    assert_eq!(memory.devices[&device], expected, "who knew it before knows it no more");
}

#[test]
fn no_session_no_device() {
    let mut memory = Memory::default();
    let mut operation = start(NOON, "flow", Purpose::SignInOrUp, &address("ada"));
    operation.device = Some(DeviceId::new(id()));
    let flow = started(memory.start(&operation));
    let mut operation = verify(NOON, "flow", &code(&flow));
    operation.session = None;
    let decision = operation.decide(only(memory.seen(&handle("flow")).unwrap()));
    assert_eq!(names(&decision.writes), ["AddIdentity", "AddAddress", "PassFlow"]);
}

#[test]
fn st_41_each_new_session_is_the_active_one_under_another_generation() {
    let mut memory = Memory::default();
    let (device, older, newer) = two(&mut memory);
    let row = &memory.devices[&device];
    assert_eq!((row.generation, row.active, row.rotated_at), (2, Some(newer.id), minutes(2)));
    assert!(older.id < newer.id);
    assert!(memory.sessions.values().all(|session| session.is_live(minutes(2))), "both are signed in");
}

#[test]
fn another_of_its_sessions_may_be_the_active_one() {
    let mut memory = Memory::default();
    let (device, older, newer) = two(&mut memory);
    let changed = memory.change_device(&change(minutes(3), device, DeviceChange::Activate(older.id))).unwrap();
    assert_eq!(changed, memory.devices[&device], "what is told is what is kept");
    assert_eq!((changed.active, changed.generation, changed.rotated_at), (Some(older.id), 3, minutes(3)));
    assert!(memory.sessions[&newer.id].is_live(minutes(3)));
}

#[test]
fn where_the_active_session_is_signed_out_the_newest_of_the_others_is_active() {
    let mut memory = Memory::default();
    let (device, older, newer) = two(&mut memory);
    let newest = sign_in(&mut memory, minutes(3), device, "mary");
    let out = |session: &Session| DeviceChange::SignOut(Some(session.id));
    let changed = memory.change_device(&change(minutes(4), device, out(&newest))).unwrap();
    assert_eq!((changed.active, changed.generation), (Some(newer.id), 4));
    assert_eq!(memory.sessions[&newest.id].ended_at, Some(minutes(4)));
    // One that is not the active one leaves that as it is.
    let changed = memory.change_device(&change(minutes(5), device, out(&older))).unwrap();
    assert_eq!((changed.active, changed.generation), (Some(newer.id), 5));
    let changed = memory.change_device(&change(minutes(6), device, out(&newer))).unwrap();
    assert_eq!((changed.active, changed.generation), (None, 6));
}

#[test]
fn all_of_its_sessions_are_signed_out_at_once_and_no_others() {
    let mut memory = Memory::default();
    let (device, older, newer) = two(&mut memory);
    let elsewhere = sign_in(&mut memory, minutes(2), DeviceId::new(id()), "ada");
    let changed = memory.change_device(&change(minutes(3), device, DeviceChange::SignOut(None))).unwrap();
    assert_eq!((changed.active, changed.generation), (None, 3));
    for session in [older, newer] {
        assert_eq!(memory.sessions[&session.id].ended_at, Some(minutes(3)));
    }
    assert!(memory.sessions[&elsewhere.id].is_live(minutes(3)));
    let decision = change(minutes(4), device, DeviceChange::SignOut(None)).decide(memory.device(device, minutes(4)));
    assert_eq!(decision.outcome, Err(Refusal::SessionEnded), "nobody is left to be signed out");
    assert!(decision.writes.is_empty());
}

#[test]
fn a_change_is_refused_where_the_session_is_none_of_the_devices_live_ones() {
    let mut memory = Memory::default();
    let (device, older, newer) = two(&mut memory);
    let elsewhere = sign_in(&mut memory, minutes(2), DeviceId::new(id()), "mary");
    memory.change_device(&change(minutes(3), device, DeviceChange::SignOut(Some(older.id)))).unwrap();
    let over = newer.expires_at;
    for (now, session) in
        [(minutes(4), older.id), (minutes(4), elsewhere.id), (minutes(4), SessionId::new(id())), (over, newer.id)]
    {
        for what in [DeviceChange::Activate(session), DeviceChange::SignOut(Some(session))] {
            let decision = change(now, device, what).decide(memory.device(device, now));
            assert_eq!(decision.outcome, Err(Refusal::SessionEnded), "{what:?}");
            assert!(decision.writes.is_empty(), "{what:?}");
        }
    }
    let nobodys = DeviceId::new(id());
    for what in [DeviceChange::Activate(newer.id), DeviceChange::SignOut(None)] {
        assert_eq!(memory.change_device(&change(minutes(4), nobodys, what)), Err(Refusal::SessionEnded));
    }
}

#[test]
fn st_55_a_device_belongs_to_one_surface_and_one_tenant() {
    let mut memory = Memory::default();
    let (device, older, _) = two(&mut memory);
    let row = memory.devices[&device].clone();
    let elsewhere = |project: &ProjectId, dialect| ChangeDevice {
        project: project.clone(),
        dialect,
        ..change(minutes(3), device, DeviceChange::Activate(older.id))
    };
    for operation in [elsewhere(&ProjectId::new("P2"), "test"), elsewhere(&project(), "other")] {
        assert_eq!(memory.change_device(&operation), Err(Refusal::SessionEnded));
    }
    // A flow of another surface that names it signs in without it.
    let mut operation = start(minutes(3), "other", Purpose::SignInOrUp, &address("ada"));
    operation.dialect = "other";
    operation.device = Some(device);
    let flow = started(memory.start(&operation));
    let verified = passed(memory.verify(&verify(minutes(3), "other", &code(&flow))));
    assert_eq!(verified.session.unwrap().device, None);
    assert_eq!(memory.devices[&device], row, "which stays as it was");
}

#[test]
fn whose_address_was_proved_without_being_let_in_has_no_part_in_the_device() {
    let ada = address("ada");
    let mut owner = owner_of(&ada, None);
    owner.identity.state = IdentityState::Inactive;
    let mut flow = asked("flow", Purpose::VerifyAddress, &ada, Some(&owner));
    flow.device = Some(DeviceId::new(id()));
    let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen(&flow, Some(&owner))));
    assert_eq!(names(&decision.writes), ["ProveAddress", "BumpIdentity", "PassFlow"]);
}
