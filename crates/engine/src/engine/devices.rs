//! Devices.

use super::{Context, Engine};
use crate::device::{ChangeDevice, Device, DeviceChange, DeviceView};
use crate::error::Result;
use crate::id::DeviceId;

impl Engine {
    /// Names a device that was not there before. No I/O: a row comes to be with its first session.
    pub fn new_device_id(&self, context: &Context<'_>) -> DeviceId {
        DeviceId::new(self.env.ids.next(context.now))
    }

    /// What a device of this surface holds. One at which nothing was done yet holds nothing.
    pub async fn device(&self, context: &Context<'_>, id: DeviceId) -> Result<DeviceView> {
        let (project, dialect) = (&context.project.id, context.dialect);
        let seen = self.store.device(id, context.now).await?;
        Ok(seen.and_then(|view| view.of(project, dialect)).unwrap_or_else(|| DeviceView {
            device: Device::new(id, project, dialect),
            flows: Vec::new(),
            callers: Vec::new(),
        }))
    }

    /// Has another session of a device be the active one, or ends sessions of it; either rotates the device. One operation of the store.
    ///
    /// # Refusals
    /// `SessionEnded`: it is none of the device's live ones, or the device has none.
    pub async fn change_device(&self, context: &Context<'_>, id: DeviceId, change: DeviceChange) -> Result<Device> {
        let project = context.project.id.clone();
        let operation = ChangeDevice { now: context.now, project, dialect: context.dialect, id, change };
        Ok(self.store.change_device(operation).await??)
    }
}
