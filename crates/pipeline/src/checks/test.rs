//! All checks of the project, in the order in which they fail fastest.

use crate::Outcome;
use crate::check::{Check, Ran, Report};
use crate::checks::lint;
use crate::checks::quality;
use crate::checks::security;
use crate::project::{cmd, root, run};
use crate::tools::{self, Step};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use std::path::Path;

/// Run the checks of the whole project, the lab's scenarios included.
///
/// Installs first what the chosen stages need. The last line is `checks: N passed, N failed`.
#[derive(clap::Args)]
pub(crate) struct Test {
    /// Leave a stage out (can be repeated)
    #[arg(long, value_enum, value_name = "STAGE")]
    skip: Vec<Stage>,
    /// Run only this stage (can be repeated)
    #[arg(long, value_enum, value_name = "STAGE", conflicts_with = "skip")]
    only: Vec<Stage>,
    /// Of the integration tests run the service's, on one kind of database [default: all, on both]
    #[arg(long, value_enum)]
    database: Option<Database>,
}

/// What the service can keep its ledger in.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Database {
    /// With those that know no database
    Sqlite,
    /// Only what depends on it
    Postgresql,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Stage {
    /// Format, clippy, Dockerfile, scripts, house rules
    Lint,
    /// Warnings, unused dependencies, duplication, functions, documentation
    Quality,
    /// The Helm chart with each set of values
    Chart,
    /// The workflows
    Workflows,
    /// Dependencies, secrets, configuration
    Security,
    /// Tests inside the crates
    Unit,
    /// Tests of the programs from outside, with real databases and repositories
    Integration,
    /// The flake, evaluated against stand-ins for its inputs
    Nix,
    /// The scenarios on the one-machine system
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
const NIX: [Check; 1] = [Check {
    name: "nix",
    run: nix,
}];
const LAB: [Check; 1] = [Check {
    name: "lab",
    run: lab,
}];

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
            Self::Nix => &NIX,
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
            // The lab brings its own.
            Self::Lab => &[],
        }
    }
}

impl Test {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let stages = self.stages();
        let mut report = Report::default();
        let needs: Vec<Step> = stages
            .iter()
            .flat_map(|stage| stage.needs())
            .copied()
            .collect();
        if let Err(error) = tools::install(&needs) {
            report.fail("tools", error);
        }
        let checks = stages.iter().flat_map(|stage| stage.checks(self.database));
        for check in checks {
            report.run(check, &root);
        }
        let (passed, failed) = (report.passed(), report.failed());
        println!(
            "\n{}\nchecks: {passed} passed, {failed} failed",
            report.table()
        );
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

fn cargo(root: &Path, args: &[&str]) -> Result<Ran> {
    run(cmd("cargo", args).current_dir(root))?;
    Ok(Ran::Done)
}

fn unit(root: &Path) -> Result<Ran> {
    cargo(
        root,
        &["test", "--workspace", "--locked", "--lib", "--bins"],
    )
}

fn integration(root: &Path) -> Result<Ran> {
    cargo(root, &["test", "--workspace", "--locked", "--test", "*"])
}

/// The tests of the service from outside, as cargo names them.
pub(crate) const SERVICE_TESTS: &str = "api";

/// A test that runs on both has the database in its name.
fn on_sqlite(root: &Path) -> Result<Ran> {
    service(root, &["--skip", "Postgres"])
}

fn on_postgresql(root: &Path) -> Result<Ran> {
    service(root, &["Postgres"])
}

fn service(root: &Path, which: &[&str]) -> Result<Ran> {
    // Of all packages, so that dependencies have the features that the other tests build them with.
    let words = ["test", "--workspace", "--locked", "--test", SERVICE_TESTS];
    cargo(root, &[&words[..], &["--"], which].concat())
}

/// They stand apart because only they want Nix: where it isn't, the other tests run all the same.
fn nix(root: &Path) -> Result<Ran> {
    let words = [
        "test",
        "--package",
        "pipeline",
        "--locked",
        "--test",
        "nix",
        "--",
        "--ignored",
    ];
    cargo(root, &words)
}

fn lab(root: &Path) -> Result<Ran> {
    cargo(root, &["lab", "test"])
}
