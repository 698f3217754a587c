//! C14. The bot's write-back is a push like any other and is checked, but CI builds, publishes and writes back nothing for
//! it. So the pipeline does not trigger itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::needs::WRITE_BACK;
use super::world::World;
use crate::forge::runs::{DEVELOP, WorkflowRun};

pub(super) fn run(world: &World) -> Result<()> {
    // Given the tip of develop is the bot's write-back, and changes only one values file,
    let tip = world
        .forge
        .tip("develop")?
        .context("the branch develop does not exist")?;
    let commit = world
        .forge
        .repository("GET", &format!("/git/commits/{tip}"), None)?;
    ensure!(
        commit["commit"]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with(WRITE_BACK)),
        "the tip of develop is not a write-back: {}",
        commit["commit"]["message"]
    );
    let files: Vec<&str> = commit["files"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|file| file["filename"].as_str())
        .collect();
    ensure!(
        files == ["charts/waybill/values-dev.yaml"],
        "the write-back changed {files:?}"
    );

    // When its run completes,
    let run = WorkflowRun::wait(&world.forge, DEVELOP, &tip, Duration::from_secs(300))?;

    // Then it was checked and nothing was delivered: the tip is unchanged.
    run.ensure_conclusion("lint", "success")?;
    run.ensure_conclusion("deliver", "skipped")?;
    ensure!(
        world.forge.tip("develop")?.as_deref() == Some(tip.as_str()),
        "the write-back was followed by another commit"
    );
    Ok(())
}
