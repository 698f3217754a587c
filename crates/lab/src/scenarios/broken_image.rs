//! T6. staging gets an image that does not exist. Argo CD reports Degraded and the reason, the previous pods continue to
//! serve, and a rollback makes staging Healthy.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::steps;
use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::{HealthStatus, SyncStatus};
use crate::delivery::image_values::ImageValues;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship::{CI_LIMIT, SERVING_LIMIT};
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun};

const APPLICATION: &str = "waybill-staging";
const FILE: &str = "charts/waybill/values-staging.yaml";
const TAG: &str = "develop-0000000";

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is Healthy,
    let staging = world.environment("staging");
    let (entry, good) = staging.current(&world.forge)?;
    let image = ImageValues::read(&world.forge, "staging", &good.revision)?;
    staging.wait_deployed(&good, SERVING_LIMIT)?;

    // When an image that does not exist is merged and synced,
    let digest = format!("sha256:{}", "f".repeat(64));
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let there = [(image.tag.as_str(), TAG), (&image.digest, &digest)];
    let broken = merge(world, "Break", &there)?;
    staging.wait_compared(&broken, &SyncStatus::OutOfSync, SERVING_LIMIT)?;
    argocd.sync(APPLICATION)?;

    // Then Argo CD reports Degraded and which image cannot be pulled;
    let synced = Instant::now();
    staging.wait_health(&HealthStatus::Degraded, SERVING_LIMIT)?;
    eprintln!(
        "  synced to Degraded: {:.1} s",
        synced.elapsed().as_secs_f64()
    );
    let errors = pull_errors(&argocd)?;
    ensure!(
        errors.iter().any(|error| error.contains(&digest)),
        "Argo CD does not report which image cannot be pulled, only {errors:?}"
    );
    // and the service is not interrupted, because the previous pods stay until new ones are ready.
    let now = staging.serving();
    ensure!(now.as_ref() == Some(&good.commit), "staging serves {now:?}");

    // When a user rolls back in Argo CD's history, then staging is Healthy,
    let asked = Instant::now();
    argocd.rollback(APPLICATION, entry)?;
    staging.wait_rolled_back(&good, SERVING_LIMIT)?;
    staging.wait_health(&HealthStatus::Healthy, SERVING_LIMIT)?;
    eprintln!("  asked to Healthy: {:.1} s", asked.elapsed().as_secs_f64());

    // and as soon as git names the same image, Synced.
    let back = [(TAG, image.tag.as_str()), (&digest, &image.digest)];
    let revision = merge(world, "Repair", &back)?;
    staging.wait_compared(&revision, &SyncStatus::Synced, SERVING_LIMIT)?;
    argocd.sync(APPLICATION)?;
    staging.wait_deployed(&Deployed { revision, ..good }, SERVING_LIMIT)
}

/// Replaces text in staging's values by a pull request, and returns the merge commit.
fn merge(world: &World, verb: &str, replacements: &[(&str, &str)]) -> Result<String> {
    let forge = &world.forge;
    let clone = world.clone("broken-image", "staging")?;
    for (from, to) in replacements {
        world.edit(&clone, FILE, from, to)?;
    }
    let title = format!("{verb} staging's image");
    world.commit(&clone, &title)?;
    let pull = pull_request::open(forge, &clone, "staging", "broken-image", &title)?;
    WorkflowRun::wait(forge, PULL_REQUEST, &pull.commit, CI_LIMIT)?;
    steps::merge_approved(world, ("staging", pull.number, &["reviewer"]))
}

/// The events of pods that cannot pull their image.
fn pull_errors(argocd: &ArgoCd) -> Result<Vec<String>> {
    let mut errors = Vec::new();
    for node in argocd.tree(APPLICATION)? {
        if node.cannot_pull() {
            errors.extend(argocd.events(APPLICATION, &node)?);
        }
    }
    Ok(errors)
}
