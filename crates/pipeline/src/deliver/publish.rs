//! The image goes to the registry as the bytes that were built: the digest there is the digest here. It is built
//! and pushed once; what comes after develop only adds tags to it.

use crate::Outcome;
use crate::build::image::{Description, Folder};
use crate::deliver::environment::Env;
use crate::deliver::reference;
use crate::deliver::registry::Registry;
use crate::deliver::release;
use crate::deliver::sign as signature;
use crate::deliver::tags::tags;
use crate::git::Git;
use crate::project::{read, root, run};
use crate::workflow::{self, Event};
use anyhow::{Context, Result, ensure};

/// Push the built image to the registry, or add tags to one that is there.
///
/// A run of `develop` pushes what `cargo pipeline image` built. A run of `main` or of a version tag builds nothing: it
/// adds its tags to the digest that the values of prod, or of staging, pin at its commit.
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
        let registry = Registry::from_env()?;
        registry.must_log_in()?;
        let image = registry.image();
        let (from, digest) = match promoted_from(&event) {
            None => {
                let built = Description::read(&self.folder)?;
                ensure!(
                    built.revision == event.sha,
                    "the image was built from {}, but this run is for {}",
                    built.revision,
                    event.sha
                );
                (self.folder.reference(), built.digest)
            }
            Some(env) => {
                if event.branch().is_none() {
                    release::on_staging(&Git::new(&root()?), &event.sha)?;
                }
                let (digest, env) = (pinned(env)?, env.name());
                let Some(digest) = digest else {
                    ensure!(
                        event.branch().is_some(),
                        "{env} has no image yet that {tag} could name: promote one first"
                    );
                    println!("{env} has no image yet: nothing to tag");
                    return Ok(());
                };
                signature::verify(&registry, &digest)?;
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

/// The environment whose image a run names anew, where it doesn't build one of its own.
fn promoted_from(event: &Event) -> Option<Env> {
    match event.branch() {
        Some("main") => Some(Env::Prod),
        Some(_) => None,
        None => Some(Env::Staging),
    }
}

/// The digest that an environment's values pin at the commit that is checked out.
pub(crate) fn pinned(env: Env) -> Result<Option<String>> {
    let path = env.file();
    let file = root()?.join(&path);
    if !file.exists() {
        return Ok(None);
    }
    let values = std::fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
    reference::pinned(&values).with_context(|| path)
}

/// Gives the image another tag, and looks that the registry has the same bytes under it.
fn copy(registry: &Registry, from: &str, tag: &str, digest: &str) -> Outcome {
    let name = format!("{}:{tag}", registry.image());
    let target = format!("docker://{name}");
    let copy = ["copy", "--quiet", "--preserve-digests", from, &target];
    run(&mut registry.command("skopeo", &copy)).with_context(|| format!("cannot push {name}"))?;
    let inspect = ["inspect", "--no-tags", "--format={{.Digest}}", &target];
    let stored = read(&mut registry.command("skopeo", &inspect))?;
    ensure!(
        stored == digest,
        "the registry has {stored} under {name}, not {digest}"
    );
    println!("pushed {name}");
    Ok(())
}
