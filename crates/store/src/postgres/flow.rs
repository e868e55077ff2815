//! Flows: loaders and appliers.

use engine::{
    Address, AddressId, Challenge, CodeFormat, DeviceId, Digest, FLOWS_SHOWN, Flow, FlowId, FlowState, Handle,
    IdentityId, KeyId, MessageId, Purpose, StoreError, Timestamp,
};

use super::connect::Link;
use super::identity::concerned;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

/// The columns of a flow, in the order that [`read`] expects.
macro_rules! columns {
    () => {
        "flows.id, handle, flows.project, dialect, purpose, flows.state, identity_id, seed, issued_at, expires_at, \
         flows.channel, flows.address, flows.mailbox, flows.epoch, sends, flows.attempts, max_attempts, sent_at, code_ends_at, \
         code_format, key_id, code_digest, message_id, replaces_id, attributes, flows.memo, flows.device_id"
    };
}
pub(super) use columns;

statements! {
    BY_HANDLE = concat!("SELECT ", columns!(), " FROM flows WHERE handle = $1");
    LOCK_BY_HANDLE = concat!("SELECT ", columns!(), " FROM flows WHERE handle = $1 FOR UPDATE");
    LOCK_BY_HANDLES = concat!("SELECT ", columns!(), " FROM flows WHERE handle = ANY($1) ORDER BY handle FOR UPDATE");
    // By their handles, and not by their ids, which change when a flow is put in the place of another: one that is waited for would
    // then not be locked in its turn.
    /// The flows of handles, and all others that concern whomever those concern.
    LOCK_CONCERNING = concat!(
        "SELECT id FROM flows WHERE handle = ANY($1::bytea[] || ARRAY(SELECT handle FROM flows WHERE identity_id = ANY(",
        concerned!(), "))) ORDER BY handle FOR UPDATE"
    );
    LOCK_OF_IDENTITY = "SELECT id FROM flows WHERE identity_id = $1 ORDER BY handle FOR UPDATE";
    SEIZE_OF_IDENTITY = "SELECT 1 FROM flows WHERE identity_id = $1 FOR UPDATE NOWAIT";
    OF_DEVICE = concat!("SELECT ", columns!(), " FROM flows WHERE device_id = $1 ORDER BY id DESC LIMIT $2");
    INSERT = "INSERT INTO flows (id, handle, project, dialect, purpose, state, identity_id, seed, issued_at, expires_at, \
              channel, address, mailbox, epoch, sends, attempts, max_attempts, sent_at, code_ends_at, code_format, key_id, \
              code_digest, message_id, replaces_id, attributes, memo, device_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
              $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)";
    REPLACE = "UPDATE flows SET id = $1, handle = $2, project = $3, dialect = $4, purpose = $5, state = $6, identity_id = $7, \
               seed = $8, issued_at = $9, expires_at = $10, channel = $11, address = $12, mailbox = $13, epoch = $14, \
               sends = $15, attempts = $16, max_attempts = $17, sent_at = $18, code_ends_at = $19, code_format = $20, \
               key_id = $21, code_digest = $22, message_id = $23, replaces_id = $24, attributes = $25, memo = $26, \
               device_id = $27 WHERE id = $28";
    ANNOTATE = "UPDATE flows SET memo = $2 WHERE id = $1";
    COUNT_MISS = "UPDATE flows SET attempts = $2 WHERE id = $1";
    PASS = "UPDATE flows SET state = 'passed', code_digest = NULL, identity_id = $2 WHERE id = $1";
    // All that concerned the identity were locked before it was. One that somebody else has locked came to concern it since: that is
    // as good as begun afterwards, and waiting for it now would be out of turn.
    DROP_ALL = "DELETE FROM flows WHERE id = ANY(ARRAY(SELECT id FROM flows WHERE identity_id = $1 AND id IS DISTINCT FROM $2 \
                FOR UPDATE SKIP LOCKED))";
    DROP_CHANGES = "DELETE FROM flows WHERE id = ANY(ARRAY(SELECT id FROM flows WHERE identity_id = $1 AND purpose = $2 \
                    AND state <> $3 AND address = $4 AND channel = $5 FOR UPDATE SKIP LOCKED))";
    // Flows grow in the order of their ids, and the oldest end first but for a few: the scan of the first rows finds what there is
    // to remove, without an index that every start would have to write. What somebody else holds is left for the next time.
    SWEEP = "DELETE FROM flows WHERE id IN (SELECT id FROM flows WHERE id = ANY (ARRAY(SELECT id FROM \
             (SELECT id, expires_at FROM flows ORDER BY id LIMIT 4 * $2::bigint) AS oldest WHERE expires_at < $1 LIMIT $2)) \
             FOR UPDATE SKIP LOCKED) RETURNING 1";
}

/// Reads a flow whose columns begin at `first`.
pub(super) fn read(row: &Row, first: usize) -> Result<Flow, StoreError> {
    let cells = Cells::new(row, "flows", first)?;
    let is_asked = cells.get::<Option<i64>>(first + 13, "epoch")?.is_some();
    Ok(Flow {
        id: FlowId::new(cells.id()),
        handle: Handle::from_bytes(cells.bytes(first + 1, "handle")?),
        project: cells.project(first + 2)?,
        dialect: cells.get(first + 3, "dialect")?,
        purpose: cells.word(first + 4, "purpose", Purpose::from_name)?,
        state: cells.word(first + 5, "state", FlowState::from_name)?,
        identity: cells.get::<Option<i64>>(first + 6, "identity_id")?.map(IdentityId::new),
        replaces: cells.get::<Option<i64>>(first + 23, "replaces_id")?.map(AddressId::new),
        attributes: cells.get(first + 24, "attributes")?,
        memo: cells.get(first + 25, "memo")?,
        device: cells.get::<Option<i64>>(first + 26, "device_id")?.map(DeviceId::new),
        seed: cells.bytes(first + 7, "seed")?,
        issued_at: cells.time(first + 8, "issued_at")?,
        expires_at: cells.time(first + 9, "expires_at")?,
        challenge: if is_asked { Some(read_challenge(&cells, first + 10)?) } else { None },
    })
}

fn read_challenge(cells: &Cells<'_>, first: usize) -> Result<Challenge, StoreError> {
    let has_digest = cells.get::<Option<&[u8]>>(first + 11, "code_digest")?.is_some();
    Ok(Challenge {
        address: cells.address(first)?,
        epoch: cells.number(first + 3, "epoch")?,
        sends: cells.number(first + 4, "sends")?,
        attempts: cells.number(first + 5, "attempts")?,
        max_attempts: cells.number(first + 6, "max_attempts")?,
        sent_at: cells.time(first + 7, "sent_at")?,
        expires_at: cells.time(first + 8, "code_ends_at")?,
        format: cells.word(first + 9, "code_format", CodeFormat::from_name)?,
        key: KeyId(cells.number(first + 10, "key_id")?),
        code_digest: if has_digest { Some(Digest::from_bytes(cells.bytes(first + 11, "code_digest")?)) } else { None },
        message: MessageId::new(cells.get(first + 12, "message_id")?),
    })
}

/// Reads flows.
pub(super) fn read_all(rows: &[Row]) -> Result<Vec<Flow>, StoreError> {
    rows.iter().map(|row| read(row, 0)).collect()
}

/// Reads the flow that there may be.
pub(super) fn read_one(rows: &[Row]) -> Result<Option<Flow>, StoreError> {
    rows.first().map(|row| read(row, 0)).transpose()
}

/// The flow of a handle.
pub(super) fn by_handle(link: &Link, handle: &Handle) -> Step {
    ask(link, BY_HANDLE, &[&handle.as_bytes().as_slice()])
}

/// The flow of a handle, locked.
pub(super) fn lock(link: &Link, handle: &Handle) -> Step {
    ask(link, LOCK_BY_HANDLE, &[&handle.as_bytes().as_slice()])
}

/// The flows of handles, locked in the order of these.
pub(super) fn lock_all(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_BY_HANDLES, &[&handles])
}

/// Locks the flows of handles and all others that concern whomever those concern, in the order of their handles.
pub(super) fn lock_concerning(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_CONCERNING, &[&handles])
}

/// Locks the flows that concern an identity, in the order of their handles.
pub(super) fn lock_of_identity(link: &Link, identity: IdentityId) -> Step {
    ask(link, LOCK_OF_IDENTITY, &[&identity.get()])
}

/// Locks the flows that concern an identity, out of turn and so without waiting for any: one that somebody has is an error.
pub(super) fn seize_of_identity(link: &Link, identity: IdentityId) -> Step {
    ask(link, SEIZE_OF_IDENTITY, &[&identity.get()])
}

/// The newest flows that were begun at a device, the newest first.
pub(super) fn of_device(link: &Link, device: DeviceId) -> Step {
    ask(link, OF_DEVICE, &[&device.get(), &i64::from(FLOWS_SHOWN)])
}

/// Puts a flow in the place of the one that was seen under its handle. Where none was, none may have come meanwhile: the index on
/// handles refuses a second one, and the operation looks again.
pub(super) fn put(link: &Link, flow: &Flow, in_place_of: Option<FlowId>) -> Step {
    let challenge = flow.challenge.as_ref();
    let number = |number: u32| i64::from(number);
    let (id, handle) = (flow.id.get(), flow.handle.as_bytes().as_slice());
    let identity = flow.identity.map(IdentityId::get);
    let (issued_at, expires_at) = (flow.issued_at.millis(), flow.expires_at.millis());
    let channel = challenge.map(|challenge| challenge.address.channel().name());
    let address = challenge.map(|challenge| challenge.address.as_str());
    let mailbox = challenge.map(|challenge| challenge.address.mailbox());
    let epoch = challenge.map(|challenge| number(challenge.epoch));
    let sends = challenge.map(|challenge| number(challenge.sends));
    let attempts = challenge.map(|challenge| i64::from(challenge.attempts));
    let max_attempts = challenge.map(|challenge| i64::from(challenge.max_attempts));
    let sent_at = challenge.map(|challenge| challenge.sent_at.millis());
    let code_ends_at = challenge.map(|challenge| challenge.expires_at.millis());
    let format = challenge.map(|challenge| challenge.format.name());
    let key = challenge.map(|challenge| i64::from(challenge.key.0));
    let digest = challenge.and_then(|it| it.code_digest.as_ref().map(|digest| digest.as_bytes().as_slice()));
    let message = challenge.map(|challenge| challenge.message.get());
    let (replaces, device) = (flow.replaces.map(AddressId::get), flow.device.map(DeviceId::get));
    let (project, purpose, state) = (flow.project.as_str(), flow.purpose.name(), flow.state.name());
    let seed = flow.seed.as_slice();
    let place = in_place_of.map(FlowId::get);
    let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 28] = [
        &id,
        &handle,
        &project,
        &flow.dialect,
        &purpose,
        &state,
        &identity,
        &seed,
        &issued_at,
        &expires_at,
        &channel,
        &address,
        &mailbox,
        &epoch,
        &sends,
        &attempts,
        &max_attempts,
        &sent_at,
        &code_ends_at,
        &format,
        &key,
        &digest,
        &message,
        &replaces,
        &flow.attributes,
        &flow.memo,
        &device,
        &place,
    ];
    match columns.split_last() {
        Some((_, columns)) if place.is_none() => ask(link, INSERT, columns),
        Some(_) | None => ask(link, REPLACE, &columns),
    }
}

/// The surface's note of a flow.
pub(super) fn annotate(link: &Link, id: FlowId, memo: &str) -> Step {
    ask(link, ANNOTATE, &[&id.get(), &memo])
}

/// One more wrong guess.
pub(super) fn count_miss(link: &Link, flow: FlowId, attempts: u8) -> Step {
    ask(link, COUNT_MISS, &[&flow.get(), &i64::from(attempts)])
}

/// The flow is over; its digest goes.
pub(super) fn pass(link: &Link, flow: FlowId, identity: Option<IdentityId>) -> Step {
    ask(link, PASS, &[&flow.get(), &identity.map(IdentityId::get)])
}

/// All other flows that concern an identity are gone.
pub(super) fn drop_all(link: &Link, identity: IdentityId, except: Option<FlowId>) -> Step {
    ask(link, DROP_ALL, &[&identity.get(), &except.map(FlowId::get)])
}

/// The pending changes by which an identity would have an address are gone.
pub(super) fn drop_changes(link: &Link, identity: IdentityId, address: &Address) -> Step {
    let (purpose, passed) = (Purpose::ChangeAddress.name(), FlowState::Passed.name());
    ask(link, DROP_CHANGES, &[&identity.get(), &purpose, &passed, &address.as_str(), &address.channel().name()])
}

/// Removes flows that ended before `before`: at most `limit`.
pub(super) fn sweep(link: &Link, before: Timestamp, limit: i64) -> Step {
    ask(link, SWEEP, &[&before.millis(), &limit])
}
