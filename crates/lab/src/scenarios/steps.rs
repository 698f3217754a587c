//! Steps that several scenarios share.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use serde_json::{Value, json};

use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::commit::short;
use crate::delivery::environment::Environment;
use crate::delivery::image_values::ImageValues;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship::{CI_LIMIT, SERVING_LIMIT};
use crate::forge::api::BOT;
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, dispatch};

const WORKFLOW: &str = "promote.yaml";
const BRANCH: &str = "promote/staging";

/// Promotes dev's image to staging, and checks after each step that nothing happens without the next one. Returns what
/// is deployed in the end.
///
/// # Errors
/// When a step fails, or something happens too early.
pub fn promote(world: &World) -> Result<Deployed> {
    // Given dev serves an image,
    let forge = &world.forge;
    let staging = world.environment("staging");
    let image = ImageValues::read(forge, "dev", "develop")?;
    let commit = world
        .dev()
        .serving()
        .context("the service in dev does not answer")?;

    let before = staging.serving();

    // When a user starts the promotion, then the bot proposes exactly that digest.
    let pull = propose(world)?;
    let proposal = proposed(world, "staging", &pull, &image.digest)?;
    // The checks skip what already ran on develop.
    for job in ["unit", "integration", "image"] {
        proposal.run.ensure_conclusion(job, "skipped")?;
    }

    let now = staging.serving();
    ensure!(
        now == before,
        "the proposal alone changed staging to {now:?}"
    );

    // Then one approval and a sync deploy it, and nothing less.
    let number = proposal.number;
    deploy_pull_request(
        world,
        &staging,
        ("staging", number, &["reviewer"]),
        image.digest,
        commit,
    )
}

/// Starts the promotion workflow and returns the pull request that it opens.
fn propose(world: &World) -> Result<Value> {
    let forge = &world.forge;
    let tip = forge
        .tip("develop")?
        .context("the branch develop does not exist")?;
    forge.repository(
        "POST",
        &format!("/actions/workflows/{WORKFLOW}/dispatches"),
        Some(&json!({"ref": "develop"})),
    )?;
    WorkflowRun::wait(forge, dispatch(WORKFLOW), &tip, CI_LIMIT)?;
    pull_request::find(forge, "staging", BRANCH)?
        .with_context(|| format!("the workflow opened no pull request for {}", short(&tip)))
}

/// A pull request of the bot whose checks have passed.
pub struct Proposal {
    /// Its number on the forge.
    pub number: i64,
    /// The image that it deploys.
    pub image: ImageValues,
    run: WorkflowRun,
}

/// Waits until the checks of the bot's pull request have passed. It must propose exactly this digest.
///
/// # Errors
/// When it is not the bot's, proposes another digest, or a check fails.
pub fn proposed(world: &World, environment: &str, pull: &Value, digest: &str) -> Result<Proposal> {
    ensure!(
        pull["user"]["login"] == BOT,
        "the pull request is not the bot's: {pull}"
    );
    let number = pull["number"]
        .as_i64()
        .context("the pull request has no number")?;
    let head = pull["head"]["sha"]
        .as_str()
        .context("the pull request has no commit")?;
    let image = ImageValues::read(&world.forge, environment, head)?;
    ensure!(
        image.digest == digest,
        "the bot proposes {}, not {digest}",
        image.digest
    );
    let run = WorkflowRun::wait(&world.forge, PULL_REQUEST, head, CI_LIMIT)?;
    Ok(Proposal { number, image, run })
}

/// A pull request's target branch and number, and the people who approve it, one after the other.
pub type Approval<'a> = (&'a str, i64, &'a [&'a str]);

/// Deploys a pull request to an environment, and checks after each step that nothing happens without the next one.
///
/// # Errors
/// When a step fails, or something happens too early.
pub fn deploy_pull_request(
    world: &World,
    environment: &Environment,
    approval: Approval,
    digest: String,
    commit: String,
) -> Result<Deployed> {
    let before = environment.serving();
    let revision = merge_approved(world, approval)?;

    // Argo CD reports the difference and waits;
    environment.wait_compared(&revision, &SyncStatus::OutOfSync, SERVING_LIMIT)?;
    let now = environment.serving();
    ensure!(
        now == before,
        "{} changed to {now:?} without a sync",
        environment.name
    );

    // when a user syncs, the environment serves the commit.
    ArgoCd::new(&world.kubernetes)?.sync(&environment.namespace())?;
    let expected = Deployed {
        revision,
        digest,
        commit,
    };
    environment.wait_deployed(&expected, SERVING_LIMIT)?;
    Ok(expected)
}

/// Lets people approve a pull request, merges it and returns the merge commit. Checks that not even an administrator can
/// merge it before.
///
/// # Errors
/// When it can be merged too early, or not at all.
pub fn merge_approved(world: &World, (base, number, people): Approval) -> Result<String> {
    let forge = &world.forge;
    let merge = format!("/pulls/{number}/merge");
    for person in people {
        let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
        ensure!(
            merged.is_err(),
            "it could be merged before {person} had approved it"
        );
        forge.review(&world.layout, person, number)?;
    }
    pull_request::merge(forge, base, number)
}

/// Pushes a tag for the commit that is checked out, and returns that commit.
///
/// # Errors
/// When the forge refuses the tag.
pub fn push_tag(world: &World, clone: &Path, name: &str) -> Result<String> {
    let reference = format!("HEAD:refs/tags/{name}");
    let mut git = world.forge.git(clone);
    git.args(["push", "--quiet", "origin", &reference])
        .run_quietly()?;
    world.forge.head(clone)
}

/// The tag of the newest version in a changelog: `v1.2.0` for the section `## [1.2.0]`.
pub fn newest_version(changelog: &str) -> Option<String> {
    let mut sections = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## ["));
    let version = sections.find(|section| !section.starts_with("Unreleased"))?;
    Some(format!("v{}", version.split(']').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_follows_the_unreleased_changes() {
        let changelog = "# Changes\n\n## [Unreleased]\n\n## [0.2.0] - 2026-01-01\n\n## [0.1.0]\n";
        assert_eq!(newest_version(changelog).as_deref(), Some("v0.2.0"));
        assert_eq!(newest_version("## [Unreleased]\n"), None);
    }
}
