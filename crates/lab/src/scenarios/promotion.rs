//! T4, C22, G4, B4. What runs in dev reaches staging: the bot proposes it, a reviewer approves it and a user syncs it. Each
//! step is necessary. In the end all pods, on PostgreSQL, serve dev's digest.

use anyhow::Result;

use super::steps::{ensure_replicas, promote};
use super::world::World;

pub(super) fn run(world: &World) -> Result<()> {
    let staging = world.staging()?;
    promote(world, staging.entry)?;
    ensure_replicas(world, &staging)
}
