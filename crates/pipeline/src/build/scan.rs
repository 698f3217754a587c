//! `cargo pipeline scan` scans the built image and writes its SBOM.

use super::layout::{Description, ImageFolder};
use super::sbom::Sbom;
use crate::check::Outcome;
use crate::project::root;
use crate::tools::{self, Step};
use crate::trivy;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use devkit::process::Run;
use std::path::Path;

/// The variable that switches the vulnerability database off, for machines that cannot download it.
const DATABASE: &str = "SCAN_DATABASE";

/// Scan the built image, and write its software bill of materials (SBOM).
///
/// Fails on findings of high or critical severity. A vulnerability counts only if a fixed version exists. Writes
/// target/security/image.sarif and, next to the image, sbom.cdx.json (CycloneDX). SCAN_DATABASE=none skips the
/// search for vulnerabilities, so that no database is downloaded.
#[derive(clap::Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    folder: ImageFolder,
}

impl Scan {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        // A wrong value is reported before the first scan.
        with_vulnerabilities()?;
        let folder = &self.folder;
        let image = Description::read(folder)?;
        if let Some(Outcome::Skipped(reason)) = tools::skipped("trivy") {
            println!("skipped: {reason}");
            return Ok(());
        }
        let layout = folder.layout();
        let input = format!("--input={}", layout.display());

        let components = write_sbom(&root, &input, &folder.sbom(), &image)?;
        println!("{}: {components} components", folder.sbom().display());

        scan(&root, &layout, "image").with_context(|| format!("image {}", image.digest))
    }
}

/// Whether vulnerabilities are searched for.
fn with_vulnerabilities() -> Result<bool> {
    match workflow::var(DATABASE).as_deref() {
        None => Ok(true),
        Some("none") => Ok(false),
        Some(other) => bail!("{DATABASE} is `{other}`; the only allowed value is `none`"),
    }
}

/// Scans the image in an OCI layout, and writes the findings to `target/security/<name>.sarif`.
///
/// # Errors
/// When a finding has high or critical severity.
pub(crate) fn scan(root: &Path, layout: &Path, name: &str) -> Result<()> {
    let vulnerabilities = with_vulnerabilities()?;
    let input = format!("--input={}", layout.display());
    let mut args = vec!["image", &input, "--image-config-scanners=misconfig,secret"];
    args.extend(match vulnerabilities {
        true => ["--scanners=vuln,secret,misconfig", "--ignore-unfixed"],
        false => ["--scanners=secret,misconfig", "--offline-scan"],
    });
    trivy::scan(root, Step::Scan, &args, &trivy::sarif(root, name)?)?;
    println!("no severe findings");
    if !vulnerabilities {
        println!("vulnerabilities were not searched for, because {DATABASE} is `none`");
    }
    Ok(())
}

/// Writes the SBOM, and returns the number of its components.
fn write_sbom(root: &Path, input: &str, file: &Path, image: &Description) -> Result<usize> {
    let mut trivy = tools::command(root, Step::Scan, "trivy", &["image", input])?;
    trivy.args(["--quiet", "--skip-version-check", "--disable-telemetry"]);
    trivy.args(["--offline-scan", "--format=cyclonedx", "--output"]);
    trivy.arg(file).run()?;
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let sbom = Sbom::reproducible(&text, image).with_context(|| file.display().to_string())?;
    std::fs::write(file, serde_json::to_string_pretty(&sbom)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    let components = sbom.components.len();
    ensure!(
        components > 0,
        "trivy found no components in the image: was the binary built with `cargo auditable`?"
    );
    Ok(components)
}
