//! `countersign dev`: everything on one port of this machine, no file needed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command};
use toml::{Table, Value};

use super::{CommandError, print};
use crate::config::{Config, ConfigError, DevelopmentSettings};
use crate::dialects;
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
    /// Where /livez, /readyz and /metrics are, and what surfaces have for operators; nowhere unless given.
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
    /// The limits of `countersign serve`: messages are counted, nobody signs up, and known and unknown addresses get the same answers.
    #[arg(long)]
    production_policy: bool,
    /// A network whose X-Forwarded-For is believed, as in 127.0.0.1: for a proxy in front, or to try out many clients. May be given several times.
    #[arg(long = "trusted-proxy", value_name = "NETWORK")]
    trusted_proxies: Vec<String>,
    /// What the flags of surfaces say, which are not known here: see [`Dev::with_files`].
    #[arg(skip)]
    files: Vec<NamedFile>,
}

/// A file that a surface is configured with.
#[derive(Debug)]
struct NamedFile {
    surface: &'static str,
    key: &'static str,
    path: String,
}

impl Dev {
    /// The command with a flag for each surface that takes a file.
    pub(crate) fn with_flags(command: Command) -> Command {
        let files = dialects::all().into_iter().filter_map(|dialect| dialect.config_file());
        files.fold(command, |command, file| {
            command.arg(Arg::new(file.flag).long(file.flag).value_name("FILE").help(file.about))
        })
    }

    /// Takes what those flags say.
    pub(crate) fn with_files(self, matches: &ArgMatches) -> Self {
        let given = dialects::all().into_iter().filter_map(|dialect| {
            let file = dialect.config_file()?;
            let path = matches.get_one::<String>(file.flag)?.clone();
            Some(NamedFile { surface: dialect.name(), key: file.key, path })
        });
        Self { files: given.collect(), ..self }
    }

    pub(crate) async fn run(self) -> Result<(), CommandError> {
        let config = Config::development(DevelopmentSettings {
            listen: self.listen,
            admin_listen: self.admin_listen,
            data: self.data,
            database: self.database,
            smtp: self.smtp,
            origin: self.origin,
            production_policy: self.production_policy,
            trusted_proxies: self.trusted_proxies,
            root: self.files.first().map(|file| file.surface.to_owned()),
            dialects: self.files.into_iter().map(NamedFile::section).collect(),
        })
        .map_err(|error: ConfigError| CommandError::Config(error))?;
        telemetry::log(config.log);
        let node = Node::bind(config).await?;
        let stop = node::interrupted();
        print(&node.greeting())?;
        Ok(node.run(stop).await?)
    }
}

impl NamedFile {
    /// The surface and the section that names the file.
    fn section(self) -> (String, Table) {
        (self.surface.to_owned(), Table::from_iter([(self.key.to_owned(), Value::String(self.path))]))
    }
}
