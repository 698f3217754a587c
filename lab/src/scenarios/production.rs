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
    let forge = &world.forge;
    let (staging, prod) = (world.environment("staging"), world.environment("prod"));
    let image = ImageValues::read(forge, "staging", "staging")?;
    let commit = staging.serving().context("staging does not serve")?;
    let mut tags = forge.image_tags()?;
    let before = prod.serving();
    let clone = world.clone("production", "staging")?;
    let version = version(&clone)?;

    // When it is tagged, then its image has the version's names,
    let tagged = release::tag(world, &clone, &version)?;
    Run::wait(forge, ci::release(&version), &tagged, CI_LIMIT)?;
    tags.extend([
        version.clone(),
        "latest".to_owned(),
        format!("sha-{}", short(&tagged)),
    ]);
    let now = forge.image_tags()?;
    ensure!(now == tags, "the tags are {now:?}, not {tags:?}");

    // and the bot proposes exactly that digest.
    let pull = promotion::open_pull(world, "main", &format!("release/{version}"))?;
    let pull = pull.context("nothing is proposed to prod")?;
    ensure!(pull["user"]["login"] == BOT, "it is not the bot's: {pull}");
    let number = pull["number"].as_i64().context("it has no number")?;
    let head = pull["head"]["sha"].as_str().context("it has no commit")?;
    let proposed = ImageValues::read(forge, "prod", head)?;
    ensure!(
        proposed.digest == image.digest && proposed.tag == version,
        "{} is proposed as {}",
        proposed.digest,
        proposed.tag
    );
    Run::wait(forge, PULL_REQUEST, head, CI_LIMIT)?;

    // When one person has approved it, then nobody merges it;
    forge.review(&world.layout, "reviewer", number)?;
    let merge = format!("/pulls/{number}/merge");
    let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
    ensure!(merged.is_err(), "it was merged with one approval");
    // when two have, it is merged, and prod waits.
    forge.review(&world.layout, "approver", number)?;
    let revision = ship::accept(forge, "main", number)?;
    prod.wait_compared(&revision, "OutOfSync", SYNC_LIMIT)?;
    let now = prod.serving();
    ensure!(now == before, "prod went to {now:?} without a sync");

    // When a person syncs, then prod serves what staging serves,
    ArgoCd::new(&world.kubernetes)?.sync("waybill-prod")?;
    let expected = Deployed {
        revision: revision.clone(),
        digest: image.digest,
        commit,
    };
    prod.wait_deployed(&expected, SYNC_LIMIT)?;
    let ready = prod.ready_pods()?;
    ensure!(ready == 3, "{ready} pods are ready in prod, not 3");
    // and the image has main's name.
    Run::wait(forge, ci::branch("main"), &revision, CI_LIMIT)?.ensure("retag", "success")?;
    tags.extend(["main".to_owned(), format!("sha-{}", short(&revision))]);
    let now = forge.image_tags()?;
    ensure!(now == tags, "the tags are {now:?}, not {tags:?}");
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
