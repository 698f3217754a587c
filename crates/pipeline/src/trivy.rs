//! Runs Trivy. It writes all findings as SARIF for the forge, and prints the severe ones.

use crate::tools::{self, Step};
use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;

/// No search for newer versions of Trivy or of its built-in checks, and no telemetry.
const QUIET: [&str; 4] = [
    "--quiet",
    "--skip-version-check",
    "--disable-telemetry",
    "--skip-check-update",
];

/// The SARIF file of a scan. The workflow uploads all files in its folder.
pub(crate) fn sarif(root: &Path, scan: &str) -> Result<PathBuf> {
    let folder = root.join("target/security");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder.join(format!("{scan}.sarif")))
}

/// Scans with `args`, and writes all findings to `sarif`.
///
/// # Errors
/// When a finding has high or critical severity.
pub(crate) fn scan(root: &Path, step: Step, args: &[&str], sarif: &Path) -> Result<()> {
    let trivy = |args: &[&str]| tools::command(root, step, "trivy", args);
    let report = NamedTempFile::new().context("cannot create a temporary file")?;
    let ignored = "--ignorefile=.trivyignore.yaml";
    let mut scan = trivy(args)?;
    scan.args(QUIET)
        .args([ignored, "--format=json", "--output"]);
    scan.arg(report.path()).run().context("the scan failed")?;
    let convert = |args: &[&str]| -> Result<Command> {
        let mut convert = trivy(&["convert", "--quiet", ignored])?;
        convert.args(args);
        Ok(convert)
    };
    let mut to_sarif = convert(&["--format=sarif", "--output"])?;
    to_sarif.arg(sarif).arg(report.path()).run()?;
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
