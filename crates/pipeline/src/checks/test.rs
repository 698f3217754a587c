//! `cargo pipeline test`: all checks of the project, the fastest first.
//!
//! The last stage runs `cargo lab test` as a child process, as a person would. The pipeline depends on the lab nowhere
//! else.

use super::{lint, quality, security};
use crate::check::{Check, Outcome, Summary};
use crate::project::{SERVICE_TESTS, root, with_test_threads};
use crate::tools::{self, Step};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use devkit::git::Git;
use devkit::process::{self, Run, command};
use std::path::Path;
use std::process::{Command, Output};
use std::{slice, thread};

/// Run all checks of the project, including the scenarios of the lab.
///
/// First installs the tools that the chosen stages need. With the stage `lab`, the jobs of the lab's CI run clippy, the
/// tests and the quality checks of the current commit, so they do not run twice; with `--skip lab`, or if files differ from
/// the commit, they run here. The last line of the output is `checks: N passed, N failed`.
#[derive(clap::Args)]
pub(crate) struct Test {
    /// Skip a stage (can be repeated)
    #[arg(long, value_enum, value_name = "STAGE")]
    skip: Vec<Stage>,
    /// Run only this stage (can be repeated)
    #[arg(long, value_enum, value_name = "STAGE", conflicts_with = "skip")]
    only: Vec<Stage>,
    /// Run only the integration tests of the service, on one kind of database [default: all tests, on both]
    #[arg(long, value_enum)]
    database: Option<Database>,
}

/// The databases of the service.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Database {
    /// The tests on SQLite, and those without a database
    Sqlite,
    /// Only the tests on PostgreSQL
    Postgresql,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stage {
    /// Format, clippy, Dockerfile, scripts, the rules of this project
    Lint,
    /// Warnings, unused dependencies, duplication, coverage
    Quality,
    /// The Helm chart with each values file
    Chart,
    /// The files of the GitHub Actions workflows
    Workflows,
    /// Dependencies, secrets, configuration
    Security,
    /// Unit tests
    Unit,
    /// Tests of the programs, with real databases and repositories
    Integration,
    /// The flake, evaluated with fake inputs
    Nix,
    /// The scenarios of the lab, on one machine
    Lab,
}

const UNIT: [Check; 1] = [Check {
    name: "unit",
    run: unit,
}];
const INTEGRATION: [Check; 1] = [Check {
    name: "integration",
    run: integration,
}];
const ON_SQLITE: [Check; 1] = [Check {
    name: "integration (SQLite)",
    run: on_sqlite,
}];
const ON_POSTGRESQL: [Check; 1] = [Check {
    name: "integration (PostgreSQL)",
    run: on_postgresql,
}];
const NIX: Check = Check {
    name: "nix",
    run: nix,
};
const LAB: [Check; 1] = [Check {
    name: "lab",
    run: lab,
}];

/// The checks that CI runs as jobs of their own, because they compile everything.
const IN_LAB: [&str; 4] = ["clippy", "quality", "unit", "integration"];

impl Stage {
    fn checks(self, database: Option<Database>) -> &'static [Check] {
        match self {
            Self::Lint => &lint::CODE,
            Self::Quality => &quality::CHECKS,
            Self::Chart => &lint::CHARTS,
            Self::Workflows => &lint::WORKFLOWS,
            Self::Security => &security::CHECKS,
            Self::Unit => &UNIT,
            Self::Integration => match database {
                None => &INTEGRATION,
                Some(Database::Sqlite) => &ON_SQLITE,
                Some(Database::Postgresql) => &ON_POSTGRESQL,
            },
            Self::Nix => slice::from_ref(&NIX),
            Self::Lab => &LAB,
        }
    }

    fn needs(self) -> &'static [Step] {
        match self {
            Self::Lint | Self::Chart | Self::Workflows => &[Step::Lint],
            Self::Unit | Self::Integration => &[Step::Test],
            Self::Quality => &[Step::Quality],
            Self::Security => &[Step::Security],
            Self::Nix => &[Step::Nix],
            // The lab installs its own tools.
            Self::Lab => &[],
        }
    }
}

impl Test {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let stages = self.stages();
        let mut report = Summary::default();
        let needs: Vec<Step> = stages
            .iter()
            .flat_map(|stage| stage.needs())
            .copied()
            .collect();
        if let Err(error) = tools::install(&needs) {
            report.fail("tools", error);
        }
        let checks = stages.iter().flat_map(|stage| stage.checks(self.database));
        // The lab delivers the commit.
        let is_committed = || {
            Git::new(&root)
                .changes()
                .is_ok_and(|files| files.is_empty())
        };
        let in_lab = self.only.is_empty() && stages.contains(&Stage::Lab) && is_committed();
        thread::scope(|scope| {
            let mut beside = None;
            for check in checks {
                if in_lab && IN_LAB.contains(&check.name) {
                    report.skip(check.name, "the lab's CI runs it on this commit");
                } else if in_lab && check.name == NIX.name {
                    // While the lab starts, the processors are idle at times.
                    beside = Some(scope.spawn(|| nix_beside_lab(&root)));
                } else {
                    report.run(check, &root);
                }
            }
            if let Some(nix) = beside {
                report.run_with(NIX.name, || shown(nix.join()));
            }
        });
        let (passed, failed) = (report.passed(), report.failed());
        report.show()?;
        println!("\nchecks: {passed} passed, {failed} failed");
        ensure!(failed == 0, "not all checks passed");
        Ok(())
    }

    fn stages(&self) -> Vec<Stage> {
        let wanted = |stage: &Stage| match self.only.as_slice() {
            [] => !self.skip.contains(stage),
            only => only.contains(stage),
        };
        Stage::value_variants()
            .iter()
            .copied()
            .filter(wanted)
            .collect()
    }
}

fn cargo(root: &Path, args: &[&str]) -> Result<Outcome> {
    command("cargo", args).current_dir(root).run()?;
    Ok(Outcome::Passed)
}

fn unit(root: &Path) -> Result<Outcome> {
    cargo(
        root,
        &["test", "--workspace", "--locked", "--lib", "--bins"],
    )
}

fn integration(root: &Path) -> Result<Outcome> {
    cargo(root, &["test", "--workspace", "--locked", "--test", "*"])
}

/// A test that runs on both databases has the name of the database in its own name.
fn on_sqlite(root: &Path) -> Result<Outcome> {
    service(root, &["--skip", "Postgres"])
}

fn on_postgresql(root: &Path) -> Result<Outcome> {
    service(root, &["Postgres"])
}

fn service(root: &Path, which: &[&str]) -> Result<Outcome> {
    // With the whole workspace, so that dependencies get the same features as in the other tests and are not rebuilt.
    let words = ["test", "--workspace", "--locked", "--test", SERVICE_TESTS];
    let mut cargo = command("cargo", [&words[..], &["--"], which].concat());
    with_test_threads(cargo.current_dir(root)).run()?;
    Ok(Outcome::Passed)
}

/// The tests that need Nix are ignored by default, so that the other tests run without it.
fn nix_tests(root: &Path) -> Command {
    let words = ["test", "--package", "pipeline", "--locked", "--test", "nix"];
    let mut cargo = command("cargo", words);
    cargo.args(["--", "--ignored"]).current_dir(root);
    cargo
}

fn nix(root: &Path) -> Result<Outcome> {
    nix_tests(root).run()?;
    Ok(Outcome::Passed)
}

/// Compiles the lab before the tests, as only one of them can be compiled at a time, and the lab takes longer.
fn nix_beside_lab(root: &Path) -> Result<Output, process::Error> {
    let words = ["build", "--quiet", "--package", "lab", "--locked"];
    command("cargo", words).current_dir(root).capture()?;
    nix_tests(root).capture()
}

/// Shows what a check printed that ran beside others.
fn shown(ended: thread::Result<Result<Output, process::Error>>) -> Result<Outcome> {
    let Ok(output) = ended else {
        bail!("the check panicked");
    };
    let Output {
        status,
        stdout,
        stderr,
    } = output?;
    eprint!("{}", String::from_utf8_lossy(&stderr));
    print!("{}", String::from_utf8_lossy(&stdout));
    ensure!(status.success(), "it failed ({status})");
    Ok(Outcome::Passed)
}

/// The only place where the pipeline uses the lab. The lab gets this program: to build it again, it would wait for the
/// compilation of the tests that run beside it.
fn lab(root: &Path) -> Result<Outcome> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut cargo = command("cargo", ["lab", "test", "--pipeline"]);
    cargo.arg(program).current_dir(root).run()?;
    Ok(Outcome::Passed)
}
