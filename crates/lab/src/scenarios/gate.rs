//! C22, B7. A person edits the digest of staging's image by hand, to one that staging had before. The image is signed, and
//! the check of the pull request fails all the same: staging gets what dev runs, or goes back under a hold.

use anyhow::{Result, ensure};

use super::steps;
use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, wait_failed_job};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has had two images,
    let (forge, staging) = (&world.forge, world.staging()?);
    let entry = staging.entry;
    let now = forge.image(entry, &entry.branch)?.digest;
    let (_, _, before) = staging.previous(forge, &now)?;

    // when a pull request names the earlier one,
    let clone = world.clone("gate", &entry.branch)?;
    world.edit(&clone, &entry.values, now.as_str(), before.as_str())?;
    let title = format!("Edit the image of {entry}");
    world.commit(&clone, &title)?;
    let pull = pull_request::open(forge, &clone, &entry.branch, "gate", &title)?;

    // then its checks fail with the reason, and the forge does not merge it.
    let head = &pull.head.sha;
    let log = wait_failed_job(forge, &PULL_REQUEST, head, "lint", CI_LIMIT)?;
    ensure!(
        log.contains(&format!("{entry} may only get the image that")),
        "the log does not say which image is allowed:\n{log}"
    );
    wait_failed_job(forge, &PULL_REQUEST, head, "required", CI_LIMIT)?;
    steps::ensure_refused(world, pull.number)?;
    Ok(forge.close_pull(pull.number)?)
}
