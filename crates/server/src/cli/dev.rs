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
/// Send limits are lifted; what may be guessed is not, but `DELETE /dev/budgets?to=ADDRESS` forgives it. Anybody may sign up. Never reachable from another machine.
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
    /// Send mail to this server too: smtp://host:port.
    #[arg(long, value_name = "URL")]
    smtp: Option<String>,
    /// The public origin, where it is not the listener's own: loopback, or under .test, .localhost, .example or .internal.
    #[arg(long, value_name = "URL")]
    origin: Option<String>,
    /// The limits of `countersign serve`: messages are counted, nobody signs up, and known and unknown addresses get the same answers.
    #[arg(long)]
    production_policy: bool,
    /// A network whose X-Forwarded-For is believed, as in 127.0.0.1: for a proxy in front, or to try out many clients. May be given several times.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<String>,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), CommandError> {
        let config = Config::development(DevelopmentSettings {
            listen: self.listen,
            admin_listen: self.admin_listen,
            data: self.data,
            smtp: self.smtp,
            origin: self.origin,
            production_policy: self.production_policy,
            trusted_proxies: self.trusted_proxies,
        })
        .map_err(|error: ConfigError| CommandError::Config(error))?;
        telemetry::log(config.log);
        let node = Node::bind(config).await?;
        let stop = node::interrupted();
        print(&node.greeting())?;
        Ok(node.run(stop).await?)
    }
}
