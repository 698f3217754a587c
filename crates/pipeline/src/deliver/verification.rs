//! Who signed an image, and what it was built from. Nothing is deployed before this is verified.

use super::cosign::{Kind, attestations, trusting};
use super::provenance::Provenance;
use super::registry::Registry;
use anyhow::{Context, Result, ensure};
use devkit::git::{Git, short};
use devkit::process::Run;
use devkit::reference::Digest;
use serde_json::Value;

/// Verifies the signature and the provenance of an image. Returns the commit that it was built from.
pub(super) fn verify(registry: &Registry, digest: &Digest) -> Result<String> {
    let image = registry.image(digest);
    trusting(registry, "verify")?
        .arg(&image)
        .read()
        .with_context(|| {
            format!("{image} has no signature that is trusted here; nothing was changed")
        })?;
    let provenances: Vec<Provenance> = attestations(registry, &image, Kind::Provenance)
        .with_context(|| {
            format!("{image} has no provenance that is trusted here; nothing was changed")
        })?;
    provenances
        .into_iter()
        .find_map(Provenance::commit)
        .with_context(|| format!("the provenance of {image} names no commit"))
}

/// Verifies and returns the SBOM that was attested of an image.
pub(super) fn sbom(registry: &Registry, digest: &Digest) -> Result<Vec<u8>> {
    let image = registry.image(digest);
    // The document is passed on whole, so it has no typed model here.
    let sboms: Vec<Value> = attestations(registry, &image, Kind::Sbom)
        .with_context(|| format!("{image} has no SBOM that is trusted here"))?;
    let sbom = sboms.first();
    let sbom =
        sbom.with_context(|| format!("the SBOM of {image} does not have the expected format"))?;
    serde_json::to_vec_pretty(sbom).context("cannot write the SBOM as JSON")
}

/// Fails if an image was built from another commit than expected.
pub(super) fn require_commit(commit: &str, expected: &str) -> Result<()> {
    ensure!(
        commit == expected,
        "the provenance says that the image was built from {commit}, not {expected}; nothing was changed"
    );
    Ok(())
}

/// Fails unless an image was built from a commit that is part of another commit, which people know as `name`.
pub(super) fn require_part_of(git: &Git, built: &str, commit: &str, name: &str) -> Result<()> {
    ensure!(
        git.contains(commit, built)?,
        "the image was built from {}, which is not part of {name}",
        short(built)
    );
    Ok(())
}
