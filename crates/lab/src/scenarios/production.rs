//! T4, C12, C22, B4. A version tag on the branch before prod's tags the image `vX.Y.Z` and `latest`, and the bot proposes
//! it to prod. People approve, a user syncs, and all pods in prod serve that digest.

use anyhow::{Context, Result, ensure};
use devkit::forge::Conclusion;
use devkit::git::short;

use super::steps;
use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{self, WorkflowRun, push};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging serves a commit whose changelog has a new version,
    let before = world.delivery.tagged();
    let changelog = world.forge.find_file("CHANGELOG.md", &before.branch)?;
    let version = steps::newest_version(&changelog.unwrap_or_default());
    let version = version.with_context(|| format!("{before}'s changelog has no version"))?;
    // when it is released, then prod serves it.
    release(world, &version)
}

/// Releases what the environment before prod serves as a version, and deploys it to prod.
///
/// # Errors
/// When a step fails, or something happens too early.
pub(super) fn release(world: &World, version: &str) -> Result<()> {
    let (forge, delivery) = (&world.forge, &world.delivery);
    let (before, last) = (delivery.tagged(), delivery.last());
    let image = forge.image(before, &before.branch)?;
    let commit = world.environment(before).serving();
    let commit = commit.with_context(|| format!("the service in {before} does not answer"))?;
    let clone = world.clone("production", &before.branch)?;

    // When it is tagged, then its image gets the version's tags, and the bot proposes it;
    let mut tags = forge.image_tags()?;
    let tagged = steps::push_tag(world, &clone, version)?;
    WorkflowRun::wait(forge, &runs::release(version), &tagged, CI_LIMIT)?;
    tags.extend(delivery.release_image_tags(version, false, &tagged));
    let now = forge.image_tags()?;
    ensure!(now == tags, "the tags are {now:?}, not {tags:?}");
    let pull = forge.find_open_pull(&format!("release/{version}"), &last.branch)?;
    let pull =
        pull.with_context(|| format!("the bot does not propose {} to {last}", short(&tagged)))?;
    let proposal = steps::proposed(world, last, &pull, &image.digest)?;
    let tag = proposal.image.tag;
    ensure!(
        tag.as_str() == version,
        "the bot proposes {tag}, not {version}"
    );

    // when people approve it and a user syncs, then prod serves what staging serves.
    let prod = world.environment(last);
    let deployed = steps::deploy_pull_request(world, &prod, pull.number, image.digest, commit)?;
    let revision = deployed.revision;
    let run = WorkflowRun::wait(forge, &push(&last.branch), &revision, CI_LIMIT)?;
    run.ensure_conclusion("retag", Conclusion::Success)?;
    tags.extend(last.image_tags(&revision));
    let now = forge.image_tags()?;
    ensure!(now == tags, "the tags are {now:?}, not {tags:?}");
    steps::ensure_replicas(world, &prod)
}
