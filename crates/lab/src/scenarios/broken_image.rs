//! T6, B6. staging gets an image that does not exist, because its repository is wrong. Argo CD reports Degraded and the
//! reason, the previous pods continue to serve, and the bot proposes a rollback in Git, with a hold. Before anyone
//! merges it, a rollback in Argo CD's history makes staging Healthy.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::steps;
use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::{HealthStatus, SyncStatus};
use crate::delivery::environment::Environment;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship::{CI_LIMIT, SERVING_LIMIT};
use crate::expect::{Verdict, eventually};
use crate::forge::runs::{PULL_REQUEST, WorkflowRun};
use crate::forge::{BOT, pull_request};

/// How long after a version is Degraded its rollback may be proposed.
const PROPOSED: Duration = Duration::from_secs(120);

/// Where the block of the image begins in a values file.
const IMAGE: &str = "\nimage:\n";

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is Healthy,
    let staging = world.staging()?;
    let application = staging.application_name();
    let (entry, good) = staging.current(&world.forge)?;
    staging.wait_deployed(&good, SERVING_LIMIT)?;

    // When an image that does not exist is merged and synced,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let missing = format!("{}-missing", world.delivery.image_repository());
    let (with, without) = (format!("{IMAGE}  repository: {missing}\n"), IMAGE);
    let broken = merge(world, &staging, "Break", (without, &with))?;
    staging.wait_compared(&broken, &SyncStatus::OutOfSync, SERVING_LIMIT)?;
    argocd.sync(&application)?;

    // Then Argo CD reports Degraded and which image cannot be pulled;
    let synced = Instant::now();
    staging.wait_health(&HealthStatus::Degraded, SERVING_LIMIT)?;
    eprintln!(
        "  synced to Degraded: {:.1} s",
        synced.elapsed().as_secs_f64()
    );
    let errors = pull_errors(&argocd, &application)?;
    ensure!(
        errors.iter().any(|error| error.contains(&missing)),
        "Argo CD does not report which image cannot be pulled, only {errors:?}"
    );
    // and the service is not interrupted, because the previous pods stay until new ones are ready.
    let now = staging.serving();
    ensure!(now.as_ref() == Some(&good.commit), "staging serves {now:?}");

    // Then the bot proposes to go back in Git, within 2 minutes.
    is_proposed(world, &staging, &good)?;

    // When a user rolls back in Argo CD's history, then staging is Healthy,
    let asked = Instant::now();
    argocd.rollback(&application, entry)?;
    staging.wait_rolled_back(&good, SERVING_LIMIT)?;
    staging.wait_health(&HealthStatus::Healthy, SERVING_LIMIT)?;
    eprintln!("  asked to Healthy: {:.1} s", asked.elapsed().as_secs_f64());

    // and as soon as Git names the same image, Synced.
    let revision = merge(world, &staging, "Repair", (&with, without))?;
    staging.wait_compared(&revision, &SyncStatus::Synced, SERVING_LIMIT)?;
    argocd.sync(&application)?;
    staging.wait_deployed(&Deployed { revision, ..good }, SERVING_LIMIT)
}

/// Changes the image in an environment's values by a pull request, and returns the merge commit.
fn merge(
    world: &World,
    environment: &Environment,
    verb: &str,
    (from, to): (&str, &str),
) -> Result<String> {
    let (forge, entry) = (&world.forge, environment.entry);
    let clone = world.clone("broken-image", &entry.branch)?;
    world.edit(&clone, &entry.values, from, to)?;
    let title = format!("{verb} the image of {entry}");
    world.commit(&clone, &title)?;
    let pull = pull_request::open(forge, &clone, &entry.branch, "broken-image", &title)?;
    WorkflowRun::wait(forge, &PULL_REQUEST, &pull.head.sha, CI_LIMIT)?;
    steps::merge_approved(world, entry, pull.number)
}

/// Waits for the pull request that rolls the environment back to another image, and closes it: here the repository is to
/// blame.
fn is_proposed(world: &World, staging: &Environment, bad: &Deployed) -> Result<()> {
    let (forge, entry) = (&world.forge, staging.entry);
    let pull = eventually("a rollback is proposed", PROPOSED, || {
        Ok(match steps::proposal(world, "rollback", entry) {
            Ok(pull) => Verdict::Met(pull),
            Err(error) => Verdict::Pending(error.to_string()),
        })
    })?;
    let head = &pull.head.sha;
    let image = forge.image(entry, head)?;
    ensure!(
        pull.user.login == BOT && image.digest != bad.digest,
        "{} proposes {}",
        pull.user.login,
        image.digest
    );
    let hold = forge.values(entry, head)?.hold()?;
    ensure!(hold.is_some(), "the rollback has no hold");
    Ok(forge.close_pull(pull.number)?)
}

/// The events of pods that cannot pull their image.
fn pull_errors(argocd: &ArgoCd, application: &str) -> Result<Vec<String>> {
    let mut errors = Vec::new();
    for node in argocd.tree(application)? {
        if node.cannot_pull() {
            errors.extend(argocd.events(application, &node)?);
        }
    }
    Ok(errors)
}
