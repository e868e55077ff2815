//! `countersign identity`: the command line talks to the running server, and opens the database itself only where none runs.

use std::path::PathBuf;

use clap::Subcommand;
use engine::{Address, ProjectId};

use super::{CommandError, print};
use crate::config::{Config, Environment};
use crate::{control, node};

/// Look after identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Add an identity that may sign in with an e-mail address.
    Add {
        /// The address.
        address: String,
        /// The configuration of the server.
        #[arg(long, default_value = "countersign.toml", value_name = "FILE")]
        config: PathBuf,
        /// The project; the first one of the configuration unless given.
        #[arg(long, value_name = "ID")]
        project: Option<String>,
    },
}

impl IdentityCommand {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), CommandError> {
        match self {
            Self::Add { address, config, project } => {
                let config = Config::read(&config, environment)?;
                let address = Address::email(&address)
                    .map_err(|_| CommandError::Other("that is no e-mail address".to_owned()))?;
                let project = match project {
                    None => config.projects.default_project().id.clone(),
                    Some(id) => {
                        let id = ProjectId::new(&id);
                        if config.projects.get(&id).is_none() {
                            return Err(CommandError::Other(format!("there is no project {id} in the configuration")));
                        }
                        id
                    }
                };
                let request =
                    control::AddIdentity { project: project.as_str().to_owned(), address: address.as_str().to_owned() };
                // PostgreSQL is everybody's: nobody need be asked.
                let answer = match config.database.file() {
                    Some(file) => control::ask(file, &request).await?,
                    None => None,
                };
                let added = match answer {
                    Some(answer) => answer,
                    None => node::add_identity(config, &request).await?,
                };
                let what = if added.is_new { "added" } else { "already there" };
                Ok(print(&format!("{} {what}: {}", address.as_str(), added.id))?)
            }
        }
    }
}
