//! The command line of `waybill`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use waybill::build::{Build, VERSION};
use waybill::config::{Config, Strictness};
use waybill::healthcheck::{self, Target};
use waybill::{app, logging};

/// What `cargo pipeline image` says of the commit.
const BUILD: Build = Build::new(
    option_env!("WAYBILL_COMMIT"),
    option_env!("WAYBILL_BUILT_AT"),
);

/// A ledger of deployments. It records what runs where, since when and from which commit.
///
/// Set WAYBILL_* environment variables to configure it. `waybill check-config` lists them with their values.
#[derive(Parser)]
#[command(name = "waybill", version = VERSION)]
struct Cli {
    /// The chosen command; `serve` by default.
    #[command(subcommand)]
    mode: Option<Mode>,
}

/// The exit code for a command line that is not valid, as clap has it.
const USAGE: u8 = 2;

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
    Healthcheck {
        /// Ask this address instead, such as `http://waybill/ready`. Only the answer 200 is a success
        #[arg(long, value_name = "URL")]
        url: Option<Target>,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let text = error.render();
            match io::stderr().is_terminal() {
                true => logging::print_error(text.ansi()),
                false => logging::print_error(text),
            }
            return ExitCode::from(USAGE);
        }
        // This is the help or the version.
        Err(error) => error.exit(),
    };
    match run(cli.mode.unwrap_or(Mode::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::print_error(format_args!("waybill: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the command.
fn run(mode: Mode) -> anyhow::Result<()> {
    match mode {
        Mode::Serve => {
            let (config, _flush) = start()?;
            app::serve(config, BUILD)
        }
        Mode::Migrate => {
            let (config, _flush) = start()?;
            app::migrate(&config)
        }
        Mode::CheckConfig => print(&Config::from_env(Strictness::RefuseUnknown)?),
        Mode::Healthcheck { url: Some(url) } => {
            healthcheck::run(&url, "a service listens there and that its name resolves")
        }
        Mode::Healthcheck { url: None } => healthcheck::run(
            &Config::from_env(Strictness::WarnOfUnknown)?
                .http_addr
                .into(),
            "the service runs and that WAYBILL_HTTP_ADDR is its address",
        ),
    }
}

/// Reads the configuration and starts logging, until the second value is dropped.
fn start() -> anyhow::Result<(Config, logging::Flush)> {
    let config = Config::from_env(Strictness::WarnOfUnknown)?;
    let flush = logging::init(&config)?;
    Ok((config, flush))
}

/// Prints the configuration. A reader may end early, as `head` does.
fn print(config: &Config) -> anyhow::Result<()> {
    match io::stdout().write_all(config.to_string().as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print the configuration")
        }
        _ => Ok(()),
    }
}
