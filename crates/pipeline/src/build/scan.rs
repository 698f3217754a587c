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
        let vulnerabilities = match workflow::var(DATABASE).as_deref() {
            None => true,
            Some("none") => false,
            Some(other) => bail!("{DATABASE} is `{other}`; the only allowed value is `none`"),
        };
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

        let mut args = vec!["image", &input, "--image-config-scanners=misconfig,secret"];
        args.extend(match vulnerabilities {
            true => ["--scanners=vuln,secret,misconfig", "--ignore-unfixed"],
            false => ["--scanners=secret,misconfig", "--offline-scan"],
        });
        let sarif = trivy::sarif(&root, "image")?;
        trivy::scan(&root, Step::Scan, &args, &sarif)
            .with_context(|| format!("image {}", image.digest))?;
        match vulnerabilities {
            true => println!("no severe findings in image {}", image.digest),
            false => println!(
                "no severe findings in image {}; vulnerabilities were not searched for, because {DATABASE} is `none`",
                image.digest
            ),
        }
        Ok(())
    }
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
