//! Devices: loaders and appliers.

use engine::{Device, DeviceId, DeviceView, SessionId, StoreError, Timestamp};
use rusqlite::{Connection, params};

use super::row::Cells;
use super::{flow, session};
use crate::error::driver;

/// A device, once it has had a session.
pub(super) fn device(connection: &Connection, id: DeviceId) -> Result<Option<Device>, StoreError> {
    let sql = "SELECT id, project, dialect, generation, rotated_at, active_id, updated_at FROM devices WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![id.get()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    let cells = Cells::new(row, "devices", 0)?;
    Ok(Some(Device {
        id,
        project: cells.project(1)?,
        dialect: cells.get(2, "dialect")?,
        generation: cells.number(3, "generation")?,
        rotated_at: cells.time(4, "rotated_at")?,
        active: cells.get::<Option<i64>>(5, "active_id")?.map(SessionId::new),
        updated_at: cells.time(6, "updated_at")?,
    }))
}

/// What a device holds at `now`; none where nothing was ever begun at it.
pub(super) fn view(connection: &Connection, id: DeviceId, now: Timestamp) -> Result<Option<DeviceView>, StoreError> {
    let flows = flow::of_device(connection, id)?;
    let device = match (device(connection, id)?, flows.first()) {
        (Some(device), _) => device,
        // Before its first session a device is what its flows say.
        (None, Some(flow)) => Device::new(id, &flow.project, &flow.dialect),
        (None, None) => return Ok(None),
    };
    Ok(Some(DeviceView { device, flows, callers: session::of_device(connection, id, now)? }))
}

/// A device's row comes to be, or changes.
pub(super) fn put(connection: &Connection, device: &Device) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO devices (id, project, dialect, generation, rotated_at, active_id, updated_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            device.id.get(),
            device.project.as_str(),
            device.dialect,
            device.generation,
            device.rotated_at.millis(),
            device.active.map(SessionId::get),
            device.updated_at.millis(),
        ])
        .map_err(driver)?;
    Ok(())
}

/// Removes those of `devices` that have no session any more, and gives their number.
pub(super) fn drop_unused(connection: &Connection, devices: &[DeviceId]) -> Result<usize, StoreError> {
    let sql = "DELETE FROM devices WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE device_id = ?1)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut dropped = 0;
    for device in devices {
        dropped += statement.execute(params![device.get()]).map_err(driver)?;
    }
    Ok(dropped)
}
