//! Flows: loaders and appliers.

use engine::{
    Address, AddressId, Challenge, CodeFormat, DeviceId, Digest, FLOWS_SHOWN, Flow, FlowId, FlowState, Handle,
    IdentityId, KeyId, MessageId, Purpose, StoreError, Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::row::Cells;
use crate::error::driver;

/// The columns of a flow, in the order that [`read`] expects.
macro_rules! columns {
    () => {
        "flows.id, handle, flows.project, dialect, purpose, flows.state, identity_id, seed, issued_at, expires_at, \
         flows.channel, flows.address, flows.mailbox, flows.epoch, sends, flows.attempts, max_attempts, sent_at, code_ends_at, \
         code_format, key_id, code_digest, message_id, replaces_id, attributes, flows.memo, flows.device_id"
    };
}
pub(super) use columns;

/// Reads a flow whose columns begin at `first`.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Flow, StoreError> {
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
    let has_digest = cells.get::<Option<Vec<u8>>>(first + 11, "code_digest")?.is_some();
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

/// The flow of a handle.
pub(super) fn by_handle(connection: &Connection, handle: &Handle) -> Result<Option<Flow>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM flows WHERE handle = ?1");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![handle.as_bytes()]).map_err(driver)?;
    rows.next().map_err(driver)?.map(|row| read(row, 0)).transpose()
}

/// Puts a flow in the place of whatever has its handle.
pub(super) fn put(connection: &Connection, flow: &Flow) -> Result<(), StoreError> {
    let challenge = flow.challenge.as_ref();
    let sql = "INSERT OR REPLACE INTO flows (id, handle, project, dialect, purpose, state, identity_id, seed, issued_at, expires_at, \
               channel, address, mailbox, epoch, sends, attempts, max_attempts, sent_at, code_ends_at, code_format, key_id, \
               code_digest, message_id, replaces_id, attributes, memo, device_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
               ?22, ?23, ?24, ?25, ?26, ?27)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            flow.id.get(),
            flow.handle.as_bytes(),
            flow.project.as_str(),
            flow.dialect,
            flow.purpose.name(),
            flow.state.name(),
            flow.identity.map(IdentityId::get),
            flow.seed,
            flow.issued_at.millis(),
            flow.expires_at.millis(),
            challenge.map(|challenge| challenge.address.channel().name()),
            challenge.map(|challenge| challenge.address.as_str()),
            challenge.map(|challenge| challenge.address.mailbox()),
            challenge.map(|challenge| challenge.epoch),
            challenge.map(|challenge| challenge.sends),
            challenge.map(|challenge| challenge.attempts),
            challenge.map(|challenge| challenge.max_attempts),
            challenge.map(|challenge| challenge.sent_at.millis()),
            challenge.map(|challenge| challenge.expires_at.millis()),
            challenge.map(|challenge| challenge.format.name()),
            challenge.map(|challenge| challenge.key.0),
            challenge.and_then(|challenge| challenge.code_digest.as_ref().map(Digest::as_bytes)),
            challenge.map(|challenge| challenge.message.get()),
            flow.replaces.map(AddressId::get),
            flow.attributes,
            flow.memo,
            flow.device.map(DeviceId::get),
        ])
        .map_err(driver)?;
    Ok(())
}

/// The newest flows that were begun at a device, the oldest of them first.
pub(super) fn of_device(connection: &Connection, device: DeviceId) -> Result<Vec<Flow>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM flows WHERE device_id = ?1 ORDER BY id DESC LIMIT ?2");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![device.get(), FLOWS_SHOWN]).map_err(driver)?;
    let mut flows = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        flows.push(read(row, 0)?);
    }
    flows.reverse();
    Ok(flows)
}

/// The surface's note of a flow.
pub(super) fn annotate(connection: &Connection, id: FlowId, memo: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE flows SET memo = ?2 WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get(), memo]).map_err(driver)?;
    Ok(())
}

/// One more wrong guess.
pub(super) fn count_miss(connection: &Connection, flow: FlowId, attempts: u8) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("UPDATE flows SET attempts = ?2 WHERE id = ?1").map_err(driver)?;
    statement.execute(params![flow.get(), attempts]).map_err(driver)?;
    Ok(())
}

/// The flow is over; its digest goes.
pub(super) fn pass(connection: &Connection, flow: FlowId, identity: Option<IdentityId>) -> Result<(), StoreError> {
    let sql = "UPDATE flows SET state = 'passed', code_digest = NULL, identity_id = ?2 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![flow.get(), identity.map(IdentityId::get)]).map_err(driver)?;
    Ok(())
}

/// All other flows that concern an identity are gone.
pub(super) fn drop_all(
    connection: &Connection,
    identity: IdentityId,
    except: Option<FlowId>,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM flows WHERE identity_id = ?1 AND id IS NOT ?2";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![identity.get(), except.map(FlowId::get)]).map_err(driver)?;
    Ok(())
}

/// The pending changes by which an identity would have an address are gone.
pub(super) fn drop_changes(connection: &Connection, identity: IdentityId, address: &Address) -> Result<(), StoreError> {
    let sql =
        "DELETE FROM flows WHERE identity_id = ?1 AND purpose = ?2 AND state <> ?3 AND address = ?4 AND channel = ?5";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let (purpose, passed) = (Purpose::ChangeAddress.name(), FlowState::Passed.name());
    statement
        .execute(params![identity.get(), purpose, passed, address.as_str(), address.channel().name()])
        .map_err(driver)?;
    Ok(())
}

/// Removes flows that ended before `before`: at most `limit`.
pub(super) fn sweep(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // Flows grow in the order of their ids, and the oldest end first but for a few: the scan of the first rows finds what there
    // is to remove, without an index that every start would have to write.
    let sql = "DELETE FROM flows WHERE id IN (SELECT id FROM (SELECT id, expires_at FROM flows ORDER BY id LIMIT 4 * ?2) \
               WHERE expires_at < ?1 LIMIT ?2)";
    connection.prepare_cached(sql).map_err(driver)?.execute(params![before.millis(), limit]).map_err(driver)
}
