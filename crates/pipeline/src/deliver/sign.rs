//! Signatures of images, by cosign: who built a digest, and from what. What isn't signed is not deployed.
//!
//! On GitHub the signer is the workflow itself (keyless: its identity is in a short-lived certificate and in a public
//! log). Where there is no such authority, a key stands in: it proves that its holder signed, and nothing about when or how.

use crate::Outcome;
use crate::deliver::registry::Registry;
use crate::project::{read, run};
use crate::tools;
use crate::workflow::{self, Event};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::NamedTempFile;

/// The workflow whose runs may sign, on the branch that images are built from.
const WORKFLOW: &str = ".github/workflows/ci.yaml";
const BRANCH: &str = "refs/heads/develop";
/// GitHub's own issuer of identities for workflow runs.
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const PRIVATE_KEY: &str = "COSIGN_PRIVATE_KEY";
const PUBLIC_KEY: &str = "COSIGN_PUBLIC_KEY";
/// SLSA's provenance, in its first version (<https://slsa.dev/spec/v1.0/provenance>).
const PROVENANCE: &str = "slsaprovenance1";
/// A bill of materials (<https://cyclonedx.org/>).
const BILL: &str = "cyclonedx";

/// Sign a published image, and attest where it comes from and what is in it.
///
/// As the workflow itself where the forge vouches for it, else with COSIGN_PRIVATE_KEY and COSIGN_PASSWORD.
#[derive(clap::Args)]
pub(crate) struct Sign {
    /// The digest of the image in the registry
    #[arg(long, value_parser = crate::deliver::reference::parse_digest)]
    digest: String,
    /// A bill of materials (CycloneDX, JSON) to attest too
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

/// Verify an image's signature and provenance.
///
/// Signed by ci.yaml on `develop` of GITHUB_REPOSITORY, or with the key of COSIGN_PUBLIC_KEY where that is set.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The digest of the image in the registry
    #[arg(long, value_parser = crate::deliver::reference::parse_digest)]
    digest: String,
    /// The commit that it must have been built from
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
}

impl Sign {
    pub(crate) fn run(&self) -> Outcome {
        let event = Event::from_env()?;
        ensure!(!event.is_pull_request(), "a pull request signs nothing");
        let sbom = self.sbom()?;
        let registry = Registry::from_env()?;
        registry.must_log_in()?;
        let signer = Signer::from_env()?;
        let image = format!("{}@{}", registry.image(), self.digest);
        let cosign = |verb: &str| {
            let mut cosign = registry.command("cosign", &[verb, "--yes"]);
            cosign.args(signer.arguments());
            cosign
        };
        let attest = |kind: &str, predicate: &Path| {
            let mut cosign = cosign("attest");
            cosign.args(["--type", kind, "--predicate"]).arg(predicate);
            run(cosign.arg(&image)).with_context(|| format!("cannot attest {kind} of {image}"))
        };
        run(cosign("sign").arg(&image)).with_context(|| format!("cannot sign {image}"))?;
        let predicate = file(&provenance(&event)?)?;
        attest(PROVENANCE, predicate.path())?;
        if let Some(sbom) = sbom {
            attest(BILL, sbom)?;
        }
        println!("signed {image}");
        Ok(())
    }

    /// The bill of materials. There is none where the scanner that writes it may be missing, and is.
    fn sbom(&self) -> Result<Option<&Path>> {
        let Some(sbom) = &self.sbom else {
            return Ok(None);
        };
        if sbom.is_file() {
            return Ok(Some(sbom));
        }
        ensure!(
            tools::is_optional("trivy"),
            "there is no file {}",
            sbom.display()
        );
        println!("no bill of materials is attested: trivy is not installed");
        Ok(None)
    }
}

impl Verify {
    pub(crate) fn run(&self) -> Outcome {
        let registry = Registry::from_env()?;
        let commit = verify(&registry, &self.digest)?;
        if let Some(expected) = &self.commit {
            built_from(&commit, expected)?;
        }
        println!(
            "{}@{} is signed, and was built from {commit}",
            registry.image(),
            self.digest
        );
        Ok(())
    }
}

/// Verifies signature and provenance of a digest, and returns the commit that the provenance names.
pub(crate) fn verify(registry: &Registry, digest: &str) -> Result<String> {
    let image = format!("{}@{digest}", registry.image());
    let mut cosign = trusting(registry, "verify")?;
    read(cosign.arg(&image)).with_context(|| {
        format!("{image} has no signature that is trusted here; nothing was changed")
    })?;
    let statements = attested(registry, &image, PROVENANCE).with_context(|| {
        format!("{image} has no provenance that is trusted here; nothing was changed")
    })?;
    statements
        .iter()
        .find_map(|statement| commit(statement).ok())
        .with_context(|| format!("the provenance of {image} names no commit"))
}

/// The bill of materials that was attested of a digest, verified.
pub(crate) fn sbom(registry: &Registry, digest: &str) -> Result<Vec<u8>> {
    let image = format!("{}@{digest}", registry.image());
    let statements = attested(registry, &image, BILL)
        .with_context(|| format!("{image} has no bill of materials that is trusted here"))?;
    let statement = statements.first();
    let statement = statement.with_context(|| format!("the bill of {image} can't be read"))?;
    serde_json::to_vec_pretty(&statement["predicate"]).context("cannot write JSON")
}

/// Everything of one kind that was attested of an image by whom we trust, as far as it can be read.
fn attested(registry: &Registry, image: &str, kind: &str) -> Result<Vec<Value>> {
    let mut cosign = trusting(registry, "verify-attestation")?;
    let envelopes = read(cosign.args(["--type", kind, image]))?;
    Ok(envelopes
        .lines()
        .filter_map(|line| statement(line).ok())
        .collect())
}

/// cosign with what it is to trust.
fn trusting(registry: &Registry, verb: &str) -> Result<Command> {
    let mut cosign = registry.command("cosign", &[verb]);
    cosign.args(trust_arguments()?);
    Ok(cosign)
}

/// Refuses an image of another commit.
pub(crate) fn built_from(commit: &str, expected: &str) -> Outcome {
    ensure!(
        commit == expected,
        "the image's provenance says that it was built from {commit}, not {expected}; nothing was changed"
    );
    Ok(())
}

/// Who signs.
enum Signer {
    Workflow,
    /// Without certificates or a log: the files say that there is no service to ask and no authority to trust.
    Key {
        services: NamedTempFile,
        authorities: NamedTempFile,
    },
}

impl Signer {
    fn from_env() -> Result<Self> {
        if workflow::var(PRIVATE_KEY).is_some() {
            let none = |kind: &str| {
                file(&json!({"mediaType": format!("application/vnd.dev.sigstore.{kind}")}))
            };
            return Ok(Self::Key {
                services: none("signingconfig.v0.2+json")?,
                authorities: none("trustedroot+json;version=0.1")?,
            });
        }
        if workflow::var("ACTIONS_ID_TOKEN_REQUEST_URL").is_none() {
            bail!(
                "nothing to sign with: the job has neither the permission `id-token: write` nor the secret {PRIVATE_KEY}"
            );
        }
        Ok(Self::Workflow)
    }

    fn arguments(&self) -> Vec<String> {
        match self {
            Self::Workflow => Vec::new(),
            Self::Key {
                services,
                authorities,
            } => vec![
                format!("--key=env://{PRIVATE_KEY}"),
                format!("--signing-config={}", services.path().display()),
                format!("--trusted-root={}", authorities.path().display()),
            ],
        }
    }
}

/// What cosign is told to trust: one key, or one workflow on one branch.
pub(crate) fn trust_arguments() -> Result<Vec<String>> {
    if workflow::var(PUBLIC_KEY).is_some() {
        return Ok(vec![
            format!("--key=env://{PUBLIC_KEY}"),
            "--insecure-ignore-tlog=true".to_owned(),
        ]);
    }
    let repository = workflow::require_repository_url()?;
    Ok(vec![
        format!("--certificate-identity={repository}/{WORKFLOW}@{BRANCH}"),
        format!("--certificate-oidc-issuer={ISSUER}"),
    ])
}

/// The predicate that says which run built the image from which commit.
fn provenance(event: &Event) -> Result<Value> {
    let repository = workflow::require_repository_url()?;
    let id = workflow::var("GITHUB_RUN_ID").unwrap_or_default();
    let attempt = workflow::var("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
    Ok(json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {"repository": repository, "path": WORKFLOW, "ref": event.reference},
            },
            "internalParameters": {"github": {"event_name": event.name}},
            "resolvedDependencies": [{
                "uri": format!("git+{repository}@{}", event.reference),
                "digest": {"gitCommit": event.sha},
            }],
        },
        "runDetails": {
            "builder": {"id": format!("{repository}/{WORKFLOW}@{}", event.reference)},
            "metadata": {"invocationId": format!("{repository}/actions/runs/{id}/attempts/{attempt}")},
        },
    }))
}

/// What an attestation says. Cosign prints it in an envelope (<https://github.com/secure-systems-lab/dsse>), in base64.
fn statement(envelope: &str) -> Result<Value> {
    let envelope: Value = serde_json::from_str(envelope)?;
    let payload = envelope["payload"].as_str().context("no payload")?;
    Ok(serde_json::from_slice(&STANDARD.decode(payload)?)?)
}

/// The commit in a provenance.
fn commit(statement: &Value) -> Result<String> {
    let sources = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
    let commit = sources[0]["digest"]["gitCommit"]
        .as_str()
        .context("no commit")?;
    ensure!(workflow::is_commit(commit), "`{commit}` is not a commit id");
    Ok(commit.to_owned())
}

fn file(content: &Value) -> Result<NamedTempFile> {
    let file = NamedTempFile::new().context("cannot make a temporary file")?;
    serde_json::to_writer(&file, content).context("cannot write a temporary file")?;
    Ok(file)
}
