//! `cargo pipeline lint`: the static checks. All of them run, even after a failure.

use super::scope::{NO_CODE, Scope};
use super::{clippy, identity, policy, schemas};
use crate::check::{Check, Outcome, Summary};
use crate::project::{CHART, root, values_files};
use crate::tools::{self, Step};
use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use std::path::Path;
use std::process::Command;

/// Run all static checks.
///
/// All checks run, even after a failure. The table at the end shows skipped checks: a check is skipped only if its program is
/// missing and PIPELINE_OPTIONAL_TOOLS names that program, or if it reads only Rust and `--packages` names none.
#[derive(clap::Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    scope: Scope,
}

/// The checks that read only Rust.
const RUST: [&str; 2] = ["format", "clippy"];

/// Rust, the Dockerfile, scripts, and the policy of this project.
pub(crate) const CODE: [Check; 6] = [
    Check {
        name: "format",
        run: format,
    },
    Check {
        name: "clippy",
        run: warnings,
    },
    Check {
        name: "dockerfile",
        run: dockerfile,
    },
    Check {
        name: "scripts",
        run: scripts,
    },
    Check {
        name: "policy",
        run: policy,
    },
    Check {
        name: "identity",
        run: identity,
    },
];

/// The Helm chart, with each values file.
pub(crate) const CHARTS: [Check; 2] = [
    Check {
        name: "chart",
        run: chart,
    },
    Check {
        name: "schemas",
        run: manifests,
    },
];

/// The workflows.
pub(crate) const WORKFLOWS: [Check; 2] = [
    Check {
        name: "workflows",
        run: workflows,
    },
    Check {
        name: "workflow security",
        run: zizmor,
    },
];

impl Lint {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let mut report = Summary::default();
        for check in CODE.iter().chain(&CHARTS).chain(&WORKFLOWS) {
            match self.scope.has_code() || !RUST.contains(&check.name) {
                true => report.run(check, &root),
                false => report.skip(check.name, NO_CODE),
            }
        }
        report.show()?;
        ensure!(report.failed() == 0, "{} checks failed", report.failed());
        Ok(())
    }
}

fn tool(root: &Path, program: &str, args: &[&str]) -> Result<Command> {
    tools::command(root, Step::Lint, program, args)
}

fn format(root: &Path) -> Result<Outcome> {
    tool(root, "cargo", &["fmt", "--all", "--check"])?.run()?;
    Ok(Outcome::Passed)
}

fn warnings(root: &Path) -> Result<Outcome> {
    let findings = clippy::findings(root, Step::Lint)?;
    for found in &findings {
        eprint!("{}", found.rendered);
    }
    ensure!(findings.is_empty(), "{} warnings", findings.len());
    Ok(Outcome::Passed)
}

fn dockerfile(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = tools::skipped("hadolint") {
        return Ok(skipped);
    }
    tool(root, "hadolint", &["Dockerfile"])?.run()?;
    Ok(Outcome::Passed)
}

/// ShellCheck for the scripts in git and in our own actions. actionlint checks the scripts in workflows.
fn scripts(root: &Path) -> Result<Outcome> {
    let files = policy::scripts(root)?;
    if !files.is_empty() {
        tool(root, "shellcheck", &[])?.args(&files).run()?;
    }
    for (place, script) in policy::action_scripts(root)? {
        tool(root, "shellcheck", &["--shell=bash", "-"])?
            .read_with(script.as_bytes())
            .with_context(|| format!("shellcheck found problems in {place}"))?;
    }
    Ok(Outcome::Passed)
}

fn policy(root: &Path) -> Result<Outcome> {
    none(&policy::violations(root)?, "policy violations")
}

fn identity(root: &Path) -> Result<Outcome> {
    let what = "places that disagree with delivery.toml";
    none(&identity::disagreements(root)?, what)
}

/// Prints the problems; passes if there are none.
fn none(problems: &[String], what: &str) -> Result<Outcome> {
    for problem in problems {
        eprintln!("{problem}");
    }
    ensure!(
        problems.is_empty(),
        "{} {what}, listed above",
        problems.len()
    );
    Ok(Outcome::Passed)
}

fn chart(root: &Path) -> Result<Outcome> {
    let mut failed = Vec::new();
    for values in values_files(root)? {
        let lint = ["lint", "--strict", "--quiet", "--values", &values, CHART];
        if let Err(error) = tool(root, "helm", &lint)?.run() {
            eprintln!("{error:#}");
            failed.push(values.clone());
        }
        println!("{values}");
    }
    ensure!(
        failed.is_empty(),
        "helm found problems with {}",
        failed.join(", ")
    );
    Ok(Outcome::Passed)
}

fn manifests(root: &Path) -> Result<Outcome> {
    schemas::validate(root)?;
    Ok(Outcome::Passed)
}

fn workflows(root: &Path) -> Result<Outcome> {
    tool(root, "actionlint", &["-color"])?.run()?;
    Ok(Outcome::Passed)
}

fn zizmor(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = tools::skipped("zizmor") {
        return Ok(skipped);
    }
    tool(root, "zizmor", &["--offline", "--no-progress", ".github"])?.run()?;
    Ok(Outcome::Passed)
}
