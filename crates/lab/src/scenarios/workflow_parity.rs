//! B3. The lab runs what GitHub runs: the workflows of the shipped commit, and the action that they share, are byte for byte
//! those of the checkout. Only third-party actions are replaced, by those in crates/lab/actions/.

use anyhow::{Context, Result, ensure};

use super::world::World;
use crate::delivery::record::Record;
use crate::forge::runs::{WorkflowRun, push};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a commit that was shipped, whose run on dev's branch succeeded,
    let record = Record::last(&world.layout)?.context("nothing was delivered yet")?;
    let limit = std::time::Duration::from_secs(60);
    let branch = world.trunk();
    WorkflowRun::wait(&world.forge, &push(branch), &record.built_commit, limit)?;

    // When its files are cloned from the forge,
    let clone = world.clone("workflows", branch)?;

    // Then they are those of the checkout: Git identifies files by their content.
    let files = |folder: &std::path::Path, commit: &str| {
        let folders = [".github/workflows/", ".github/actions/"];
        let args = [&["ls-tree", "-r", commit], &folders[..]].concat();
        world.forge.git(folder).read(&args)
    };
    let ran = files(&clone, &record.built_commit)?;
    let ours = files(&world.layout.state("checkout"), &record.commit)?;
    ensure!(
        ran == ours,
        "the workflows that ran:\n{ran}\ndiffer from the checkout's:\n{ours}"
    );
    ran.lines()
        .find(|line| line.ends_with("\t.github/workflows/ci.yaml"))
        .context("ci.yaml is not one of them")?;
    Ok(())
}
