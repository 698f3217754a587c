//! T4, C22, G4, B4. What runs in dev reaches staging: the bot proposes it, a reviewer approves it and a user syncs it. Each
//! step is necessary. In the end two pods on PostgreSQL serve dev's digest.

use anyhow::{Result, ensure};

use super::steps::promote;
use super::world::World;

pub(super) fn run(world: &World) -> Result<()> {
    promote(world)?;
    let ready = world.environment("staging").ready_pods()?;
    ensure!(ready == 2, "{ready} pods are ready in staging, not 2");
    Ok(())
}
