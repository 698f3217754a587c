//! `cargo lab`: the delivery loop on one machine. Everything real (Kubernetes, Argo CD, Gitea with
//! Actions and its registry), everything in namespaces of its own, nothing left behind.

mod argocd;
mod ci;
mod cluster;
mod command;
mod database;
mod debian;
mod environment;
mod expect;
mod forge;
mod forward;
mod hops;
mod http;
mod images;
mod layout;
mod machine;
mod namespaces;
mod pki;
mod scenarios;
mod service;
mod ship;
mod traffic;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use devkit::{progress, tools};

use crate::layout::Layout;
use crate::progress::Progress;

/// The delivery loop on one machine: this checkout, from push to serving.
#[derive(Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Options {
    /// The folder that holds everything of this lab [default: ~/.local/state/waybill/lab]
    #[arg(long, env = "WAYBILL_LAB_STATE", value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Bring the lab up and ship this checkout's HEAD to dev
    Up {
        /// Write the hops and their times to this file as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Bring up what is named and ship nothing
        #[arg(long, value_name = "PART", hide = true)]
        only: Option<up::Part>,
    },
    /// End the lab and leave nothing behind but the cache of tools
    Down,
    /// Say what runs where, and how to log in
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the logs of a part, or list the parts
    Logs {
        /// A part, as `cargo lab logs` lists them
        part: Option<String>,
    },
    /// Run a command inside, with KUBECONFIG and PATH set
    Exec {
        /// The command and its arguments
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Run the conformance scenarios, bringing the lab up first
    Test {
        /// Scenarios by name; all where none is named
        scenarios: Vec<String>,
        /// List the scenarios
        #[arg(long)]
        list: bool,
    },
    /// What `up` runs inside
    #[command(hide = true)]
    Inside {
        #[command(subcommand)]
        action: up::Inside,
    },
    /// The way in from the host
    #[command(hide = true)]
    Forward {
        /// The lab's first process
        init: i32,
    },
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode> {
    let progress = Progress::new();
    if let Action::Inside { action } = options.action {
        return up::inside(action, progress);
    }
    let layout = Layout::new(options.state)?;
    match options.action {
        Action::Inside { .. } => {}
        Action::Up { json, only } => up::up(&layout, json.as_deref(), only, progress)?,
        Action::Down => up::down(&layout, progress)?,
        Action::Status { json } => return up::status(&layout, json),
        Action::Logs { part } => logs(&layout, part.as_deref())?,
        Action::Exec { command } => return up::exec(&layout, &command),
        Action::Test { scenarios, list } => {
            return scenarios::run(&layout, &scenarios, list, progress);
        }
        Action::Forward { init } => forward::run(&layout, init)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn logs(layout: &Layout, part: Option<&str>) -> Result<()> {
    let folder = layout.state("log");
    let mut parts: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| {
            format!(
                "there is no lab in {}; run `cargo lab up`",
                layout.state.display()
            )
        })?
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".log")
                .map(str::to_owned)
        })
        .collect();
    parts.sort();
    match part {
        None => parts.iter().for_each(|part| println!("{part}")),
        Some(part) if parts.iter().any(|known| known == part) => {
            let mut file = std::fs::File::open(folder.join(format!("{part}.log")))?;
            std::io::copy(&mut file, &mut std::io::stdout().lock())?;
        }
        Some(part) => bail!("no part is called {part:?}; there are {}", parts.join(", ")),
    }
    Ok(())
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
