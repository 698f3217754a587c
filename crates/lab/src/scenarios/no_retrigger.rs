//! C14. The bot's write-back is a push like any other and is checked, but CI builds, publishes and writes back nothing for
//! it. So the pipeline does not trigger itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::forge::{ChangedFile, Conclusion};
use serde::Deserialize;

use super::needs::is_write_back;
use super::world::World;
use crate::forge::runs::{WorkflowRun, push};

/// The files that a commit changes, as the forge lists them.
#[derive(Deserialize)]
struct Changes {
    files: Vec<ChangedFile>,
}

pub(super) fn run(world: &World) -> Result<()> {
    // Given the tip of dev's branch is the bot's write-back, and changes only one values file,
    let (forge, dev) = (&world.forge, world.delivery.first());
    let tip = forge.tip(&dev.branch)?;
    let tip = tip.with_context(|| format!("the branch {} does not exist", dev.branch))?;
    let commit = forge.find_commit(&tip)?.context("the tip is no commit")?;
    ensure!(
        is_write_back(&commit, dev),
        "the tip of {} is not a write-back: {}",
        dev.branch,
        commit.message
    );
    let changes: Changes = forge.get(&format!("/git/commits/{tip}"))?;
    let files: Vec<&str> = changes
        .files
        .iter()
        .map(|file| file.filename.as_str())
        .collect();
    ensure!(files == [&dev.values], "the write-back changed {files:?}");

    // When its run completes,
    let run = WorkflowRun::wait(forge, &push(&dev.branch), &tip, Duration::from_secs(300))?;

    // Then it was checked and nothing was delivered: the tip is unchanged.
    run.ensure_conclusion("lint", Conclusion::Success)?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    ensure!(
        forge.tip(&dev.branch)? == Some(tip),
        "the write-back was followed by another commit"
    );
    Ok(())
}
