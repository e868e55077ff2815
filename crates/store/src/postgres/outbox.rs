//! The outbox: loaders and appliers.

use engine::{
    Delivery, Flow, FlowId, MessageId, MessageKind, MessageQuery, MessageState, OutboxDepth, OutboxMessage, StoreError,
    Timestamp, Write,
};

use super::connect::Link;
use super::flow;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

/// The columns of a message, in the order that [`read`] expects, and how many.
macro_rules! columns {
    () => {
        "outbox.id, outbox.project, kind, outbox.state, flow_id, outbox.epoch, outbox.channel, outbox.address, outbox.mailbox, \
         due_at, outbox.attempts, not_after, created_at, last_error, link, replaced_by"
    };
}
const COLUMNS: usize = 16;

statements! {
    // What another courier takes at this moment is his.
    DUE = concat!(
        "SELECT ", columns!(), ", ", flow::columns!(), " FROM outbox LEFT JOIN flows ON flows.id = flow_id \
         WHERE outbox.state = 'owed' AND due_at <= $1 ORDER BY due_at, outbox.id LIMIT $2 FOR UPDATE OF outbox SKIP LOCKED"
    );
    LOCK = concat!("SELECT ", columns!(), " FROM outbox WHERE id = ANY($1) ORDER BY id FOR UPDATE");
    LIST = concat!(
        "SELECT ", columns!(), ", ", flow::columns!(), " FROM outbox LEFT JOIN flows ON flows.id = flow_id \
         WHERE outbox.id > $1 AND kind <> 'decoy' AND ($2::text IS NULL OR (outbox.address = $2 AND outbox.channel = $3)) \
         ORDER BY outbox.id DESC LIMIT $4"
    );
    DEPTH = "SELECT count(*), min(created_at) FROM outbox WHERE state = 'owed'";
    OWE = "INSERT INTO outbox (id, project, kind, state, flow_id, epoch, channel, address, mailbox, due_at, attempts, \
           not_after, created_at, last_error, link, replaced_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    CANCEL = "UPDATE outbox SET state = 'dropped', settled_at = $2 WHERE id = $1 AND state = 'owed'";
    // A courier takes and settles many messages at a time: one statement for all of them.
    DELAY = "UPDATE outbox SET due_at = told.due_at, attempts = told.attempts, last_error = coalesce(told.error, last_error) \
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS told (id, due_at, attempts, error) \
             WHERE outbox.id = told.id";
    SETTLE = "UPDATE outbox SET state = told.state, settled_at = told.at, last_error = coalesce(told.error, last_error) \
              FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS told (id, state, at, error) \
              WHERE outbox.id = told.id";
    SWEEP = "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE id = ANY (ARRAY(SELECT id FROM \
             (SELECT id, settled_at FROM outbox ORDER BY id LIMIT 4 * $2::bigint) AS oldest WHERE settled_at < $1 LIMIT $2)) \
             FOR UPDATE SKIP LOCKED) RETURNING 1";
}

fn read(row: &Row) -> Result<OutboxMessage, StoreError> {
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

/// Reads messages, each with its flow, if that is still there.
pub(super) fn read_with_flows(rows: &[Row]) -> Result<Vec<(OutboxMessage, Option<Flow>)>, StoreError> {
    rows.iter()
        .map(|row| {
            let has_flow = Cells::nameless(row, "flows").get::<Option<i64>>(COLUMNS, "id")?.is_some();
            Ok((read(row)?, if has_flow { Some(flow::read(row, COLUMNS)?) } else { None }))
        })
        .collect()
}

/// Reads the messages of deliveries, in the order of these.
pub(super) fn read_of_deliveries(rows: &[Row], deliveries: &[Delivery]) -> Result<Vec<OutboxMessage>, StoreError> {
    let messages = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let of = |delivery: &Delivery| messages.iter().find(|message| message.id == delivery.id).cloned();
    Ok(deliveries.iter().filter_map(of).collect())
}

/// Reads how much is owed.
pub(super) fn read_depth(rows: &[Row]) -> Result<OutboxDepth, StoreError> {
    let Some(row) = rows.first() else { return Ok(OutboxDepth::default()) };
    let cells = Cells::nameless(row, "outbox");
    Ok(OutboxDepth { owed: cells.get(0, "count")?, oldest: cells.optional_time(1, "created_at")? })
}

/// Messages that are due and that nobody else takes, longest due first, locked.
pub(super) fn due(link: &Link, now: Timestamp, limit: u32) -> Step {
    ask(link, DUE, &[&now.millis(), &i64::from(limit)])
}

/// The messages of deliveries, locked.
pub(super) fn lock(link: &Link, deliveries: &[Delivery]) -> Step {
    let ids: Vec<i64> = deliveries.iter().map(|delivery| delivery.id.get()).collect();
    ask(link, LOCK, &[&ids])
}

/// Messages that were meant to be sent, newest first.
pub(super) fn list(link: &Link, query: &MessageQuery) -> Step {
    let address = query.recipient.as_ref().map(engine::Address::as_str);
    let channel = query.recipient.as_ref().map(|recipient| recipient.channel().name());
    ask(link, LIST, &[&query.after.get(), &address, &channel, &i64::from(query.limit)])
}

/// How much is owed.
pub(super) fn depth(link: &Link) -> Step {
    ask(link, DEPTH, &[])
}

/// A message is owed.
pub(super) fn owe(link: &Link, message: &OutboxMessage) -> Step {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 16] = [
        &message.id.get(),
        &message.project.as_str(),
        &message.kind.name(),
        &message.state.name(),
        &message.flow.get(),
        &i64::from(message.epoch),
        &message.recipient.channel().name(),
        &message.recipient.as_str(),
        &message.recipient.mailbox(),
        &message.due_at.millis(),
        &i64::from(message.attempts),
        &message.not_after.millis(),
        &message.created_at.millis(),
        &message.last_error,
        &message.link,
        &message.replaced_by,
    ];
    ask(link, OWE, &parameters)
}

/// A message need not be sent any more, if it is still owed.
pub(super) fn cancel(link: &Link, id: MessageId, at: Timestamp) -> Step {
    ask(link, CANCEL, &[&id.get(), &at.millis()])
}

/// The messages of `DelayMessage`s stay owed, each not before its time.
pub(super) fn delay(link: &Link, writes: &[Write]) -> Step {
    let (mut ids, mut due, mut tries, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for write in writes {
        let Write::DelayMessage { id, due_at, attempts, error } = write else { continue };
        ids.push(id.get());
        due.push(due_at.millis());
        tries.push(i64::from(*attempts));
        errors.push(error.as_deref());
    }
    ask(link, DELAY, &[&ids, &due, &tries, &errors])
}

/// The messages of `SettleMessage`s are not owed any more.
pub(super) fn settle(link: &Link, writes: &[Write]) -> Step {
    let (mut ids, mut states, mut times, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for write in writes {
        let Write::SettleMessage { id, state, at, error } = write else { continue };
        ids.push(id.get());
        states.push(state.name());
        times.push(at.millis());
        errors.push(error.as_deref());
    }
    ask(link, SETTLE, &[&ids, &states, &times, &errors])
}

/// Removes messages that were settled before `before`: at most `limit`.
pub(super) fn sweep(link: &Link, before: Timestamp, limit: i64) -> Step {
    ask(link, SWEEP, &[&before.millis(), &limit])
}
