//! Load on a running server: complete sign-ins per second, and what they cost.
//!
//! A sign-in is complete when a person's work is: a start, a mail that arrived at an SMTP server (in this process) with the code in
//! it, and a verification with that code, answered with a token. Each client does one after the other over a connection it keeps, so
//! with N clients N sign-ins are under way at any moment (a closed loop). The server is a release binary as `countersign dev` starts
//! it, in a process of its own, with its database on a real disk: `SQLite`, or a throw-away PostgreSQL, on which there may be several
//! nodes. The load is made on one thread of the same machine, whose cost is told, too: on two cores it takes a share of what the
//! server could have.

mod ceiling;
mod client;
mod compare;
mod machine;
mod measured;
mod postgres;
mod report;
mod run;
mod server;
mod sink;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use postgres::{Counting, Postgres};

/// Runs complete sign-ins against a release binary of countersign and prints what came of it.
#[derive(Debug, Clone, Parser)]
#[command(name = "load")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Options {
    /// The binary to run.
    #[arg(long, default_value = "target/release/countersign", value_name = "FILE")]
    binary: PathBuf,
    /// How many people sign in at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "N")]
    clients: u32,
    /// How long is measured.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECONDS")]
    seconds: u64,
    /// How long is not measured before that.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    warm_up: u64,
    /// How many addresses each client signs in with, in turn. The first time creates an account.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
    addresses: u32,
    /// Run `countersign serve` with the limits of production: nobody signs in twice, and everybody comes from a network of his own.
    #[arg(long)]
    production: bool,
    /// A line of the project's configuration, with `--production`: what it limits by default, nobody here reaches but the project's cap.
    #[arg(long, default_value = "project_messages_per_hour = 1000000", value_name = "LINE")]
    project: String,
    /// A folder on the disk to measure; the database is made in a new folder inside of it, which is removed afterwards.
    #[arg(long, default_value = "target/bench", value_name = "DIR")]
    data: PathBuf,
    /// Run on a PostgreSQL that is started for it, with fsync on, in the folder for temporary files (`TMPDIR`), and is gone afterwards.
    #[arg(long)]
    postgres: bool,
    /// How many nodes there are on that PostgreSQL; clients are spread over them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64), value_name = "N")]
    nodes: u32,
    /// Count each statement that PostgreSQL runs, and print how often it ran and how long. That costs a little.
    #[arg(long)]
    statements: bool,
    /// Run on `SQLite`, on PostgreSQL with one and with two nodes, and have pgbench run the same statements; print one beside the other.
    #[arg(long)]
    compare: bool,
    /// How often all of that is done in turn, with `--compare`; medians are printed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99), value_name = "N")]
    rounds: u32,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread: the server shall have the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(measure(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> io::Result<()> {
    if options.compare {
        return compare::print(options, &mut io::stdout()).await;
    }
    let counting = if options.statements { Counting::Statements } else { Counting::No };
    let database = if options.postgres || options.statements || options.nodes > 1 {
        let postgres = Postgres::start(counting).await?;
        Some(postgres.database(counting).await)
    } else {
        None
    };
    run::run(options, options.nodes, database.as_ref(), counting).await?.print(&mut io::stdout().lock())
}
