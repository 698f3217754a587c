//! The commands of `cargo lab`, one file for each.

mod cache;
mod down;
mod exec;
mod inside;
mod logs;
mod port_forward;
mod status;
mod test;
mod up;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use devkit::progress::Progress;

use self::down::Data;
use crate::sandbox::layout::Layout;

/// Run the whole delivery pipeline on this machine: Kubernetes, Argo CD, and a forge with CI and an image registry
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
pub struct Options {
    /// The folder with all data of this lab [default: ~/.local/state/delivery/lab]
    #[arg(long, env = "LAB_STATE", value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the lab and deliver the current commit to the first environment
    Up {
        /// Write the timeline of the delivery to this file, as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Start only this part, and deliver nothing
        #[arg(long, value_name = "PART", hide = true)]
        only: Option<inside::Part>,
    },
    /// Stop the lab; the next `up` continues with its data
    Down {
        /// Delete the lab's data as well; downloaded and built tools stay cached
        #[arg(long, short)]
        volumes: bool,
    },
    /// Show what the cache holds and how large it is
    Cache {
        /// Remove what this checkout does not use
        #[arg(long)]
        prune: bool,
    },
    /// Show the lab's addresses, users and passwords; exit with 3 if no lab is running
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the log of a part of the lab, or list the parts
    Logs {
        /// A part, as `cargo lab logs` lists it
        part: Option<String>,
    },
    /// Run a command in the lab, with access to its network and its cluster
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Run scenarios, the tests of the whole pipeline; start the lab first if none is running
    Test {
        /// The scenarios to run [default: all]
        scenarios: Vec<String>,
        /// List the scenarios instead of running them
        #[arg(long)]
        list: bool,
        /// How many scenarios may run at the same time, if they do not disturb each other
        #[arg(long, short, value_name = "N", default_value = "3")]
        jobs: NonZero<usize>,
        /// The program of `cargo pipeline`, if it is built already
        #[arg(long, value_name = "FILE", hide = true)]
        pipeline: Option<PathBuf>,
    },
    /// Run the part of a command that belongs inside the lab
    #[command(hide = true)]
    Inside {
        #[command(subcommand)]
        action: inside::Action,
    },
    /// Forward ports of the host's loopback to the lab
    #[command(hide = true)]
    PortForward {
        /// The process id of the lab's first process
        init: i32,
    },
}

/// Runs a command.
///
/// # Errors
/// When the command fails.
pub fn run(options: Options) -> Result<ExitCode> {
    let progress = Progress::new();
    let options = match options {
        // These two need no state folder.
        Options {
            command: Command::Inside { action },
            ..
        } => return inside::run(action, progress),
        Options {
            command:
                Command::Test {
                    scenarios,
                    list: true,
                    ..
                },
            ..
        } => return test::list(&scenarios),
        options => options,
    };
    let layout = Layout::new(options.state)?;
    match options.command {
        Command::Inside { .. } => {}
        Command::Up { json, only } => {
            let options = up::Options {
                json: json.as_deref(),
                only,
                ..up::Options::default()
            };
            up::run(&layout, options, progress)?;
        }
        Command::Down { volumes } => {
            let data = if volumes { Data::Delete } else { Data::Keep };
            down::run(&layout, data, progress)?;
        }
        Command::Cache { prune } => cache::run(&layout, prune)?,
        Command::Status { json } => return status::run(&layout, json),
        Command::Logs { part } => logs::run(&layout, part.as_deref())?,
        Command::Exec { command } => return exec::run(&layout, &command),
        Command::Test {
            scenarios,
            jobs,
            pipeline,
            ..
        } => return test::run(&layout, &scenarios, jobs, pipeline.as_deref(), progress),
        Command::PortForward { init } => port_forward::run(&layout, init)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
