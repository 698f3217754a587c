//! The `waybill` command: picks the mode, loads the configuration, and hands over to the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waybill::config::{Config, Strictness};
use waybill::{app, build, healthcheck, logging};

/// A ledger of deployments: what runs where, since when, from which commit.
///
/// Configured by WAYBILL_* environment variables; `waybill check-config` lists them with their values.
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
    /// Answer requests until SIGTERM or SIGINT (the default)
    Serve,
    /// Bring the database's schema up to date, and end
    Migrate,
    /// Check the configuration, print it, and end
    CheckConfig,
    /// Ask the running service whether it is ready: 0 is yes
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

/// What every mode that works on the database begins with.
fn start() -> anyhow::Result<Config> {
    let config = Config::from_env(Strictness::WarnOfUnknown)?;
    logging::init(&config);
    Ok(config)
}
