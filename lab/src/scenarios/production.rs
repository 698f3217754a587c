//! T4, C12, C22, B4. A version tag on staging names the image `vX.Y.Z` and `latest`, and the bot proposes it to prod. Two
//! people approve, somebody syncs, and prod serves staging's digest as three pods.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{World, promotion, release};
use crate::argocd::ArgoCd;
use crate::ci::{self, PULL_REQUEST, Run};
use crate::environment::{Deployed, ImageValues, short};
use crate::forge::BOT;
use crate::ship::{self, CI_LIMIT};

const SYNC_LIMIT: Duration = Duration::from_secs(180);

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
        Run::wait(&world.forge, ci::release(&version), &tagged, CI_LIMIT)?;
        Ok(tagged)
    })?;
    let number = proposed(world, &version, &image.digest)
        .with_context(|| format!("{version} of {}", short(&tagged)))?;

    // when two people have approved that and somebody syncs, then prod serves what staging serves,
    names(world, &["main"], || {
        let revision = approved(world, number)?;
        deployed(
            world,
            &Deployed {
                revision: revision.clone(),
                digest: image.digest,
                commit,
            },
        )?;
        let run = Run::wait(&world.forge, ci::branch("main"), &revision, CI_LIMIT)?;
        run.ensure("retag", "success")?;
        Ok(revision)
    })
    .map(drop)
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

/// The number of the bot's pull request to prod, when its checks have passed.
fn proposed(world: &World, version: &str, digest: &str) -> Result<i64> {
    let forge = &world.forge;
    let pull = promotion::open_pull(world, "main", &format!("release/{version}"))?;
    let pull = pull.context("nothing is proposed to prod")?;
    ensure!(pull["user"]["login"] == BOT, "it is not the bot's: {pull}");
    let head = pull["head"]["sha"].as_str().context("it has no commit")?;
    let image = ImageValues::read(forge, "prod", head)?;
    ensure!(
        image.digest == digest && image.tag == version,
        "{} is proposed as {}",
        image.digest,
        image.tag
    );
    Run::wait(forge, PULL_REQUEST, head, CI_LIMIT)?;
    pull["number"].as_i64().context("it has no number")
}

/// Two people approve; the merge commit.
fn approved(world: &World, number: i64) -> Result<String> {
    // When one person has approved it, then nobody merges it;
    let forge = &world.forge;
    forge.review(&world.layout, "reviewer", number)?;
    let merge = format!("/pulls/{number}/merge");
    let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
    ensure!(merged.is_err(), "it was merged with one approval");
    // when two have, it is merged.
    forge.review(&world.layout, "approver", number)?;
    ship::accept(forge, "main", number)
}

fn deployed(world: &World, expected: &Deployed) -> Result<()> {
    // Argo CD sees it, and waits;
    let prod = world.environment("prod");
    let before = prod.serving();
    prod.wait_compared(&expected.revision, "OutOfSync", SYNC_LIMIT)?;
    let now = prod.serving();
    ensure!(now == before, "prod went to {now:?} without a sync");
    // when a person syncs, three pods serve it.
    ArgoCd::new(&world.kubernetes)?.sync("waybill-prod")?;
    prod.wait_deployed(expected, SYNC_LIMIT)?;
    let ready = prod.ready_pods()?;
    ensure!(ready == 3, "{ready} pods are ready in prod, not 3");
    Ok(())
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
