//! Trivy's findings: as SARIF for the forge, and as a table of what is severe.

use crate::project::run;
use crate::tools::{self, Step};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use tempfile::NamedTempFile;

/// What it never does: ask for newer versions of itself, or tell anybody that it was used.
const QUIET: [&str; 4] = [
    "--quiet",
    "--skip-version-check",
    "--disable-telemetry",
    // The checks of configurations that it brings, which change only with its version.
    "--skip-check-update",
];

/// Scans with `args`; every finding goes to `sarif`, and the severe ones are printed and an error.
pub(crate) fn scan(root: &Path, step: Step, args: &[&str], sarif: &Path) -> Result<()> {
    let trivy = |args: &[&str]| tools::command(root, step, "trivy", args);
    let report = NamedTempFile::new().context("cannot make a temporary file")?;
    let ignored = "--ignorefile=.trivyignore.yaml";
    let mut scan = trivy(args)?;
    scan.args(QUIET).args([ignored, "--format=json"]);
    run(scan.arg("--output").arg(report.path())).context("trivy cannot scan")?;
    let convert = |args: &[&str]| -> Result<Command> {
        let mut convert = trivy(&["convert", "--quiet", ignored])?;
        convert.args(args);
        Ok(convert)
    };
    let mut to_sarif = convert(&["--format=sarif", "--output"])?;
    run(to_sarif.arg(sarif).arg(report.path()))?;
    let severe = [
        "--format=table",
        "--severity=HIGH,CRITICAL",
        "--exit-code=1",
    ];
    let clean = convert(&severe)?.arg(report.path()).status();
    let clean = clean.context("cannot start trivy")?.success();
    ensure!(clean, "there are findings of high or critical severity");
    Ok(())
}
