//! C14, B9's little sister. The bot's write-back is a push like any other: it is checked, but builds,
//! publishes and writes back nothing, so the pipeline does not feed itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::World;
use crate::forge::runs::{DEVELOP, Run};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a write-back: the tip of develop is the bot's, and changes one values file alone.
    let tip = world.forge.tip("develop")?.context("there is no develop")?;
    let commit = world
        .forge
        .repository("GET", &format!("/git/commits/{tip}"), None)?;
    ensure!(
        commit["commit"]["message"]
            .as_str()
            .is_some_and(|message| message.starts_with("chore(deploy): dev")),
        "the tip of develop is no write-back: {}",
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

    // When its run ends,
    let run = Run::wait(&world.forge, DEVELOP, &tip, Duration::from_secs(300))?;

    // Then it was checked, and delivered nothing: the tip is where it was.
    run.ensure("lint", "success")?;
    run.ensure("deliver", "skipped")?;
    ensure!(
        world.forge.tip("develop")?.as_deref() == Some(tip.as_str()),
        "the write-back was followed by another commit"
    );
    Ok(())
}
