//! What a thief of the database gets, and what another master key gets.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac};
use engine::{
    Flow, Keys, Lease, MasterKey, NewFlow, NewTicket, OpenError, Operation as _, OutboxMessage, Purpose, SessionTerms,
    Strangers, Taking,
};
use testkit::world::{Backend, LIFE, MASTER_KEY, World, unlimited};

use crate::support::*;

/// A live flow, the message of its code, and the code.
type Live = (OutboxMessage, Flow, String);

/// A world with a thousand live codes.
async fn thousand(backend: Backend) -> Option<(World, Vec<Live>)> {
    let world = Arc::new(World::on(backend, unlimited()).await?);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1000_u32 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            // Letters only: the digits in the file shall be nobody's but the codes'.
            let name: String = format!("{number:03}").bytes().map(|digit| char::from(digit + b'a' - b'0')).collect();
            world.start(&name, Purpose::SignInOrUp, &address(&name)).await.unwrap().flow
        });
    }
    let flows = tasks.join_all().await;
    let shown = world.engine.inbox(None).await.unwrap();
    let live: Vec<_> = shown
        .into_iter()
        .map(|shown| {
            let flow = flows.iter().find(|flow| flow.id == shown.message.flow).unwrap();
            (shown.message, flow.clone(), shown.code.unwrap().expose().clone())
        })
        .collect();
    assert_eq!(live.len(), 1000);
    Some((Arc::into_inner(world).unwrap(), live))
}

/// The bytes of the database, its log and its index; of PostgreSQL what a backup of it holds.
fn dump(world: &World) -> Vec<u8> {
    if let Some(database) = world.postgres() {
        return String::from_utf8(database.dump()).unwrap().split(['\t', '\n']).flat_map(as_kept).collect();
    }
    let database = world.database();
    let mut bytes = fs::read(&database).unwrap();
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.clone().into_os_string();
        beside.push(suffix);
        bytes.extend(fs::read(beside).unwrap_or_default());
    }
    bytes
}

/// A field of a backup as the bytes that are kept, where it is not kept as text: else a code would be found by chance in the digits
/// that they are written with.
fn as_kept(field: &str) -> Vec<u8> {
    if let Some(bytes) = field.strip_prefix('\\').filter(|bytes| bytes.starts_with("\\x")) {
        return Value::of_text(bytes);
    }
    match field.parse::<i64>() {
        Ok(number) if field.len() != 6 => number.to_be_bytes().to_vec(),
        Ok(_) | Err(_) => format!("{field}\n").into_bytes(),
    }
}

/// Which of `needles`, all of one length, are in `bytes`.
fn found(bytes: &[u8], needles: &HashSet<Vec<u8>>) -> usize {
    let Some(length) = needles.iter().map(Vec::len).next() else { return 0 };
    bytes.windows(length).filter(|window| needles.contains(*window)).count()
}

/// Everything that code without a key could have made of `code` to check it by.
fn unkeyed(flow: &Flow, code: &str) -> Vec<Vec<u8>> {
    let handle = flow.handle.as_bytes().as_slice();
    let address = flow.challenge.as_ref().unwrap().address.as_str().as_bytes();
    let id = flow.id.get().to_be_bytes();
    let salts: [&[u8]; 6] = [b"", handle, &flow.seed, address, &id, flow.project.as_str().as_bytes()];
    let mut all = Vec::new();
    for salt in salts {
        for parts in [[salt, code.as_bytes()], [code.as_bytes(), salt]] {
            // With their lengths before them, which is how handles are made.
            let sized = parts.map(|part| [(part.len() as u64).to_be_bytes().as_slice(), part].concat());
            all.push(digest::digest(&digest::SHA256, &sized.concat()).as_ref().to_vec());
            all.push(digest::digest(&digest::SHA256, &parts.concat()).as_ref().to_vec());
            all.push(digest::digest(&digest::SHA3_256, &parts.concat()).as_ref().to_vec());
            all.push(digest::digest(&digest::SHA512_256, &parts.concat()).as_ref().to_vec());
            all.push(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, parts[0]), parts[1]).as_ref().to_vec());
        }
    }
    all
}

/// How many of `live` somebody recovers who has the database, the source and `master`, taking it for the key.
fn recovered(live: &[Live], master: [u8; 32]) -> usize {
    let keys = Arc::new(Keys::new(&MasterKey::new(master)).unwrap());
    let mut right = 0;
    for (message, flow, code) in live {
        let mut flow = flow.clone();
        // The row names the key it was made with; a thief is not stopped by that.
        flow.challenge.as_mut().unwrap().key = keys.newest();
        let lease = Lease { now: message.created_at, limit: 1, keys: Arc::clone(&keys) };
        let leased = lease.decide(vec![(message.clone(), Some(flow))]).outcome.messages;
        right += usize::from(leased[0].content.code().unwrap().expose() == code);
    }
    right
}

#[tokio::test]
async fn st_59_a_dump_and_the_source_without_the_key_recover_none_of_a_thousand_live_codes() {
    let Some((world, live)) = thousand(super::BACKEND).await else { return };
    assert_eq!(recovered(&live, MASTER_KEY), live.len(), "with the key it is easy, so the trial is one");

    let running = dump(&world);
    world.stop().await;
    let stopped = dump(&world);
    let codes: HashSet<_> = live.iter().map(|(_, _, code)| code.clone().into_bytes()).collect();
    let unkeyed: HashSet<_> = live.iter().flat_map(|(_, flow, code)| unkeyed(flow, code)).collect();
    let digests: HashSet<_> = live
        .iter()
        .map(|(_, flow, _)| flow.challenge.as_ref().unwrap().code_digest.unwrap().as_bytes().to_vec())
        .collect();
    assert_eq!(digests.len(), 1000, "no two flows share a digest");
    for bytes in [running, stopped] {
        assert!(found(&bytes, &digests) >= 1000, "it is the right file");
        assert_eq!(found(&bytes, &codes), 0, "no code in clear");
        assert_eq!(found(&bytes, &unkeyed), 0, "nothing that could be tried without the key");
    }
    let mut counting = [0; 32];
    for (index, byte) in counting.iter_mut().enumerate() {
        *byte = u8::try_from(index).unwrap();
    }
    for guessed in [[0; 32], [1; 32], [0xff; 32], counting] {
        assert_eq!(recovered(&live, guessed), 0);
    }
}

#[tokio::test]
async fn st_59_neither_does_the_key_without_the_seed() {
    let Some((_world, live)) = thousand(super::BACKEND).await else { return };
    let without_seed: Vec<_> =
        live.into_iter().map(|(message, flow, code)| (message, Flow { seed: [0; 16], ..flow }, code)).collect();
    assert_eq!(recovered(&without_seed, MASTER_KEY), 0);
}

#[tokio::test]
async fn st_65_another_master_key_is_refused_in_one_sentence_and_writes_nothing() {
    let mut world = world!();
    let ada = address("ada");
    world.engine.prepare_keys(world.project(), engine::Algorithm::Es256).await.unwrap();
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    world.stop().await;
    let before = dump(&world);

    world.events.take();
    let refused = world.reopen_with(MasterKey::new([8; 32])).await.unwrap_err();
    assert!(matches!(refused, OpenError::WrongMasterKey));
    let told = refused.to_string();
    assert!(told.contains("master key") && !told.contains('\n') && !told.contains("bug"), "{told}");
    assert!(world.calls.take_calls().iter().all(|call| ["highest_id", "meta"].contains(call)), "it only looked");
    assert_eq!(world.events.stored(), 0);
    world.stop().await;
    assert!(dump(&world) == before, "not a byte of the database is another");

    world.reopen().await;
    world.verify("flow", &code).await.unwrap();
}

#[tokio::test]
async fn a_newer_master_key_opens_while_the_older_is_listed() {
    let mut world = world!();
    let ada = address("ada");
    let public = world.engine.public_id("identity", 42);
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    world.reopen_with(MasterKey::new([8; 32]).with_older(MASTER_KEY)).await.unwrap();
    assert_eq!(world.engine.public_id("identity", 42), public);
    assert_eq!(world.code(&ada).await.as_ref(), Some(&code));
    world.clock.advance(std::time::Duration::from_secs(5));
    world
        .engine
        .resend(&world.context(), world.handle("flow"), engine::Naming::Public, engine::ResendMode::SameCode)
        .await
        .unwrap();
    assert_eq!(world.code(&ada).await.as_ref(), Some(&code), "a code of the older key is sent again");
    world.verify("flow", &code).await.unwrap();
    world.clock.advance(LIFE);
    world.sign_in("flow", &ada).await;
}

/// `text` as it is, and the bytes that it may be another writing of.
fn writings(text: &str) -> Vec<Vec<u8>> {
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut length) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let Some(value) = symbols.iter().position(|symbol| *symbol == byte) else { continue };
        (bits, length) = (bits << 6 | u32::try_from(value).unwrap(), length + 6);
        if length >= 8 {
            length -= 8;
            bytes.push(u8::try_from(bits >> length & 0xff).unwrap());
        }
    }
    vec![text.as_bytes().to_vec(), bytes]
}

#[tokio::test]
async fn st_59_neither_what_a_ticket_is_called_nor_what_it_holds_nor_a_link_nor_a_flows_name_is_in_the_file() {
    let world = world!();
    let context = world.context();
    let flow_name = "3fa5b2f2-0f6f-4b1d-9a51-52b7b0c3a001";
    let new = NewFlow {
        handle: world.handle(flow_name),
        purpose: Purpose::SignIn,
        device: Some(world.engine.new_device_id(&context)),
        attributes: None,
        memo: None,
        flow_life: LIFE,
    };
    world.engine.open_flow(&context, new).await.unwrap();
    let link = "https://accounts.example.com/self-service/verification?flow=";
    for (name, strangers) in [("ada", Strangers::Silent), ("nobody", Strangers::Told)] {
        let mut challenge = world.challenge(flow_name, Purpose::SignInOrUp, &address(name));
        if strangers == Strangers::Told {
            (challenge.handle, challenge.purpose) = (world.handle("told"), Purpose::SignIn);
        }
        challenge.link = Some(format!("{link}{flow_name}&code={{code}}").into());
        challenge.strangers = strangers;
        world.engine.start_challenge(&context, challenge).await.unwrap();
    }
    let code = world.code(&address("ada")).await.unwrap();
    let verified = world.verify(flow_name, &code).await.unwrap();

    let body = "what the ticket holds: n-0S6_WzA2Mj";
    let mut tickets = Vec::new();
    for _ in 0..20 {
        let new = NewTicket {
            kind: "code",
            binding: [1; 32],
            identity: Some(verified.identity.id),
            method: "email",
            body: body.as_bytes(),
            life: LIFE,
        };
        tickets.push(world.engine.put_ticket(&context, new).await.unwrap().expose().clone());
    }
    // Some are taken, some are taken twice, some are burned.
    for (index, ticket) in tickets.iter().take(12).enumerate() {
        let binding = [u8::from(index % 3 != 2); 32];
        for _ in 0..=index % 2 {
            let session = Some(SessionTerms::of(LIFE));
            let taking = Taking { kind: "code", ticket, binding, session };
            let _ = world.engine.take_ticket(&context, taking).await;
        }
    }
    let session = verified.session.unwrap().id.get();
    let bearer = world.engine.bearer("session", session);
    let tag = bearer.expose()[8..].to_vec();

    let running = dump(&world);
    world.stop().await;
    let stopped = dump(&world);
    let mut needles: Vec<_> = tickets.iter().flat_map(|ticket| writings(ticket)).collect();
    needles.extend([body, link, flow_name, "accounts.example.com", "code={code}"].map(|text| text.as_bytes().to_vec()));
    needles.push(tag);
    for bytes in [running, stopped] {
        let has = |needle: &[u8]| found(&bytes, &HashSet::from([needle.to_vec()])) > 0;
        assert!(has(&session.to_be_bytes()[2..]) && has(b"ada@example.com"), "it is the right file");
        for needle in &needles {
            assert!(!has(needle), "{}", String::from_utf8_lossy(needle));
        }
    }
}
