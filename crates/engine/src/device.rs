//! Devices: one browser or app installation that holds several sessions and flows.
//!
//! A device is named by an id that only its owner was told. Its row comes to be with its first session; until then it is what it
//! was when its id was made. Whenever what it may do changes, it is rotated: whoever knew how it was named before is nobody.

use crate::env::Timestamp;
use crate::error::Refusal;
use crate::flow::Flow;
use crate::id::{DeviceId, SessionId};
use crate::project::ProjectId;
use crate::session::Caller;
use crate::store::{Decision, Operation, Write};

/// One browser or app installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// The surface it belongs to. No other knows it.
    pub dialect: String,
    /// How often it was rotated.
    pub generation: u32,
    /// When it last was.
    pub rotated_at: Timestamp,
    /// Which of its sessions is the active one. One that is over is none.
    pub active: Option<SessionId>,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Device {
    /// A device at which nothing was done yet.
    pub fn new(id: DeviceId, project: &ProjectId, dialect: &str) -> Self {
        let made_at = id.made_at();
        Self {
            id,
            project: project.clone(),
            dialect: dialect.to_owned(),
            generation: 0,
            rotated_at: made_at,
            active: None,
            updated_at: made_at,
        }
    }

    /// Whether it belongs to this tenant and this surface.
    pub fn is_of(&self, project: &ProjectId, dialect: &str) -> bool {
        self.project == *project && self.dialect == dialect
    }

    /// The same with `active` as its active session, under a new generation.
    #[must_use]
    pub fn rotated(self, active: Option<SessionId>, now: Timestamp) -> Self {
        Self { generation: self.generation.saturating_add(1), rotated_at: now, active, updated_at: now, ..self }
    }
}

/// So many of the flows of a device are shown: whoever begins more of them than anybody needs makes no answer longer.
pub const FLOWS_SHOWN: u32 = 100;

/// A device and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// The device.
    pub device: Device,
    /// The flows that were begun at it, the oldest first: of more than [`FLOWS_SHOWN`] the newest.
    pub flows: Vec<Flow>,
    /// Its live sessions and whose they are, the oldest first.
    pub callers: Vec<Caller>,
}

impl DeviceView {
    /// What of it belongs to this tenant and this surface; none where the device does not.
    pub(crate) fn of(mut self, project: &ProjectId, dialect: &str) -> Option<Self> {
        self.flows.retain(|flow| flow.project == *project && flow.dialect == dialect);
        self.callers.retain(|Caller { session, .. }| session.project == *project && session.dialect == dialect);
        let is_live = |active: &SessionId| self.callers.iter().any(|caller| caller.session.id == *active);
        self.device.active = self.device.active.filter(is_live);
        self.device.is_of(project, dialect).then_some(self)
    }
}

/// What a device shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChange {
    /// Another of its live sessions is the active one.
    Activate(SessionId),
    /// One of its sessions ends, or all of them do. The newest of those that are left is the active one if the active one ended.
    SignOut(Option<SessionId>),
}

/// Changes what a device shows.
#[derive(Debug)]
pub struct ChangeDevice {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's it must be.
    pub project: ProjectId,
    /// The surface it must belong to.
    pub dialect: &'static str,
    /// Which.
    pub id: DeviceId,
    /// What it shall do.
    pub change: DeviceChange,
}

impl Operation for ChangeDevice {
    /// The device and its live sessions; its flows do not matter.
    type Seen = Option<DeviceView>;
    type Outcome = Result<Device, Refusal>;

    fn decide(&self, seen: Option<DeviceView>) -> Decision<Self::Outcome> {
        let refused = || Decision { outcome: Err(Refusal::SessionEnded), writes: Vec::new() };
        let seen = seen.and_then(|view| view.of(&self.project, self.dialect));
        let Some(DeviceView { device, callers, .. }) = seen else { return refused() };
        let live: Vec<SessionId> = callers.iter().map(|caller| caller.session.id).collect();
        let mut writes = Vec::new();
        let active = match self.change {
            DeviceChange::Activate(session) if live.contains(&session) => Some(session),
            DeviceChange::SignOut(Some(session)) if !live.contains(&session) => return refused(),
            DeviceChange::Activate(_) => return refused(),
            DeviceChange::SignOut(_) if live.is_empty() => return refused(),
            DeviceChange::SignOut(which) => {
                let (ending, left): (Vec<_>, Vec<_>) =
                    live.into_iter().partition(|session| which.is_none_or(|which| which == *session));
                writes.extend(ending.into_iter().map(|id| Write::EndSession { id, at: self.now }));
                device.active.filter(|active| left.contains(active)).or(left.last().copied())
            }
        };
        let device = device.rotated(active, self.now);
        writes.push(Write::PutDevice(device.clone()));
        Decision { outcome: Ok(device), writes }
    }
}
