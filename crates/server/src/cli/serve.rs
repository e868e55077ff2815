//! `countersign serve`.

use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use crate::config::{Config, Environment};
use crate::node::{self, Node};
use crate::telemetry;

/// Run for production, from a configuration file.
///
/// Refuses to start without a master key and a mail relay, with unknown keys in the file, and with a public origin that is
/// not https (loopback excepted). Each key of the file can be given in the environment, as in
/// `COUNTERSIGN__SERVER__LISTEN=0.0.0.0:8080`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file; see countersign.example.toml.
    #[arg(long, default_value = "countersign.toml", value_name = "FILE")]
    config: PathBuf,
}

impl Serve {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), CommandError> {
        let config = Config::read(&self.config, environment)?;
        telemetry::log(config.log);
        let node = Node::bind(config).await?;
        Ok(node.run(node::interrupted()).await?)
    }
}
