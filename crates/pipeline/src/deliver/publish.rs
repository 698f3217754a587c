//! `cargo pipeline publish` pushes an image to the registry. Each image is built and pushed once; the later branches
//! only add tags to its digest.

use super::environment::{Environment, pinned_digest, require_on_staging};
use super::registry::Registry;
use super::tags::tags;
use super::verify;
use crate::build::layout::{Description, ImageFolder};
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, Event};
use anyhow::{Context, Result, ensure};
use devkit::process::Run;

/// Push the built image to the registry, or add tags to a published one.
///
/// A run for `develop` pushes the image that `cargo pipeline image` built. A run for `main` or for a version tag adds
/// tags to a published image: the one that the values of prod, or of staging, pin.
///
/// The image has the name of the repository, in the registry REGISTRY (ghcr.io), and the tags that `cargo pipeline
/// tags` prints. Logs in as REGISTRY_USERNAME with REGISTRY_TOKEN. Sets the outputs `image`, `digest` and `tag`.
#[derive(clap::Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    folder: ImageFolder,
}

impl Publish {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let event = Event::from_env()?;
        ensure!(
            !event.is_pull_request(),
            "a pull request publishes nothing: run this step only on branches and tags"
        );
        let tags = tags(&event)?;
        let tag = tags.last();
        let tag = tag.with_context(|| format!("{} publishes nothing", event.reference))?;
        let registry = Registry::from_env()?;
        registry.require_credentials()?;
        let image = registry.image();
        let (from, digest) = match promoted_environment(&event) {
            None => {
                let built = Description::read(&self.folder)?;
                ensure!(
                    built.revision == event.sha,
                    "the image was built from {}, but this run is for {}: run `cargo pipeline image` first",
                    built.revision,
                    event.sha
                );
                (self.folder.reference(), built.digest)
            }
            Some(environment) => {
                let Some(digest) = promoted_digest(&event, environment, tag)? else {
                    println!("{} has no image yet: nothing to tag", environment.name());
                    return Ok(());
                };
                verify::verify(&registry, &digest)?;
                (format!("docker://{image}@{digest}"), digest)
            }
        };
        for tag in &tags {
            copy(&registry, &from, tag, &digest)?;
        }
        println!("digest {digest}");
        workflow::output("image", image)?;
        workflow::output("digest", &digest)?;
        workflow::output("tag", tag)?;
        workflow::summary(&format!("**Published:** `{image}:{tag}` as `{digest}`"))
    }
}

/// The environment whose image gets the tags, if the event does not build its own image.
fn promoted_environment(event: &Event) -> Option<Environment> {
    match event.branch() {
        Some("main") => Some(Environment::Prod),
        Some(_) => None,
        None => Some(Environment::Staging),
    }
}

/// The digest that an environment pins. A branch may have none before the first promotion; a version tag must have one.
fn promoted_digest(event: &Event, environment: Environment, tag: &str) -> Result<Option<String>> {
    let is_version = event.branch().is_none();
    if is_version {
        require_on_staging(&Git::new(&root()?), &event.sha)?;
    }
    let digest = pinned_digest(environment)?;
    ensure!(
        digest.is_some() || !is_version,
        "{} has no image yet that {tag} could name: promote an image first",
        environment.name()
    );
    Ok(digest)
}

/// Copies the image to a tag, and checks that the registry stores the same digest.
fn copy(registry: &Registry, from: &str, tag: &str, digest: &str) -> Result<()> {
    let name = format!("{}:{tag}", registry.image());
    let target = format!("docker://{name}");
    let copy = ["copy", "--quiet", "--preserve-digests", from, &target];
    registry
        .command("skopeo", &copy)
        .run()
        .with_context(|| format!("cannot push {name}"))?;
    let inspect = ["inspect", "--no-tags", "--format={{.Digest}}", &target];
    let stored = registry.command("skopeo", &inspect).read()?;
    ensure!(
        stored == digest,
        "the registry has {stored} under {name}, not {digest}"
    );
    println!("pushed {name}");
    Ok(())
}
