//! What strangers try, and what comes of it: the table of the README, from the real binary.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use testkit::attack::{Entry, Ground, Outcome, STRATEGIES, Strategy, play, surfaces};

/// Plays every strategy of an attacker against `countersign dev`, each on a server of its own, and prints what came of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The binary that is attacked.
    #[arg(long, value_name = "FILE")]
    binary: PathBuf,
    /// Only strategies whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Lift what may be sent, so that what may be guessed must hold by itself.
    #[arg(long)]
    sending_lifted: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ground = if arguments.sending_lifted { Ground::SendingLifted } else { Ground::Production };
    let Ok(binary) = arguments.binary.canonicalize() else {
        eprintln!("countersign-attack: there is no {}", arguments.binary.display());
        return ExitCode::FAILURE;
    };
    println!(
        "| Strategy | Codes tried | Short ones compared | Long ones compared | Guessed | Mails to the owner | Messages in all | Known device | New device |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |");
    let mut is_held = true;
    for (number, strategy) in STRATEGIES.iter().enumerate() {
        if arguments.only.as_ref().is_some_and(|only| !strategy.name.contains(only)) {
            continue;
        }
        let mut surfaces = surfaces();
        let many = surfaces.len();
        surfaces.rotate_left(number % many);
        let outcome = play(&binary.to_string_lossy(), ground, surfaces, strategy).await;
        is_held &= outcome.guessed == 0 && matches!(outcome.known, Entry::In { .. });
        println!("{}", row(strategy, &outcome));
    }
    if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(strategy: &Strategy, outcome: &Outcome) -> String {
    let mut name = strategy.name.to_owned();
    if strategy.victims > 1 {
        name = format!("{name} over {} addresses", strategy.victims);
    }
    for (is_so, what) in [(outcome.is_broken, "breaker open"), (outcome.is_capped, "project's cap reached")] {
        if is_so {
            name = format!("{name}; {what}");
        }
    }
    let Outcome { tried, short, long, guessed, mails, messages, known, new, .. } = outcome;
    let (known, new) = (entry(*known), entry(*new));
    format!("| {name} | {tried} | {short} | {long} | {guessed} | {mails} | {messages} | {known} | {new} |")
}

fn entry(entry: Entry) -> String {
    match entry {
        Entry::In { steps, length } => format!("in, {steps} steps, {length} symbols"),
        Entry::TooSoon(wait) => format!("waits {} min", wait.as_secs().div_ceil(60)),
        Entry::Refused => "refused".to_owned(),
    }
}
