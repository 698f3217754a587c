//! T4, C12, C22, B4. A version tag on staging tags the image `vX.Y.Z` and `latest`, and the bot proposes it to prod. Two
//! people approve, a user syncs, and three pods in prod serve staging's digest.

use anyhow::{Context, Result, ensure};

use super::steps;
use super::world::World;
use crate::commit::short;
use crate::delivery::image_values::ImageValues;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::pull_request;
use crate::forge::runs::{WorkflowRun, branch, release};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging serves a commit whose changelog has a new version,
    let staging = world.environment("staging");
    let image = ImageValues::read(&world.forge, "staging", "staging")?;
    let commit = staging
        .serving()
        .context("the service in staging does not answer")?;
    let clone = world.clone("production", "staging")?;
    let changelog = std::fs::read_to_string(clone.join("CHANGELOG.md"))?;
    let version =
        steps::newest_version(&changelog).context("staging's changelog has no version")?;

    // When it is tagged, then its image gets the version's tags, and the bot proposes it;
    let tagged = expect_tags(world, &["latest", &version], || {
        let tagged = steps::push_tag(world, &clone, &version)?;
        WorkflowRun::wait(&world.forge, release(&version), &tagged, CI_LIMIT)?;
        Ok(tagged)
    })?;
    let pull = pull_request::find(&world.forge, "main", &format!("release/{version}"))?;
    let pull =
        pull.with_context(|| format!("the bot does not propose {} to prod", short(&tagged)))?;
    let proposal = steps::proposed(world, "prod", &pull, &image.digest)?;
    let tag = proposal.image.tag;
    ensure!(tag == version, "the bot proposes {tag}, not {version}");

    // when two people approve it and a user syncs, then prod serves what staging serves.
    let prod = world.environment("prod");
    expect_tags(world, &["main"], || {
        let approval = ("main", proposal.number, &["reviewer", "approver"][..]);
        let deployed = steps::deploy_pull_request(world, &prod, approval, image.digest, commit)?;
        let run = WorkflowRun::wait(&world.forge, branch("main"), &deployed.revision, CI_LIMIT)?;
        run.ensure_conclusion("retag", "success")?;
        Ok(deployed.revision)
    })?;
    let ready = prod.ready_pods()?;
    ensure!(ready == 3, "{ready} pods are ready in prod, not 3");
    Ok(())
}

/// Runs an action that returns a commit, and checks that it added exactly these image tags and the commit's.
fn expect_tags(
    world: &World,
    tags: &[&str],
    action: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let mut expected = world.forge.image_tags()?;
    let commit = action()?;
    expected.extend(tags.iter().map(|tag| (*tag).to_owned()));
    expected.insert(format!("sha-{}", short(&commit)));
    let now = world.forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");
    Ok(commit)
}
