//! The image goes to the registry as the bytes that were built: the digest there is the digest here.

use crate::Outcome;
use crate::auth::basic;
use crate::forge::{self, Event};
use crate::image::{Description, Folder};
use crate::process::{cmd, read, run};
use crate::tags::tags;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::io::Write;
use std::process::Command;
use tempfile::NamedTempFile;

/// Push the built image to the registry.
///
/// To REGISTRY (ghcr.io) under the repository's name, with the tags of `cargo pipeline tags`. Logs in as
/// REGISTRY_USERNAME with REGISTRY_TOKEN. Sets the step's outputs `image`, `digest` and `tag`.
#[derive(clap::Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    folder: Folder,
}

impl Publish {
    pub(crate) fn run(&self) -> Outcome {
        let event = Event::from_env()?;
        ensure!(!event.is_pull_request(), "a pull request publishes nothing");
        let tags = tags(&event)?;
        let tag = tags.last();
        let tag = tag.with_context(|| format!("{} publishes nothing", event.reference))?;
        let built = Description::read(&self.folder)?;
        ensure!(
            built.revision == event.sha,
            "the image was built from {}, but this run is for {}",
            built.revision,
            event.sha
        );
        let registry = forge::var("REGISTRY").unwrap_or_else(|| "ghcr.io".to_owned());
        // Registries allow no capitals; forges do.
        let repository = forge::require("GITHUB_REPOSITORY")?.to_ascii_lowercase();
        let image = format!("{registry}/{repository}");
        let login = login(&registry)?;
        let skopeo = |args: &[&str]| -> Command {
            let mut command = cmd("skopeo", args);
            if let Some(file) = &login {
                command.env("REGISTRY_AUTH_FILE", file.path());
            }
            command
        };
        for tag in &tags {
            let target = format!("docker://{image}:{tag}");
            run(&mut skopeo(&[
                "copy",
                "--quiet",
                "--preserve-digests",
                &self.folder.reference(),
                &target,
            ]))
            .with_context(|| format!("cannot push {image}:{tag}"))?;
            let stored = read(&mut skopeo(&[
                "inspect",
                "--no-tags",
                "--format={{.Digest}}",
                &target,
            ]))?;
            ensure!(
                stored == built.digest,
                "the registry has {stored} under {image}:{tag}, not {}",
                built.digest
            );
            println!("pushed {image}:{tag}");
        }
        println!("digest {}", built.digest);
        forge::output("image", &image)?;
        forge::output("digest", &built.digest)?;
        forge::output("tag", tag)?;
        forge::summary(&format!(
            "**Published:** `{image}:{tag}` as `{}`",
            built.digest
        ))
    }
}

/// The credentials as a file that only this user can read. Without a token the person's own login counts.
fn login(registry: &str) -> Result<Option<NamedTempFile>> {
    let Some(token) = forge::var("REGISTRY_TOKEN") else {
        ensure!(
            !forge::in_workflow(),
            "the variable REGISTRY_TOKEN is not set"
        );
        return Ok(None);
    };
    let user = forge::require("REGISTRY_USERNAME")?;
    let auths = json!({"auths": {registry: {"auth": basic(&user, &token)}}});
    let mut file = NamedTempFile::new().context("cannot make a temporary file")?;
    write!(file, "{auths}").context("cannot write the registry's credentials")?;
    Ok(Some(file))
}
