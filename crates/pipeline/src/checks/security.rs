//! `cargo pipeline security`: vulnerable dependencies, secrets in the history, and insecure configuration.

use crate::check::{Check, Outcome, Summary};
use crate::project::{CHART, root, values_files};
use crate::tools::{self, Step};
use crate::trivy;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use devkit::git::Git;
use devkit::process::{Run, command, line};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The variable that names a folder with RustSec's database, for machines without network access.
const ADVISORIES: &str = "ADVISORY_DB";

/// Check dependencies, secrets and configuration.
///
/// All checks run, even after a failure. Writes the findings to target/security too, as SARIF. Advisories come from the network; if ADVISORY_DB names a folder
/// with RustSec's database, they come from there, and the check needs no network.
#[derive(clap::Args)]
pub(crate) struct Security {}

/// The security checks.
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
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let mut report = Summary::default();
        for check in &CHECKS {
            report.run(check, &root);
        }
        report.show()?;
        ensure!(report.failed() == 0, "{} checks failed", report.failed());
        Ok(())
    }
}

fn tool(root: &Path, program: &str, args: &[&str]) -> Result<Command> {
    tools::command(root, Step::Security, program, args)
}

/// Advisories, licences, bans and sources of the crates in Cargo.lock, by the rules in deny.toml.
fn dependencies(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = tools::skipped("cargo-deny") {
        return Ok(skipped);
    }
    let local = workflow::var(ADVISORIES).map(|folder| LocalAdvisories::lay_out(root, &folder));
    let local = local.transpose()?;
    if local.is_some() {
        // cargo-deny reads the crates of all platforms, and downloads nothing when it gets no advisories from the network.
        command("cargo", ["fetch", "--locked", "--quiet"])
            .current_dir(root)
            .run()?;
    }
    let deny = |args: &[&str]| -> Result<Command> {
        let mut deny = tool(root, "cargo-deny", &["--workspace", "--locked"])?;
        if let Some(local) = &local {
            deny.args(["--offline", "--config"]).arg(local.config());
        }
        deny.args(args).args(["check", "--deny=warnings"]);
        Ok(deny)
    };
    let sarif = trivy::sarif(root, "dependencies")?;
    let found = deny(&["--format=sarif"])?.capture()?.stdout;
    fs::write(&sarif, found).with_context(|| format!("cannot write {}", sarif.display()))?;
    deny(&[])?.run().context("cargo-deny found problems")?;
    println!("note: the Go modules in crates/devkit/tools are not checked");
    Ok(Outcome::Passed)
}

/// RustSec's database in the form of a clone that cargo-deny made. cargo-deny reads only its files and the time of the
/// last fetch.
struct LocalAdvisories {
    folder: TempDir,
}

impl LocalAdvisories {
    fn lay_out(root: &Path, database: &str) -> Result<Self> {
        let crates = root.join(database).join("crates");
        ensure!(
            crates.is_dir(),
            "{ADVISORIES} names {database}, which is not RustSec's database: it has no folder `crates`"
        );
        println!("advisories come from {database}, whatever their age");
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let local = Self { folder };
        local
            .fill(root, &crates)
            .context("cannot prepare the advisories for cargo-deny")?;
        Ok(local)
    }

    fn fill(&self, root: &Path, crates: &Path) -> Result<()> {
        // cargo-deny derives this name from the address of the database.
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

/// Passwords, keys and tokens in all commits.
fn secrets(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = tools::skipped("gitleaks") {
        return Ok(skipped);
    }
    if Git::new(root).is_shallow()? {
        bail!(
            "this clone has only the newest commits, but the check needs all: \
             run `git fetch --unshallow`, or set `fetch-depth: 0` in the workflow"
        );
    }
    // gitleaks reads the output of `git log -p` with these options: its own, and no conversion of a file's content.
    let args = [
        "git",
        "--log-opts=--full-history --all --diff-filter=tuxdb --no-color --no-ext-diff --no-textconv",
        "--config=.gitleaks.toml",
        "--redact",
        "--verbose",
        "--no-banner",
        "--no-color",
        "--report-format=sarif",
        "--report-path",
    ];
    let mut gitleaks = tool(root, "gitleaks", &args)?;
    gitleaks
        .arg(trivy::sarif(root, "secrets")?)
        .run()
        .context("gitleaks found problems")?;
    Ok(Outcome::Passed)
}

/// The Dockerfile, and the manifests that the chart renders with each values file.
fn configuration(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = tools::skipped("trivy") {
        return Ok(skipped);
    }
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    fs::copy(root.join("Dockerfile"), folder.path().join("Dockerfile"))
        .context("cannot copy the Dockerfile")?;
    for values in values_files(root)? {
        let args = ["template", "waybill", "--values", &values, CHART];
        let mut helm = tool(root, "helm", &args)?;
        let rendered = helm.capture()?;
        let said = String::from_utf8_lossy(&rendered.stderr);
        ensure!(rendered.status.success(), "`{}`: {said}", line(&helm));
        // Named after the values file, so that a finding shows where to change something.
        let file = folder.path().join(&values);
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(folder.path()))?;
            fs::write(&file, rendered.stdout)
        };
        write().with_context(|| format!("cannot write the manifests for {values}"))?;
        println!("{values}");
    }
    let scanned = folder.path().display().to_string();
    let sarif = trivy::sarif(root, "configuration")?;
    trivy::scan(root, Step::Security, &["config", &scanned], &sarif)?;
    Ok(Outcome::Passed)
}
