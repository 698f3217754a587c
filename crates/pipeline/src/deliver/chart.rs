//! `cargo pipeline chart push` publishes the chart in the registry, as a signed OCI artifact.

use super::registry::Registry;
use super::signer::Signer;
use super::version::is_prerelease;
use crate::project::root;
use crate::workflow::Event;
use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use devkit::delivery::Delivery;
use devkit::process::Run;
use devkit::reference::{Digest, Repository};
use std::path::Path;
use std::process::Command;

/// Publish the Helm chart.
#[derive(clap::Args)]
pub(crate) struct Chart {
    #[command(subcommand)]
    action: Action,
}

/// What to do with the chart.
#[derive(Subcommand)]
#[allow(
    clippy::missing_docs_in_private_items,
    reason = "the documentation of the arguments is the help of a command; text here would replace it"
)]
enum Action {
    Push(Push),
}

impl Chart {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        match &self.action {
            Action::Push(push) => push.run(),
        }
    }
}

/// Push the chart to the registry, and sign it.
///
/// Packages the chart of delivery.toml under the version of the tag that started the workflow, pushes it to
/// `<registry>/<owner>/charts` and signs its digest with cosign. A version that the registry has already is not replaced,
/// only signed. Signs as `cargo pipeline sign` does.
#[derive(clap::Args)]
struct Push {
    /// Version of the chart, without a `v` [default: the version tag of the workflow's event]
    #[arg(long)]
    version: Option<semver::Version>,
}

impl Push {
    fn run(&self) -> Result<()> {
        let version = match &self.version {
            Some(version) => version.to_string(),
            None => tagged_version(&Event::from_env()?)?,
        };
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let registry = Registry::from_env(&delivery)?;
        registry.require_credentials()?;
        let signer = Signer::from_env()?;
        let charts = charts(registry.repository())?;
        let chart = format!("{charts}/{}", delivery.name);
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let folder = folder.path();
        let helm = |args: &[&str]| {
            let mut helm = registry.command("helm", args);
            helm.current_dir(&root);
            helm
        };
        // Two packages of the same files differ by their times, so a second push would replace what was signed.
        let published = said(
            helm(&["pull", &format!("oci://{chart}"), "--version", &version])
                .arg("--destination")
                .arg(folder),
        )
        .ok()
        .and_then(|said| digest(&said).ok());
        let (digest, done) = match published {
            Some(digest) => (digest, "is there already and was signed"),
            None => {
                let package = folder.join(format!("{}-{version}.tgz", delivery.name));
                package_chart(helm(&["package", &delivery.chart]), &version, folder)?;
                let mut push = helm(&["push"]);
                push.arg(&package).arg(format!("oci://{charts}"));
                let said = said(&mut push)
                    .with_context(|| format!("cannot push the chart to {charts}"))?;
                (digest(&said)?, "was pushed and signed")
            }
        };
        let image = format!("{chart}@{digest}");
        registry
            .command("cosign", &["sign", "--yes"])
            .args(signer.arguments())
            .arg(&image)
            .run()
            .with_context(|| format!("cannot sign {image}"))?;
        println!("{chart}:{version} {done}: {digest}");
        Ok(())
    }
}

/// Packages the chart. Its images have the version as their tag, so the application's version is the same.
fn package_chart(mut helm: Command, version: &str, folder: &Path) -> Result<()> {
    helm.args(["--version", version, "--app-version", version])
        .arg("--destination")
        .arg(folder)
        .run()
        .context("cannot package the chart")
}

/// The version that a tag names: `1.2.0` of `v1.2.0`.
fn tagged_version(event: &Event) -> Result<String> {
    let tag = event.tag();
    let tag = tag.with_context(|| {
        format!(
            "{} is not a tag: name the version by `--version`",
            event.reference
        )
    })?;
    is_prerelease(tag)?;
    Ok(tag.trim_start_matches('v').to_owned())
}

/// Where the charts of an image's owner are: `ghcr.io/acme/charts`.
fn charts(image: &Repository) -> Result<Repository> {
    let owner = image.path().split_once('/').map(|(owner, _)| owner);
    let owner = owner.with_context(|| format!("{image} has no owner to publish charts for"))?;
    Ok(format!("{}/{owner}/charts", image.registry()).parse()?)
}

/// What a command says. Helm prints digests on either output, by version.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot start helm")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "helm failed: {}", said.trim());
    Ok(said)
}

/// The digest in Helm's message.
fn digest(said: &str) -> Result<Digest> {
    let line = said.lines().find_map(|line| line.strip_prefix("Digest: "));
    let line = line.with_context(|| format!("helm printed no digest: {}", said.trim()))?;
    Ok(line.trim().parse()?)
}
