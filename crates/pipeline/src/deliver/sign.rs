//! `cargo pipeline sign` signs a published image and attests its provenance and its SBOM.

use super::cosign::{Kind, json_file};
use super::provenance::Provenance;
use super::registry::Registry;
use super::signer::Signer;
use crate::project::root;
use crate::tools;
use crate::workflow::Event;
use anyhow::{Context, Result, ensure};
use devkit::delivery::Delivery;
use devkit::process::Run;
use devkit::reference::Digest;
use std::path::{Path, PathBuf};

/// Sign a published image, and attest its provenance and its SBOM.
///
/// Signs as the workflow where the forge supports this (the job permission `id-token: write`). Otherwise signs with
/// the key in COSIGN_PRIVATE_KEY and its password in COSIGN_PASSWORD.
#[derive(clap::Args)]
pub(crate) struct Sign {
    /// Digest of the image in the registry
    #[arg(long)]
    digest: Digest,
    /// SBOM to attest too (CycloneDX, JSON)
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

impl Sign {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let event = Event::from_env()?;
        ensure!(
            !event.is_pull_request(),
            "a pull request must not sign images: run this step only on branches"
        );
        let sbom = self.sbom()?;
        let registry = Registry::from_env(&Delivery::load(&root()?)?)?;
        registry.require_credentials()?;
        let signer = Signer::from_env()?;
        let image = registry.image(&self.digest);
        let cosign = |verb: &str| {
            let mut cosign = registry.command("cosign", &[verb, "--yes"]);
            cosign.args(signer.arguments());
            cosign
        };
        let attest = |kind: Kind, predicate: &Path| {
            let mut cosign = cosign("attest");
            cosign
                .args(["--type", kind.name(), "--predicate"])
                .arg(predicate)
                .arg(&image)
                .run()
                .with_context(|| format!("cannot attest the {} of {image}", kind.name()))
        };
        cosign("sign")
            .arg(&image)
            .run()
            .with_context(|| format!("cannot sign {image}"))?;
        let predicate = json_file(&Provenance::of(&event)?)?;
        attest(Kind::Provenance, predicate.path())?;
        if let Some(sbom) = sbom {
            attest(Kind::Sbom, sbom)?;
        }
        println!("signed {image}");
        Ok(())
    }

    /// The SBOM. It may be missing where the scanner that writes it may be missing.
    fn sbom(&self) -> Result<Option<&Path>> {
        let Some(sbom) = &self.sbom else {
            return Ok(None);
        };
        if sbom.is_file() {
            return Ok(Some(sbom));
        }
        ensure!(
            tools::is_optional("trivy"),
            "there is no file {}: run `cargo pipeline scan` first",
            sbom.display()
        );
        println!("no SBOM is attested: trivy is not installed");
        Ok(None)
    }
}
