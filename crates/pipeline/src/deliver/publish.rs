//! `cargo pipeline publish` pushes an image to the registry. Each image is built and pushed once; the later branches
//! only add tags to its digest.

use super::moving_tag;
use super::registry::Registry;
use super::tags::tags;
use super::values_file::pinned_digest;
use super::verification;
use super::version::require_on_branch;
use crate::build::layout::{Description, ImageFolder};
use crate::project::root;
use crate::workflow::{self, Event};
use anyhow::{Context, Result, ensure};
use devkit::delivery::{Delivery, Environment, Promotion};
use devkit::git::Git;
use devkit::markdown;
use devkit::process::Run;
use devkit::reference::Digest;
use devkit::text::code;
use std::path::Path;

/// Push the built image to the registry, or add tags to a published one.
///
/// A run for the branch of the first environment in delivery.toml pushes the image that `cargo pipeline image` built.
/// A run for the branch of another environment adds tags to the published image that the values of that environment
/// pin. A run for a version tag adds tags to the image that the values of the environment before the last one pin.
///
/// A tag such as `develop`, which each push moves, stays where it is if it names the image of a newer commit already.
///
/// delivery.toml also defines the name of the image and its tags; the variable REGISTRY replaces the registry. Logs in
/// as REGISTRY_USERNAME with REGISTRY_TOKEN. Sets the outputs `image`, `digest` and `tag`.
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
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let tags = tags(&delivery, &event)?;
        let tag = tags.last();
        let tag = tag.with_context(|| format!("{} publishes nothing", event.reference))?;
        let registry = Registry::from_env(&delivery)?;
        registry.require_credentials()?;
        let (from, digest) = match promoted_environment(&delivery, &event) {
            None => {
                let built = Description::read(&self.folder)?;
                ensure!(
                    built.revision == event.sha,
                    "the image was built from {}, but this run is for {}: run `cargo pipeline image` first",
                    built.revision,
                    event.sha
                );
                for platform in workflow::platforms(&delivery) {
                    ensure!(
                        built.platforms.contains(platform),
                        "the image is not for {platform}, which delivery.toml names: run `cargo pipeline image --add` with the image of that platform first"
                    );
                }
                (self.folder.reference(), built.digest)
            }
            Some(env) => {
                let Some(digest) = promoted_digest(&root, &event, env)? else {
                    println!("{env} has no image yet: nothing to tag");
                    return Ok(());
                };
                verification::verify(&registry, &digest)?;
                (format!("docker://{}", registry.image(&digest)), digest)
            }
        };
        let built = event.branch().and_then(|branch| delivery.by_branch(branch));
        let built = built.filter(|env| env.promotion == Promotion::Build);
        let git = Git::new(&root);
        for tag in &tags {
            if built.is_some_and(|env| moving_tag::moves(env, tag))
                && let Some(newer) = moving_tag::newer(&registry, &git, tag, &event.sha)?
            {
                println!("{tag} stays: it names the image of {newer}, which is newer");
                continue;
            }
            copy(&registry, &from, tag, &digest)?;
        }
        let image = registry.repository().as_str();
        println!("digest {digest}");
        workflow::output("image", image)?;
        workflow::output("digest", digest.as_str())?;
        workflow::output("tag", tag)?;
        let name = code(format!("{image}:{tag}"));
        workflow::summary(&markdown!(
            "**Published:** {} as {}",
            name,
            code(digest.as_str())
        ))
    }
}

/// The environment whose image gets the tags, if the event does not build its own image.
fn promoted_environment<'a>(delivery: &'a Delivery, event: &Event) -> Option<&'a Environment> {
    match event.branch() {
        Some(branch) => delivery
            .by_branch(branch)
            .filter(|env| env.promotion != Promotion::Build),
        None => Some(delivery.tagged()),
    }
}

/// The digest that an environment pins. A branch may have none before the first promotion; a version tag must have one.
fn promoted_digest(root: &Path, event: &Event, env: &Environment) -> Result<Option<Digest>> {
    let Some(version) = event.tag() else {
        return pinned_digest(root, env);
    };
    require_on_branch(&Git::new(root), env, &event.sha)?;
    let digest = pinned_digest(root, env)?;
    let digest = digest.with_context(|| {
        format!("{env} has no image yet that {version} could name: promote an image first")
    })?;
    Ok(Some(digest))
}

/// Copies the image to a tag, and checks that the registry stores the same digest.
fn copy(registry: &Registry, from: &str, tag: &str, digest: &Digest) -> Result<()> {
    let name = format!("{}:{tag}", registry.repository());
    let target = format!("docker://{name}");
    // `--all` copies the images of all platforms. Of an image for one platform it copies the same as without.
    let copy = [
        "copy",
        "--quiet",
        "--all",
        "--preserve-digests",
        from,
        &target,
    ];
    registry
        .command("skopeo", &copy)
        .run()
        .with_context(|| format!("cannot push {name}"))?;
    let inspect = ["inspect", "--no-tags", "--format={{.Digest}}", &target];
    let stored = registry.command("skopeo", &inspect).read()?;
    ensure!(
        stored == digest.as_str(),
        "the registry has {stored} under {name}, not {digest}"
    );
    println!("pushed {name}");
    Ok(())
}
