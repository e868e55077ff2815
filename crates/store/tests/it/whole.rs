//! What may not be twice: whatever would make it so is refused as a whole.

use engine::{
    Account, AddressId, Digest, Identity, IdentityId, Purpose, Register, Registered, Store as _, Ticket,
    VerifiableAddress,
};
use testkit::world::{LIFE, World};

use crate::image;
use crate::support::*;

/// A registration of somebody new who has `addresses`, under these ids.
fn registration(world: &World, id: i64, addresses: &[(i64, &str)]) -> Register {
    let (id, now) = (IdentityId::new(id), world.engine.now());
    let identity = Identity {
        id,
        project: world.project().clone(),
        state: engine::IdentityState::Active,
        traits: "{}".to_owned(),
        metadata: "{}".to_owned(),
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    let own = |(address_id, name): &(i64, &str)| VerifiableAddress {
        id: AddressId::new(*address_id),
        identity: id,
        address: address(name),
        verified_at: None,
        asked_at: None,
        created_at: now,
    };
    Register { identity, addresses: addresses.iter().map(own).collect() }
}

#[tokio::test]
async fn an_operation_of_which_a_part_cannot_be_done_leaves_nothing() {
    let world = world!();
    let Registered::Added(Account { identity, addresses }) =
        world.engine.register(world.project(), address("ada")).await.unwrap()
    else {
        panic!("she is new")
    };
    let before = image::rows(&world);
    let (taken, taken_address) = (identity.id.get(), addresses[0].id.get());
    for (what, impossible) in [
        ("the id of an identity", registration(&world, taken, &[(taken + 10, "grace")])),
        ("the id of an address", registration(&world, taken + 11, &[(taken + 12, "grace"), (taken_address, "linus")])),
        ("an address", registration(&world, taken + 13, &[(taken + 14, "grace"), (taken + 15, "grace")])),
    ] {
        assert!(world.calls.register(impossible).await.is_err(), "{what} twice");
        assert_eq!(image::rows(&world), before, "{what} twice");
    }
    let possible = registration(&world, taken + 16, &[(taken + 17, "grace"), (taken + 18, "linus")]);
    assert!(matches!(world.calls.register(possible).await.unwrap(), Registered::Added(_)));
}

#[tokio::test]
async fn a_ticket_is_made_once() {
    let world = world!();
    let ticket = |sealed: &[u8]| Ticket {
        digest: [1; 32],
        project: world.project().clone(),
        binding: Digest::from_bytes([2; 32]),
        identity: None,
        method: String::new(),
        sealed: sealed.to_vec(),
        expires_at: world.engine.now().plus(LIFE),
        spent_at: None,
        session: None,
    };
    world.calls.put_ticket(ticket(b"first")).await.unwrap();
    let before = image::rows(&world);
    assert!(world.calls.put_ticket(ticket(b"second")).await.is_err());
    assert_eq!(image::rows(&world), before);
}

#[tokio::test]
async fn a_handle_names_one_flow_the_last_that_was_begun() {
    let world = world!();
    let open = async || {
        let (handle, purpose) = (world.handle("flow"), Purpose::SignIn);
        let new = engine::NewFlow { handle, purpose, device: None, attributes: None, memo: None, flow_life: LIFE };
        world.engine.open_flow(&world.context(), new).await.unwrap()
    };
    open().await;
    let last = open().await;
    assert_eq!(world.engine.flow(world.handle("flow")).await.unwrap(), last);
    assert_eq!(image::rows(&world)["flows"].len(), 1);
}
