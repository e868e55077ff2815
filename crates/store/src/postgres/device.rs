//! Devices: loaders and appliers.

use engine::{Device, DeviceId, DeviceView, SessionId, StoreError, Timestamp};

use super::connect::Link;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;
use super::{flow, session};

/// The columns of a device, in the order that [`read`] expects.
macro_rules! columns {
    () => {
        "id, project, dialect, generation, rotated_at, active_id, updated_at"
    };
}

statements! {
    DEVICE = concat!("SELECT ", columns!(), " FROM devices WHERE id = $1");
    LOCK = concat!("SELECT ", columns!(), " FROM devices WHERE id = $1 FOR UPDATE");
    LOCK_OF_FLOWS = concat!(
        "SELECT ", columns!(), " FROM devices WHERE id = ANY(ARRAY(SELECT device_id FROM flows WHERE handle = ANY($1))) \
         ORDER BY id FOR UPDATE"
    );
    INSERT = "INSERT INTO devices (id, project, dialect, generation, rotated_at, active_id, updated_at) \
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    UPDATE = "UPDATE devices SET project = $2, dialect = $3, generation = $4, rotated_at = $5, active_id = $6, updated_at = $7 \
              WHERE id = $1";
    // One that was changed a moment ago has a session that this statement may not see yet.
    DROP_UNUSED = "DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE id = ANY($1) AND updated_at < $2 \
                   AND NOT EXISTS (SELECT 1 FROM sessions WHERE device_id = devices.id) FOR UPDATE SKIP LOCKED) RETURNING 1";
}

fn read(row: &Row) -> Result<Device, StoreError> {
    let cells = Cells::new(row, "devices", 0)?;
    Ok(Device {
        id: DeviceId::new(cells.id()),
        project: cells.project(1)?,
        dialect: cells.get(2, "dialect")?,
        generation: cells.number(3, "generation")?,
        rotated_at: cells.time(4, "rotated_at")?,
        active: cells.get::<Option<i64>>(5, "active_id")?.map(SessionId::new),
        updated_at: cells.time(6, "updated_at")?,
    })
}

/// Reads devices.
pub(super) fn read_all(rows: &[Row]) -> Result<Vec<Device>, StoreError> {
    rows.iter().map(read).collect()
}

/// Reads what a device holds; none where nothing was ever begun at it.
pub(super) fn read_view(
    id: DeviceId,
    device: &[Row],
    flows: &[Row],
    callers: &[Row],
) -> Result<Option<DeviceView>, StoreError> {
    let mut flows = flow::read_all(flows)?;
    flows.reverse();
    let device = match (read_all(device)?.pop(), flows.first()) {
        (Some(device), _) => device,
        // Before its first session a device is what its flows say.
        (None, Some(flow)) => Device::new(id, &flow.project, &flow.dialect),
        (None, None) => return Ok(None),
    };
    Ok(Some(DeviceView { device, flows, callers: session::read_callers(callers)? }))
}

/// A device, once it has had a session.
pub(super) fn device(link: &Link, id: DeviceId) -> Step {
    ask(link, DEVICE, &[&id.get()])
}

/// The same, locked.
pub(super) fn lock(link: &Link, id: DeviceId) -> Step {
    ask(link, LOCK, &[&id.get()])
}

/// The devices at which the flows of handles were begun, locked.
pub(super) fn lock_of_flows(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_OF_FLOWS, &[&handles])
}

/// A device's row comes to be, or changes if it was `seen`.
pub(super) fn put(link: &Link, device: &Device, is_seen: IsSeen) -> Step {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] = [
        &device.id.get(),
        &device.project.as_str(),
        &device.dialect,
        &i64::from(device.generation),
        &device.rotated_at.millis(),
        &device.active.map(SessionId::get),
        &device.updated_at.millis(),
    ];
    let sql = match is_seen {
        IsSeen::No => INSERT,
        IsSeen::Yes => UPDATE,
    };
    ask(link, sql, &parameters)
}

/// Whether a row was there when it was looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum IsSeen {
    No,
    Yes,
}

/// Removes those of `devices` that have no session any more and were not changed since `before`.
pub(super) fn drop_unused(link: &Link, devices: &[i64], before: Timestamp) -> Step {
    ask(link, DROP_UNUSED, &[&devices, &before.millis()])
}
