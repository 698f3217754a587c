//! T6. staging gets an image that nobody has; Argo CD says Degraded, and why; the pods before serve on, and a rollback makes
//! it Healthy.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{World, promotion};
use crate::argocd::ArgoCd;
use crate::delivery::environment::{Deployed, ImageValues};
use crate::delivery::ship::{self, CI_LIMIT, SERVING_LIMIT};
use crate::forge::runs::{PULL_REQUEST, Run};

const APPLICATION: &str = "waybill-staging";
const FILE: &str = "charts/waybill/values-staging.yaml";
const TAG: &str = "develop-0000000";

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is Healthy,
    let staging = world.environment("staging");
    let (entry, good) = staging.current(&world.forge)?;
    let image = ImageValues::read(&world.forge, "staging", &good.revision)?;
    staging.wait_deployed(&good, SERVING_LIMIT)?;

    // When an image that isn't there is merged and synced,
    let digest = format!("sha256:{}", "f".repeat(64));
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let there = [(image.tag.as_str(), TAG), (&image.digest, &digest)];
    let broken = merge(world, "Break", &there)?;
    staging.wait_compared(&broken, "OutOfSync", SERVING_LIMIT)?;
    argocd.sync(APPLICATION)?;

    // Then Argo CD says Degraded, and which image can't be had;
    let synced = Instant::now();
    staging.wait_health("Degraded", SERVING_LIMIT)?;
    eprintln!(
        "  synced to Degraded: {:.1} s",
        synced.elapsed().as_secs_f64()
    );
    let complaints = complaints(&argocd)?;
    ensure!(
        complaints
            .iter()
            .any(|complaint| complaint.contains(&digest)),
        "Argo CD does not say which image can't be had, only {complaints:?}"
    );
    // and nobody notices, because the pods of before go when new ones are ready.
    let now = staging.serving();
    ensure!(now.as_ref() == Some(&good.commit), "staging serves {now:?}");

    // When somebody goes back in Argo CD's history, then staging is Healthy,
    let asked = Instant::now();
    argocd.rollback(APPLICATION, entry)?;
    staging.wait_rolled_back(&good, SERVING_LIMIT)?;
    staging.wait_health("Healthy", SERVING_LIMIT)?;
    eprintln!("  asked to Healthy: {:.1} s", asked.elapsed().as_secs_f64());

    // and as soon as git says so too, Synced.
    let back = [(TAG, image.tag.as_str()), (&digest, &image.digest)];
    let revision = merge(world, "Mend", &back)?;
    staging.wait_compared(&revision, "Synced", SERVING_LIMIT)?;
    argocd.sync(APPLICATION)?;
    staging.wait_deployed(&Deployed { revision, ..good }, SERVING_LIMIT)
}

/// Replaces words in staging's values by a pull request, and returns the merge commit.
fn merge(world: &World, what: &str, words: &[(&str, &str)]) -> Result<String> {
    let forge = &world.forge;
    let clone = world.clone("broken-image", "staging")?;
    for (from, to) in words {
        world.edit(&clone, FILE, from, to)?;
    }
    let title = format!("{what} staging's image");
    world.commit(&clone, &title)?;
    let pull = ship::propose(forge, &clone, "staging", "broken-image", &title)?;
    Run::wait(forge, PULL_REQUEST, &pull.commit, CI_LIMIT)?;
    promotion::approved(world, ("staging", pull.number, &["reviewer"]))
}

/// What Argo CD shows for pods that can't get their image.
fn complaints(argocd: &ArgoCd) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for node in argocd.tree(APPLICATION)? {
        let info = node["info"].as_array().into_iter().flatten();
        let mut reasons = info.filter(|info| info["name"] == "Status Reason");
        let is_stuck = reasons.any(|info| {
            let reason = info["value"].as_str().unwrap_or_default();
            reason.contains("ImagePull")
        });
        if node["kind"] == "Pod" && is_stuck {
            complaints.extend(argocd.events(APPLICATION, &node)?);
        }
    }
    Ok(complaints)
}
