//! B3. The lab runs what GitHub runs: the workflows of the shipped commit, and the action that they share, are byte for byte
//! those of the checkout. Only third-party actions are replaced, by those in crates/lab/actions/.

use anyhow::{Context, Result, ensure};
use devkit::process::Run;

use super::world::World;
use crate::delivery::record::Delivery;
use crate::forge::runs::{DEVELOP, WorkflowRun};

pub(super) fn run(world: &World) -> Result<()> {
    // Given a commit that was shipped, whose run on develop succeeded,
    let delivery = Delivery::last(&world.layout)?.context("nothing was shipped yet")?;
    let limit = std::time::Duration::from_secs(60);
    WorkflowRun::wait(&world.forge, DEVELOP, &delivery.built_commit, limit)?;

    // When its files are cloned from the forge,
    let clone = world.clone("workflows", "develop")?;

    // Then they are those of the checkout: Git identifies files by their content.
    let files = |folder: &std::path::Path, commit: &str| {
        let mut git = world.forge.git(folder);
        git.args([
            "ls-tree",
            "-r",
            commit,
            ".github/workflows/",
            ".github/actions/",
        ])
        .read()
    };
    let ran = files(&clone, &delivery.built_commit)?;
    let ours = files(&world.layout.state("checkout"), &delivery.commit)?;
    ensure!(
        ran == ours,
        "the workflows that ran:\n{ran}\ndiffer from the checkout's:\n{ours}"
    );
    ran.lines()
        .find(|line| line.ends_with("\t.github/workflows/ci.yaml"))
        .context("ci.yaml is not one of them")?;
    Ok(())
}
