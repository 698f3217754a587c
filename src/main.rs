//! The command line of `waybill`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waybill::config::{Config, Strictness};
use waybill::{app, build, healthcheck, logging};

/// A ledger of deployments. It records what runs where, since when and from which commit.
///
/// Set WAYBILL_* environment variables to configure it. `waybill check-config` lists them with their values.
#[derive(Parser)]
#[command(name = "waybill", version = build::VERSION)]
struct Cli {
    /// The chosen command; `serve` by default.
    #[command(subcommand)]
    mode: Option<Mode>,
}

/// The commands.
#[derive(Subcommand)]
enum Mode {
    /// Serve the HTTP API until SIGTERM or SIGINT (default)
    Serve,
    /// Create or update the tables in the database
    Migrate,
    /// Check the configuration and print it
    CheckConfig,
    /// Check whether the running service is ready (exit code 0)
    Healthcheck,
}

fn main() -> ExitCode {
    match run(Cli::parse().mode.unwrap_or(Mode::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("waybill: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command.
fn run(mode: Mode) -> anyhow::Result<()> {
    match mode {
        Mode::Serve => app::serve(start()?),
        Mode::Migrate => app::migrate(&start()?),
        Mode::CheckConfig => {
            print!("{}", Config::from_env(Strictness::RefuseUnknown)?);
            Ok(())
        }
        Mode::Healthcheck => {
            healthcheck::run(Config::from_env(Strictness::WarnOfUnknown)?.http_addr)
        }
    }
}

/// Reads the configuration and starts logging.
fn start() -> anyhow::Result<Config> {
    let config = Config::from_env(Strictness::WarnOfUnknown)?;
    logging::init(&config);
    Ok(config)
}
