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
        .map_err(|error| refusal(error.into(), "signature", &image))?;
    let provenances: Vec<Provenance> = attestations(registry, &image, Kind::Provenance)
        .map_err(|error| refusal(error, "provenance", &image))?;
    provenances
        .into_iter()
        .find_map(Provenance::commit)
        .with_context(|| format!("the provenance of {image} names no commit"))
}

/// What cosign says if the registry does not answer, or refuses. It ends with the same code as for a missing signature.
const AWAY: [&str; 8] = [
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection reset",
    "x509:",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "unexpected status code 5",
];

/// An image that must not be used: its signature is missing or not trusted, or cannot be read now.
fn refusal(error: anyhow::Error, what: &str, image: &str) -> anyhow::Error {
    let said = format!("{error:#}");
    match AWAY.iter().any(|reason| said.contains(reason)) {
        true => error.context(format!(
            "cannot read the {what} of {image} from the registry; nothing was changed: run the command again when the registry answers"
        )),
        false => error.context(format!(
            "{image} has no {what} that is trusted here; nothing was changed"
        )),
    }
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
