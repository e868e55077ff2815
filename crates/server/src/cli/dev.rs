//! `countersign dev`: everything on one port of this machine, no file needed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, print};
use crate::config::{Config, ConfigError, DevelopmentSettings};
use crate::node::{self, Node};
use crate::telemetry;

/// Run everything on this machine for development: no file needed, mail shown in an inbox.
///
/// Send limits are lifted, the five guesses per flow are not. Anybody may sign up. Never reachable from another machine.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Where to listen; only on loopback.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are; nowhere unless given.
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Where the database is kept.
    #[arg(long, default_value = "./countersign-data", value_name = "DIR")]
    data: PathBuf,
    /// Keep everything in this PostgreSQL database instead, which other nodes may share: `postgres://user@host/name`.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Send mail to this server too: smtp://host:port.
    #[arg(long, value_name = "URL")]
    smtp: Option<String>,
    /// The public origin, where it is not the listener's own: loopback, or under .test, .localhost, .example or .internal.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        let config = Config::development(DevelopmentSettings {
            listen: self.listen,
            admin_listen: self.admin_listen,
            data: self.data,
            database: self.database,
            smtp: self.smtp,
            origin: self.origin,
        })
        .map_err(|error: ConfigError| CommandError::Config(error))?;
        telemetry::log(config.log);
        let node = Node::bind(config).await?;
        let stop = node::interrupted();
        print(&node.greeting())?;
        Ok(node.run(stop).await?)
    }
}
