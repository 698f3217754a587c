//! T2, R3. A version in staging turns out bad; Argo CD's history takes it back, and the old version serves. Within the
//! user's 2 minutes, and without a request that fails, forward or back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{World, promotion};
use crate::argocd::ArgoCd;
use crate::delivery::ship::SERVING_LIMIT;
use crate::scenarios::traffic::Traffic;

const APPLICATION: &str = "waybill-staging";

/// The user's bound.
const BUDGET: Duration = Duration::from_secs(120);

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has run one version,
    let staging = world.environment("staging");
    let (entry, old) = staging.current(&world.forge)?;
    // and runs a newer one now, which people use,
    let traffic = Traffic::start(format!("{}/version", staging.address()?));
    let new = promotion::promote(world)?;
    ensure!(
        new.commit != old.commit,
        "staging has this version already; `cargo lab test deploy rollback` delivers another first"
    );

    // When somebody goes back in Argo CD's history,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let asked = Instant::now();
    argocd.rollback(APPLICATION, entry)?;

    // Then the old version serves, in time,
    staging.wait_rolled_back(&old, BUDGET)?;
    eprintln!("  asked to serving: {:.1} s", asked.elapsed().as_secs_f64());
    // and Argo CD says that git wants another.
    staging.wait_compared(&new.revision, "OutOfSync", SERVING_LIMIT)?;

    // When it turns out to be good after all, a sync goes forward again.
    argocd.sync(APPLICATION)?;
    staging.wait_deployed(&new, SERVING_LIMIT)?;

    // All the while every request was answered.
    let answered = traffic.all_answered()?;
    eprintln!("  {answered} requests, all answered");
    Ok(())
}
