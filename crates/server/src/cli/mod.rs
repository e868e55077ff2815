//! The command line: parse, dispatch, one sentence on failure.

mod budget;
mod dev;
mod identity;
mod key;
mod migrate;
mod serve;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{ConfigError, Environment};
use crate::node::NodeError;

/// Signs people in and verifies addresses with one-time codes.
///
/// Somebody claims an address, a code is sent to it, he brings it back: countersigned. `countersign dev` needs no file at all;
/// `countersign serve` is for production.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // What each does is said where it is defined, and clap takes it from there.
    Dev(dev::Dev),
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Budget(budget::Budget),
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
    #[command(subcommand)]
    Key(key::KeyCommand),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The configuration or an argument is wrong.
    Config(ConfigError),
    /// The server did not come up, or fell.
    Node(NodeError),
    /// Anything else, in one sentence.
    Other(String),
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(formatter),
            Self::Node(error) => error.fmt(formatter),
            Self::Other(sentence) => formatter.write_str(sentence),
        }
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<NodeError> for CommandError {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// The command line, with what surfaces add to it.
fn command() -> clap::Command {
    Cli::command().mut_subcommand("dev", dev::Dev::with_flags)
}

/// Runs the command that `arguments` ask for.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let parsed = command().try_get_matches_from(arguments).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok(match (cli.command, matches.subcommand()) {
            (Command::Dev(dev), Some((_, flags))) => Command::Dev(dev.with_files(flags)),
            (command, _) => command,
        })
    });
    let command = match parsed {
        Ok(command) => command,
        Err(error) => {
            let is_mistake = error.use_stderr();
            // Nothing can be said where nothing can be printed.
            let _ = error.print();
            return if is_mistake { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the runtime: {error}")),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Dev(dev) => dev.run().await,
            Command::Serve(serve) => serve.run(environment).await,
            Command::Migrate(migrate) => migrate.run(environment).await,
            Command::Identity(command) => command.run(environment).await,
            Command::Budget(command) => command.run(environment),
            Command::Key(command) => command.run(),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(sentence: &str) -> ExitCode {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "countersign: {sentence}");
    ExitCode::FAILURE
}

/// Prints `text` and a line's end.
fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

#[cfg(test)]
mod tests {
    /// clap checks its own definitions only in debug builds, and only when it parses.
    #[test]
    fn the_command_line_is_well_defined() {
        super::command().debug_assert();
    }
}
