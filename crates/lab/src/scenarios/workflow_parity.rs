//! B3. What ran here is what runs on GitHub: the workflows of the commit that was shipped, and the action they share, are
//! the checkout's byte for byte. Only what they call is another's: crates/lab/actions/ stands in for third parties' actions.

use anyhow::{Context, Result, ensure};

use super::World;
use crate::command::Run as _;
use crate::forge::runs::{DEVELOP, Run};
use crate::timeline::Journey;

pub(super) fn run(world: &World) -> Result<()> {
    // Given a commit that was shipped, whose run on develop did well,
    let saved = std::fs::read(world.layout.state("journey.json"))?;
    let journey: Journey = serde_json::from_slice(&saved)?;
    let limit = std::time::Duration::from_secs(60);
    Run::wait(&world.forge, DEVELOP, &journey.built_commit, limit)?;

    // When its files are cloned from the forge,
    let clone = world.clone("workflows", "develop")?;

    // Then they are those of the checkout: Git names files by their content.
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
    let ran = files(&clone, &journey.built_commit)?;
    let ours = files(&world.layout.state("checkout"), &journey.commit)?;
    ensure!(
        ran == ours,
        "the workflows that ran:\n{ran}\ndiffer from the checkout's:\n{ours}"
    );
    ran.lines()
        .find(|line| line.ends_with("\t.github/workflows/ci.yaml"))
        .context("there is no ci.yaml among them")?;
    Ok(())
}
