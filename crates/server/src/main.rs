//! `countersign`: signs people in and verifies addresses with one-time codes.

mod app;
mod cli;
mod config;
mod control;
mod dialects;
mod inbox;
mod janitor;
mod node;
mod operator;
mod serve;
mod telemetry;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A later dependency that brings a second provider would otherwise make every TLS connection fail at run time.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("countersign: the TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    cli::run(std::env::args_os(), &environment())
}

/// The environment, read once and handed on: what is not UTF-8 is not ours.
fn environment() -> config::Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
