//! The outbox: loaders and appliers.

use engine::{
    Delivery, Flow, FlowId, MessageId, MessageKind, MessageQuery, MessageState, OutboxDepth, OutboxMessage, StoreError,
    Timestamp,
};
use rusqlite::{Connection, Row, params};

use super::flow;
use super::row::Cells;
use crate::error::driver;

/// The columns of a message, in the order that [`read`] expects, and how many.
macro_rules! columns {
    () => {
        "outbox.id, outbox.project, kind, outbox.state, flow_id, outbox.epoch, outbox.channel, outbox.address, outbox.mailbox, \
         due_at, outbox.attempts, not_after, created_at, last_error, link, replaced_by"
    };
}
const COLUMNS: usize = 16;

fn read(row: &Row<'_>) -> Result<OutboxMessage, StoreError> {
    let cells = Cells::new(row, "outbox", 0)?;
    Ok(OutboxMessage {
        id: MessageId::new(cells.id()),
        project: cells.project(1)?,
        kind: cells.word(2, "kind", MessageKind::from_name)?,
        state: cells.word(3, "state", MessageState::from_name)?,
        flow: FlowId::new(cells.get(4, "flow_id")?),
        epoch: cells.number(5, "epoch")?,
        recipient: cells.address(6)?,
        due_at: cells.time(9, "due_at")?,
        attempts: cells.number(10, "attempts")?,
        not_after: cells.time(11, "not_after")?,
        created_at: cells.time(12, "created_at")?,
        last_error: cells.get(13, "last_error")?,
        link: cells.get(14, "link")?,
        replaced_by: cells.get(15, "replaced_by")?,
    })
}

/// A message and its flow, if that is still there.
fn read_with_flow(row: &Row<'_>) -> Result<(OutboxMessage, Option<Flow>), StoreError> {
    let has_flow = row.get_ref(COLUMNS).map_err(driver)? != rusqlite::types::ValueRef::Null;
    let flow = if has_flow { Some(flow::read(row, COLUMNS)?) } else { None };
    Ok((read(row)?, flow))
}

/// Messages that are due, longest due first.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(OutboxMessage, Option<Flow>)>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", ",
        flow::columns!(),
        " FROM outbox LEFT JOIN flows ON flows.id = flow_id WHERE outbox.state = 'owed' AND due_at <= ?1 ORDER BY due_at, outbox.id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![now.millis(), limit]).map_err(driver)?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        messages.push(read_with_flow(row)?);
    }
    Ok(messages)
}

/// The messages of deliveries.
pub(super) fn of_deliveries(
    connection: &Connection,
    deliveries: &[Delivery],
) -> Result<Vec<OutboxMessage>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM outbox WHERE id = ?1");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut messages = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let mut rows = statement.query(params![delivery.id.get()]).map_err(driver)?;
        if let Some(row) = rows.next().map_err(driver)? {
            messages.push(read(row)?);
        }
    }
    Ok(messages)
}

/// Messages that carried codes, newest first.
pub(super) fn list(
    connection: &Connection,
    query: &MessageQuery,
) -> Result<Vec<(OutboxMessage, Option<Flow>)>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        ", ",
        flow::columns!(),
        " FROM outbox LEFT JOIN flows ON flows.id = flow_id WHERE outbox.id > ?1 AND kind <> 'decoy' \
         AND (?2 IS NULL OR (outbox.address = ?2 AND outbox.channel = ?3)) ORDER BY outbox.id DESC LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let address = query.recipient.as_ref().map(engine::Address::as_str);
    let channel = query.recipient.as_ref().map(|recipient| recipient.channel().name());
    let mut rows = statement.query(params![query.after.get(), address, channel, query.limit]).map_err(driver)?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        messages.push(read_with_flow(row)?);
    }
    Ok(messages)
}

/// How much is owed.
pub(super) fn depth(connection: &Connection) -> Result<OutboxDepth, StoreError> {
    let sql = "SELECT count(*), min(created_at) FROM outbox WHERE state = 'owed'";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .query_row([], |row| {
            let oldest: Option<i64> = row.get(1)?;
            Ok(OutboxDepth { owed: row.get(0)?, oldest: oldest.map(Timestamp::from_millis) })
        })
        .map_err(driver)
}

/// A message is owed.
pub(super) fn owe(connection: &Connection, message: &OutboxMessage) -> Result<(), StoreError> {
    let sql = "INSERT INTO outbox (id, project, kind, state, flow_id, epoch, channel, address, mailbox, due_at, attempts, \
               not_after, created_at, last_error, link, replaced_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            message.id.get(),
            message.project.as_str(),
            message.kind.name(),
            message.state.name(),
            message.flow.get(),
            message.epoch,
            message.recipient.channel().name(),
            message.recipient.as_str(),
            message.recipient.mailbox(),
            message.due_at.millis(),
            message.attempts,
            message.not_after.millis(),
            message.created_at.millis(),
            message.last_error,
            message.link,
            message.replaced_by,
        ])
        .map_err(driver)?;
    Ok(())
}

/// A message need not be sent any more, if it is still owed.
pub(super) fn cancel(connection: &Connection, id: MessageId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET state = 'dropped', settled_at = ?2 WHERE id = ?1 AND state = 'owed'";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// A message stays owed, but not before `due_at`.
pub(super) fn delay(
    connection: &Connection,
    id: MessageId,
    due_at: Timestamp,
    attempts: u32,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET due_at = ?2, attempts = ?3, last_error = coalesce(?4, last_error) WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), due_at.millis(), attempts, error]).map_err(driver)?;
    Ok(())
}

/// A message is not owed any more.
pub(super) fn settle(
    connection: &Connection,
    id: MessageId,
    state: MessageState,
    at: Timestamp,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "UPDATE outbox SET state = ?2, settled_at = ?3, last_error = coalesce(?4, last_error) WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), state.name(), at.millis(), error]).map_err(driver)?;
    Ok(())
}

/// Removes messages that were settled before `before`: at most `limit`.
pub(super) fn sweep(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "DELETE FROM outbox WHERE id IN (SELECT id FROM (SELECT id, settled_at FROM outbox ORDER BY id LIMIT 4 * ?2) \
               WHERE settled_at < ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![before.millis(), limit]).map_err(driver)
}
