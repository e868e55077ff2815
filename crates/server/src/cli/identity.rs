//! `countersign identity`: the command line talks to the running server, and opens the database itself only where none runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use engine::{Address, ProjectId};

use super::{CommandError, print};
use crate::config::{Config, DevelopmentSettings, Environment};
use crate::control::{AddressRequest, Order};
use crate::{control, node};

/// Look after identities.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Add an identity that may sign in with an e-mail address.
    Add(Named),
    /// Forgive what was guessed about an e-mail address and sent to it: short codes may be guessed and messages asked for again.
    ///
    /// Nobody needs this to sign in: whoever asks for a code while too much was guessed is sent a long one.
    Unlock(Named),
}

/// An address, and where it belongs.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The address.
    address: String,
    /// The configuration of the server.
    #[arg(long, default_value = "countersign.toml", value_name = "FILE")]
    config: PathBuf,
    /// The data of a `countersign dev` instead.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// The PostgreSQL database of a `countersign dev` instead.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "data"])]
    database: Option<String>,
    /// The project; the first one of the configuration unless given.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
}

impl IdentityCommand {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), CommandError> {
        let (order, named) = match self {
            Self::Add(named) => (Order::AddIdentity, named),
            Self::Unlock(named) => (Order::Unlock, named),
        };
        let config = match (named.data, named.database) {
            (None, None) => Config::read(&named.config, environment)?,
            (data, database) => Config::development(DevelopmentSettings {
                database,
                ..DevelopmentSettings::of(data.unwrap_or_default())
            })?,
        };
        let address =
            Address::email(&named.address).map_err(|_| CommandError::Other("that is no e-mail address".to_owned()))?;
        let project = match named.project {
            None => config.projects.default_project().id.clone(),
            Some(id) => {
                let id = ProjectId::new(&id);
                if config.projects.get(&id).is_none() {
                    return Err(CommandError::Other(format!("there is no project {id} in the configuration")));
                }
                id
            }
        };
        let request = AddressRequest { project: project.as_str().to_owned(), address: address.as_str().to_owned() };
        // PostgreSQL is everybody's: nobody need be asked.
        let answer = match config.database.file() {
            Some(file) => control::ask(file, order, &request).await?,
            None => None,
        };
        let obeyed = match answer {
            Some(answer) => answer,
            None => node::obey(config, order, &request).await?,
        };
        let address = address.as_str();
        Ok(match obeyed.id {
            Some(id) if obeyed.is_new => print(&format!("{address} added: {id}")),
            Some(id) => print(&format!("{address} already there: {id}")),
            None => print(&format!("{address} unlocked")),
        }?)
    }
}
