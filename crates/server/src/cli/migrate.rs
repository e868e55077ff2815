//! `countersign migrate`: bring the database's schema up to date before a new version is started.

use std::path::PathBuf;

use clap::Args;

use super::{CommandError, print};
use crate::config::{Config, Environment};

/// Bring the schema of the database up to date, and end.
///
/// A server does that too when it starts. Where its user may not change the schema, another one does it with this.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The configuration of the server.
    #[arg(long, default_value = "countersign.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Migrate {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), CommandError> {
        let config = Config::read(&self.config, environment)?;
        let applied = store::migrate(&config.database).await;
        let applied = applied.map_err(|error| CommandError::Other(format!("cannot migrate: {error}")))?;
        Ok(print(&match applied {
            0 => "the schema is up to date".to_owned(),
            1 => "1 migration was applied".to_owned(),
            count => format!("{count} migrations were applied"),
        })?)
    }
}
