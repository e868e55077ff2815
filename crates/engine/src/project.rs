//! Projects: isolated tenants, declared in the configuration and nowhere else.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::SendLimit;

/// A project's name in the configuration, in every row and on some wires.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProjectId(Arc<str>);

impl ProjectId {
    /// The id `text`.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One tenant.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// What people read in mails and on pages.
    pub name: String,
    /// What the operator decided for it.
    pub policy: Policy,
}

/// What the operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a code lives.
    pub code_life: Duration,
    /// How many wrong guesses end a flow. Never more than five.
    pub max_attempts: u8,
    /// How many messages an address may be sent; `None` lifts the limit, which only development does.
    pub send_limit: Option<SendLimit>,
    /// Whether a surface that can sign people up does, for those nobody knows yet.
    pub sign_up: bool,
    /// Whether answers may tell known addresses from unknown ones where the original of a surface does. Only development.
    pub reveals_accounts: bool,
}

/// Five: more would break the product's promise, whatever a configuration says.
pub const MOST_ATTEMPTS: u8 = 5;

impl Default for Policy {
    /// What `serve` does unless told otherwise.
    fn default() -> Self {
        Self {
            code_life: Duration::from_mins(10),
            max_attempts: MOST_ATTEMPTS,
            send_limit: Some(SendLimit::default()),
            sign_up: false,
            reveals_accounts: false,
        }
    }
}

/// All projects there are. Looking one up takes no lock.
#[derive(Debug, Clone)]
pub struct Projects {
    all: HashMap<ProjectId, Arc<Project>>,
    default: Arc<Project>,
}

impl Projects {
    /// `default`, which surfaces without a notion of projects serve, and `others`.
    pub fn new(default: Project, others: impl IntoIterator<Item = Project>) -> Self {
        let default = Arc::new(default);
        let mut all: HashMap<_, _> =
            others.into_iter().map(|project| (project.id.clone(), Arc::new(project))).collect();
        all.insert(default.id.clone(), Arc::clone(&default));
        Self { all, default }
    }

    /// The project that surfaces serve unless a request names another.
    pub fn default_project(&self) -> &Arc<Project> {
        &self.default
    }

    /// The project `id`.
    pub fn get(&self, id: &ProjectId) -> Option<&Arc<Project>> {
        self.all.get(id)
    }

    /// Every project, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.all.values()
    }
}
