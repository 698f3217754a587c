//! T2, R3. A bad version in staging is rolled back from Argo CD's history, and the old version is served within 2 minutes.
//! No request fails, neither on the way forward nor back.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::steps;
use super::traffic::Traffic;
use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::delivery::ship::SERVING_LIMIT;

/// The limit that the requirement sets.
const BUDGET: Duration = Duration::from_secs(120);

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging ran one version, and runs another one now, which gets requests,
    let staging = world.staging()?;
    let application = staging.application_name();
    let (_, new) = staging.current(&world.forge)?;
    let (entry, revision, _) = staging.previous(&world.forge, &new.digest)?;
    let old = steps::declared(world, staging.entry, revision)?;
    let traffic = Traffic::start(format!("{}/version", staging.url()?));

    // When a user rolls back in Argo CD's history,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let asked = Instant::now();
    argocd.rollback(&application, entry)?;

    // Then the old version is served, in time,
    staging.wait_rolled_back(&old, BUDGET)?;
    eprintln!("  asked to serving: {:.1} s", asked.elapsed().as_secs_f64());
    // and Argo CD reports that Git declares another.
    staging.wait_compared(&new.revision, &SyncStatus::OutOfSync, SERVING_LIMIT)?;

    // When a user syncs, then the newer version is served again.
    argocd.sync(&application)?;
    staging.wait_deployed(&new, SERVING_LIMIT)?;

    // All the time every request was answered.
    eprintln!("  {}", traffic.all_answered()?);
    Ok(())
}
