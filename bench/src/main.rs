//! Load on a running server: complete sign-ins per second, and what they cost.
//!
//! A sign-in is complete when a person's work is: a start, a mail that arrived at an SMTP server (in this process) with the code in
//! it, and a verification with that code, answered with a token. Each client does one after the other over a connection it keeps, so
//! with N clients N sign-ins are under way at any moment (a closed loop). The server is a release binary as `countersign dev` starts
//! it, in a process of its own, with its database on a real disk. The load is made on one thread of the same machine, whose cost is
//! told, too: on two cores it takes a share of what the server could have.

mod client;
mod machine;
mod measured;
mod report;
mod server;
mod sink;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use client::Person;
use measured::{Measured, Meter};
use report::Report;
use server::Server;
use sink::Sink;

/// Runs complete sign-ins against a release binary of countersign and prints what came of it.
#[derive(Debug, Parser)]
#[command(name = "load")]
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
}

/// How long the server is left alone before its idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = Options::parse();
    // One thread: the server shall have the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> io::Result<()> {
    let folder = machine::folder_on_disk(&options.data)?;
    let disk = machine::disk(folder.path())?;
    let sink = Arc::new(Sink::new(options.clients));
    let mail = sink.listen().await?;
    let mut receiving = JoinSet::new();
    receiving.spawn(Arc::clone(&sink).receive(mail.listener));

    let mut server = if options.production {
        Server::serve(&options.binary, folder.path(), mail.port, &options.project).await?
    } else {
        Server::start(&options.binary, folder.path(), mail.port).await?
    };
    // In production an address is sent a code every half a minute, so each is signed in with once.
    let addresses = if options.production { u32::MAX } else { options.addresses };
    sleep(IDLE).await;
    let idle = server.costs()?;

    let meter = Arc::new(Meter::default());
    let mut people = JoinSet::new();
    for number in 0..options.clients {
        let person = Person::new(number, addresses, server.address(), Arc::clone(&sink));
        people.spawn(person.sign_in_again_and_again(Arc::clone(&meter)));
    }
    sleep(Duration::from_secs(options.warm_up)).await;
    let before = Moment::now(&server).await?;
    meter.begin();
    sleep(Duration::from_secs(options.seconds)).await;
    meter.end();
    let after = Moment::now(&server).await?;

    // Sign-ins under way may end, so that stopping the server interrupts none.
    let mut measured = Measured::default();
    while let Some(ended) = people.join_next().await {
        measured.add(ended.map_err(io::Error::other)?);
    }
    let stopped_in = server.stop().await?;
    receiving.shutdown().await;
    let report =
        Report { clients: options.clients, disk, startup: server.startup(), idle, before, after, measured, stopped_in };
    report.print(&mut io::stdout().lock())
}

/// What is read at the beginning and at the end of what is measured.
struct Moment {
    at: Instant,
    server: machine::Costs,
    load: machine::Costs,
    metrics: server::Metrics,
}

impl Moment {
    async fn now(server: &Server) -> io::Result<Self> {
        let metrics = server.metrics().await?;
        Ok(Self { at: Instant::now(), server: server.costs()?, load: machine::costs("self")?, metrics })
    }
}
