//! Image signatures and attestations, by cosign. Only signed images are deployed.
//!
//! On GitHub the workflow itself signs (keyless signing: its identity is in a short-lived certificate and in a public
//! log). Other forges have no such authority, so a key signs there. A key proves who signed, but not when.

use super::provenance::WORKFLOW;
use super::registry::Registry;
use crate::workflow;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devkit::process::Run;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::process::Command;
use tempfile::NamedTempFile;

/// GitHub's issuer of identities for workflow runs.
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const PUBLIC_KEY: &str = "COSIGN_PUBLIC_KEY";

/// The kinds of attestations.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Who built the image from which commit (<https://slsa.dev/spec/v1.0/provenance>).
    Provenance,
    /// The components of the image (<https://cyclonedx.org/>).
    Sbom,
}

impl Kind {
    /// The name as a value of cosign's `--type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Provenance => "slsaprovenance1",
            Self::Sbom => "cyclonedx",
        }
    }
}

/// The envelope that cosign prints an attestation in (<https://github.com/secure-systems-lab/dsse>).
#[derive(Deserialize)]
struct Envelope {
    /// A [`Statement`] in base64.
    payload: String,
}

/// An attestation (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).
#[derive(Deserialize)]
struct Statement<P> {
    predicate: P,
}

/// The attestations of one kind that a trusted signer made of an image. Those that do not parse are left out.
pub(super) fn attestations<P: DeserializeOwned>(
    registry: &Registry,
    image: &str,
    kind: Kind,
) -> Result<Vec<P>> {
    let mut cosign = trusting(registry, "verify-attestation")?;
    let envelopes = cosign.args(["--type", kind.name(), image]).read()?;
    Ok(envelopes
        .lines()
        .filter_map(|line| predicate(line).ok())
        .collect())
}

fn predicate<P: DeserializeOwned>(envelope: &str) -> Result<P> {
    let envelope: Envelope = serde_json::from_str(envelope)?;
    let payload = STANDARD.decode(envelope.payload)?;
    let statement: Statement<P> = serde_json::from_slice(&payload)?;
    Ok(statement.predicate)
}

/// A cosign command with the trusted signer.
pub(super) fn trusting(registry: &Registry, verb: &str) -> Result<Command> {
    let mut cosign = registry.command("cosign", &[verb]);
    cosign.args(trust_arguments(registry)?);
    Ok(cosign)
}

/// The arguments that make cosign trust either one key, or one workflow on the branch that images are built from.
pub(super) fn trust_arguments(registry: &Registry) -> Result<Vec<String>> {
    if workflow::var(PUBLIC_KEY).is_some() {
        return Ok(vec![
            format!("--key=env://{PUBLIC_KEY}"),
            "--insecure-ignore-tlog=true".to_owned(),
        ]);
    }
    let repository = workflow::require_repository_url()?;
    let reference = registry.signing_reference();
    Ok(vec![
        format!("--certificate-identity={repository}/{WORKFLOW}@{reference}"),
        format!("--certificate-oidc-issuer={ISSUER}"),
    ])
}

/// A temporary file with JSON.
pub(super) fn json_file(content: &impl Serialize) -> Result<NamedTempFile> {
    let file = NamedTempFile::new().context("cannot create a temporary file")?;
    serde_json::to_writer(&file, content).context("cannot write a temporary file")?;
    Ok(file)
}
