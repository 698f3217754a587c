//! `cargo pipeline tools`: installs the programs that the other subcommands call.

use crate::check::Outcome;
use crate::workflow;
use anyhow::{Result, ensure};
use clap::ValueEnum;
use devkit::git::Git;
use devkit::process::{self, find};
use devkit::progress::Progress;
use devkit::{cache, tools};
use std::path::Path;
use std::process::Command;

pub(crate) use devkit::tools::Step;

/// Names the programs that may be missing, separated by spaces. Checks that need one of them are skipped.
const OPTIONAL: &str = "PIPELINE_OPTIONAL_TOOLS";

/// Install the programs that other subcommands call.
///
/// Programs that are on PATH are used as they are. Debian packages need root. Everything else is installed in
/// ~/.cache/delivery, where the other subcommands find it. Programs that PIPELINE_OPTIONAL_TOOLS names are not installed.
#[derive(clap::Args)]
pub(crate) struct Tools {
    /// The subcommands to install programs for [default: lint and test]
    steps: Vec<Step>,
    /// Install the versions that this project pins, even if PATH has these programs
    #[arg(long, conflicts_with = "check")]
    pinned: bool,
    /// Only print what is installed and what is missing
    #[arg(long)]
    check: bool,
}

impl Tools {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let defaults = [Step::Lint, Step::Test];
        let steps = if self.steps.is_empty() {
            &defaults[..]
        } else {
            &self.steps
        };
        if !self.check {
            install_with(steps, self.pinned)?;
        }
        let (mut count, mut missing) = (0, 0);
        for tool in tools::needed(steps) {
            count += 1;
            let name = tool.name;
            if tool.is_on_path() {
                println!("{name:15} installed");
            } else if is_optional(name) {
                println!("{name:15} missing, which {OPTIONAL} allows");
            } else {
                missing += 1;
                println!("{name:15} missing ({})", tool.origin());
            }
        }
        ensure!(
            missing == 0,
            "{missing} of {count} tools are missing: run `cargo pipeline tools`",
        );
        Ok(())
    }
}

/// Beginnings of variables that change what scanners and linters find, or leave out. The project's own files decide that.
const FINDINGS: [&str; 4] = ["HADOLINT_", "SHELLCHECK_OPTS", "TRIVY_", "ZIZMOR_"];

/// Variables of Trivy that say where its data comes from.
const TRIVY_DATA: [&str; 8] = [
    "TRIVY_CACHE_",
    "TRIVY_DB_REPOSITORY",
    "TRIVY_INSECURE",
    "TRIVY_JAVA_DB_REPOSITORY",
    "TRIVY_PASSWORD",
    "TRIVY_SKIP_DB_UPDATE",
    "TRIVY_TIMEOUT",
    "TRIVY_USERNAME",
];

/// A command of a step, in the project's folder. The error for a missing program says how to install it. A person's Git
/// configuration does not change what the program reads from the repository, nor do variables change what it finds.
pub(crate) fn command(root: &Path, step: Step, program: &str, args: &[&str]) -> Result<Command> {
    let name = step.to_possible_value();
    let name = name.as_ref().map_or("", |value| value.get_name());
    ensure!(
        find(program).is_some(),
        "{program} is not on PATH: `cargo pipeline tools {name}` installs it"
    );
    let mut command = process::command(program, args);
    command.current_dir(root);
    Git::new(root).isolate(&mut command);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_one = |of: &[&str]| of.iter().any(|start| text.starts_with(start));
        if is_one(&FINDINGS) && !is_one(&TRIVY_DATA) {
            command.env_remove(&name);
        }
    }
    Ok(command)
}

/// How a check ends whose program is missing and optional.
pub(crate) fn skipped(program: &str) -> Option<Outcome> {
    let skip = find(program).is_none() && is_optional(program);
    skip.then(|| Outcome::Skipped(format!("{program} is not installed")))
}

/// Whether a program may be missing.
pub(crate) fn is_optional(program: &str) -> bool {
    let names = workflow::var(OPTIONAL).unwrap_or_default();
    names.split_whitespace().any(|name| name == program)
}

/// Lets commands find the tools in the cache that are not on PATH.
pub(crate) fn use_installed() {
    // Without a cache, nothing is installed there, and the keys of all tools need not be computed.
    let Some(cache) = cache::root()
        .ok()
        .filter(|cache| cache.join("tools").is_dir())
    else {
        return;
    };
    let folders = tools::cached_folders(&cache).into_iter();
    process::append_path(folders.map(|folder| folder.join("bin")).collect());
}

/// Installs what these steps need, so that every later command finds it.
pub(crate) fn install(steps: &[Step]) -> Result<()> {
    install_with(steps, false)
}

fn install_with(steps: &[Step], pinned: bool) -> Result<()> {
    let mut wanted = tools::needed(steps);
    wanted.retain(|tool| !is_optional(tool.name));
    let install = match pinned {
        true => tools::install_pinned,
        false => tools::install,
    };
    for folder in install(&cache::root()?, &wanted, Progress::new())? {
        workflow::add_path(&folder.display().to_string())?;
    }
    use_installed();
    Ok(())
}
