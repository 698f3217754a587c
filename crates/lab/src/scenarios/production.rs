//! T4, C12, C22, B4. A version tag on staging names the image `vX.Y.Z` and `latest`, and the bot proposes it to prod. Two
//! people approve, somebody syncs, and prod serves staging's digest as three pods.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{World, promotion, release};
use crate::delivery::environment::{ImageValues, short};
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{self, Run};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging serves a commit that has notes for a version,
    let staging = world.environment("staging");
    let image = ImageValues::read(&world.forge, "staging", "staging")?;
    let commit = staging.serving().context("staging does not serve")?;
    let clone = world.clone("production", "staging")?;
    let version = version(&clone)?;

    // When it is tagged, then its image has the version's names, and the bot proposes it;
    let tagged = names(world, &["latest", &version], || {
        let tagged = release::tag(world, &clone, &version)?;
        Run::wait(&world.forge, runs::release(&version), &tagged, CI_LIMIT)?;
        Ok(tagged)
    })?;
    let pull = promotion::open_pull(world, "main", &format!("release/{version}"))?;
    let pull = pull.with_context(|| format!("nothing proposes {} to prod", short(&tagged)))?;
    let proposal = promotion::proposed(world, "prod", &pull, &image.digest)?;
    let tag = proposal.image.tag;
    ensure!(tag == version, "it is proposed as {tag}");

    // when two people have approved that and somebody syncs, then prod serves what staging serves,
    let prod = world.environment("prod");
    names(world, &["main"], || {
        let approval = ("main", proposal.number, &["reviewer", "approver"][..]);
        let deployed = promotion::carry(world, &prod, approval, image.digest, commit)?;
        let run = Run::wait(
            &world.forge,
            runs::branch("main"),
            &deployed.revision,
            CI_LIMIT,
        )?;
        run.ensure("retag", "success")?;
        Ok(deployed.revision)
    })?;
    let ready = prod.ready_pods()?;
    ensure!(ready == 3, "{ready} pods are ready in prod, not 3");
    Ok(())
}

/// Does something that names a commit, and looks that its image got these tags and that of the commit, and no other.
fn names(world: &World, names: &[&str], action: impl FnOnce() -> Result<String>) -> Result<String> {
    let mut expected = world.forge.image_tags()?;
    let commit = action()?;
    expected.extend(names.iter().map(|name| (*name).to_owned()));
    expected.insert(format!("sha-{}", short(&commit)));
    let now = world.forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");
    Ok(commit)
}

/// The tag of the newest version that the changelog has notes for.
fn version(clone: &Path) -> Result<String> {
    let changes = std::fs::read_to_string(clone.join("CHANGELOG.md"))?;
    let mut sections = changes.lines().filter_map(|line| line.strip_prefix("## ["));
    let version = sections.find(|section| !section.starts_with("Unreleased"));
    let version = version.and_then(|section| section.split(']').next());
    let version = version.context(
        "staging's changelog has no version; `cargo lab test deploy promotion production` gives it one first",
    )?;
    Ok(format!("v{version}"))
}
