//! The project's own security: what it depends on, what its history gives away, and how it is set up to run.

use crate::Outcome;
use crate::check::{Check, Ran, Report};
use crate::checks::lint::{CHART, variants};
use crate::git::Git;
use crate::project::{capture, line, root, run};
use crate::tools::{self, Step};
use crate::trivy;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder with the files of RustSec's database, instead of the network.
const ADVISORIES: &str = "ADVISORY_DB";

/// Run every security check and report all failures.
///
/// Findings also go to target/security as SARIF. Advisories come from the network, or from the folder with
/// RustSec's database that ADVISORY_DB names; then nothing else is asked of the network either.
#[derive(clap::Args)]
pub(crate) struct Security {}

pub(crate) const CHECKS: [Check; 3] = [
    Check {
        name: "dependencies",
        run: dependencies,
    },
    Check {
        name: "secrets",
        run: secrets,
    },
    Check {
        name: "configuration",
        run: configuration,
    },
];

impl Security {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let mut report = Report::default();
        for check in &CHECKS {
            report.run(check, &root);
        }
        print!("\n{}", report.table());
        ensure!(report.failed() == 0, "{} checks failed", report.failed());
        Ok(())
    }
}

/// Where a scan puts its SARIF file. The forge takes all that are in the folder.
pub(crate) fn sarif(root: &Path, scan: &str) -> Result<PathBuf> {
    let folder = root.join("target/security");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(format!("{scan}.sarif")))
}

fn tool(root: &Path, program: &str, args: &[&str]) -> Result<Command> {
    tools::command(root, Step::Security, program, args)
}

/// Advisories, licences, bans and sources of the crates in Cargo.lock, as deny.toml has them.
fn dependencies(root: &Path) -> Result<Ran> {
    if let Some(skipped) = tools::skipped("cargo-deny") {
        return Ok(skipped);
    }
    let local = workflow::var(ADVISORIES).map(|folder| LocalAdvisories::lay_out(root, &folder));
    let local = local.transpose()?;
    let deny = |args: &[&str]| -> Result<Command> {
        let mut deny = tool(root, "cargo-deny", &["--workspace", "--locked"])?;
        if let Some(local) = &local {
            deny.args(["--offline", "--config"]).arg(local.config());
        }
        deny.args(args).args(["check", "--deny=warnings"]);
        Ok(deny)
    };
    let sarif = sarif(root, "dependencies")?;
    let found = capture(&mut deny(&["--format=sarif"])?)?.stdout;
    fs::write(&sarif, found).with_context(|| format!("cannot write {}", sarif.display()))?;
    run(&mut deny(&[])?).context("cargo-deny objects")?;
    println!("the Go modules that crates/devkit/tools pins are not covered");
    Ok(Ran::Done)
}

/// cargo-deny wants a clone that it made itself, and only looks at when it was fetched and at the files in it.
struct LocalAdvisories {
    folder: TempDir,
}

impl LocalAdvisories {
    fn lay_out(root: &Path, database: &str) -> Result<Self> {
        let crates = root.join(database).join("crates");
        ensure!(
            crates.is_dir(),
            "{ADVISORIES} names {database}, which has no folder `crates` and so is not RustSec's database"
        );
        println!("advisories are those in {database}, however old they are");
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let local = Self { folder };
        local
            .fill(root, &crates)
            .context("cannot lay out the advisories for cargo-deny")?;
        Ok(local)
    }

    fn fill(&self, root: &Path, crates: &Path) -> Result<()> {
        // The name follows from the address of the database.
        let clone = self.folder.path().join("advisory-db-3157b0e258782691");
        fs::create_dir_all(clone.join(".git"))?;
        fs::write(clone.join(".git/FETCH_HEAD"), "")?;
        std::os::unix::fs::symlink(crates, clone.join("crates"))?;
        let rules = fs::read_to_string(root.join("deny.toml")).context("cannot read deny.toml")?;
        let table = "[advisories]\n";
        ensure!(rules.contains(table), "deny.toml has no [advisories]");
        let place = format!("{table}db-path = {:?}\n", self.folder.path());
        fs::write(self.config(), rules.replacen(table, &place, 1))?;
        Ok(())
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("deny.toml")
    }
}

/// Passwords, keys and tokens in every commit.
fn secrets(root: &Path) -> Result<Ran> {
    if let Some(skipped) = tools::skipped("gitleaks") {
        return Ok(skipped);
    }
    if Git::new(root).is_shallow()? {
        bail!(
            "this clone has only the newest commits, but secrets are looked for in all: \
             `git fetch --unshallow`, or in a workflow `fetch-depth: 0`"
        );
    }
    let args = [
        "git",
        "--config=.gitleaks.toml",
        "--redact",
        "--verbose",
        "--no-banner",
        "--no-color",
        "--report-format=sarif",
        "--report-path",
    ];
    let mut gitleaks = tool(root, "gitleaks", &args)?;
    run(gitleaks.arg(sarif(root, "secrets")?)).context("gitleaks objects")?;
    Ok(Ran::Done)
}

/// The Dockerfile, and what the chart makes of each set of values.
fn configuration(root: &Path) -> Result<Ran> {
    if let Some(skipped) = tools::skipped("trivy") {
        return Ok(skipped);
    }
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    fs::copy(root.join("Dockerfile"), folder.path().join("Dockerfile"))
        .context("cannot copy the Dockerfile")?;
    for values in variants(root)? {
        let args = ["template", "waybill", "--values", &values, CHART];
        let mut helm = tool(root, "helm", &args)?;
        let rendered = capture(&mut helm)?;
        let said = String::from_utf8_lossy(&rendered.stderr);
        ensure!(rendered.status.success(), "`{}`: {said}", line(&helm));
        // Under the name of the values, which is where a finding can be mended.
        let file = folder.path().join(&values);
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(folder.path()))?;
            fs::write(&file, rendered.stdout)
        };
        write().with_context(|| format!("cannot write what {values} gives"))?;
        println!("{values}");
    }
    let scanned = folder.path().display().to_string();
    let sarif = sarif(root, "configuration")?;
    trivy::scan(root, Step::Security, &["config", &scanned], &sarif)?;
    Ok(Ran::Done)
}
