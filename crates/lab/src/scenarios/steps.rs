//! Steps that several scenarios share.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use devkit::delivery;
use devkit::forge::{Conclusion, NewStatus, Pull, StatusState};
use devkit::git::short;
use devkit::process::Run;
use devkit::reference::{Digest, Image};

use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::delivery::environment::Environment;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship::{CI_LIMIT, SERVING_LIMIT};
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, dispatch};
use crate::forge::{BOT, pull_request};

/// The workflow that proposes a promotion.
pub const PROMOTE: &str = "promote.yaml";

/// The workflow that rolls back.
pub const ROLLBACK: &str = "rollback.yaml";

/// The people whom the scenarios let approve pull requests.
const REVIEWERS: [&str; 4] = ["reviewer", "approver", "reviewer-3", "reviewer-4"];

/// Promotes an image to an environment from the one before it, and checks after each step that nothing happens without
/// the next one. Returns what is deployed in the end.
///
/// # Errors
/// When a step fails, or something happens too early.
pub fn promote(world: &World, to: &delivery::Environment) -> Result<Deployed> {
    // Given the environment before serves an image,
    let forge = &world.forge;
    let target = world.environment(to);
    let from = world.delivery.previous(to);
    let from = from.with_context(|| format!("no environment comes before {to}"))?;
    let image = forge.image(from, &from.branch)?;
    let commit = world.environment(from).serving();
    let commit = commit.with_context(|| format!("the service in {from} does not answer"))?;
    let before = target.serving();

    // When a user starts the promotion, then the bot proposes exactly that digest.
    let pull = propose(world, to)?;
    let proposal = proposed(world, to, &pull, &image.digest)?;
    // The checks skip what already ran when the image was built.
    for job in ["unit", "integration", "image"] {
        proposal.run.ensure_conclusion(job, Conclusion::Skipped)?;
    }
    let now = target.serving();
    ensure!(now == before, "the proposal alone changed {to} to {now:?}");

    // Then the approvals and a sync deploy it, and nothing less.
    deploy_pull_request(world, &target, pull.number, image.digest, commit)
}

/// Starts the promotion workflow and returns its pull request. One that is open from an earlier run is replaced.
///
/// # Errors
/// When the workflow fails or proposes nothing.
pub fn propose(world: &World, to: &delivery::Environment) -> Result<Pull> {
    start(world, PROMOTE, to, &[("refresh", "true")])?;
    proposal(world, "promote", to)
}

/// Starts a workflow for an environment on its branch, as a person does, and waits until it has succeeded.
///
/// # Errors
/// When the forge does not start it, or a job fails.
pub fn start(
    world: &World,
    workflow: &'static str,
    env: &delivery::Environment,
    inputs: &[(&str, &str)],
) -> Result<()> {
    let (forge, branch) = (&world.forge, env.branch.as_str());
    let tip = world.environment(env).tip(forge)?;
    let mut all = BTreeMap::from_iter(inputs.iter().copied());
    all.insert("environment", &env.name);
    forge.dispatch(workflow, branch, &all)?;
    WorkflowRun::wait(forge, &dispatch(workflow, branch), &tip, CI_LIMIT).map(drop)
}

/// The open pull request of a command to an environment.
///
/// # Errors
/// When there is none.
pub fn proposal(world: &World, command: &str, to: &delivery::Environment) -> Result<Pull> {
    let branch = format!("{command}/{to}");
    let pull = world.forge.find_open_pull(&branch, &to.branch)?;
    pull.with_context(|| format!("there is no open pull request of {branch}"))
}

/// Checks that the forge does not merge a pull request, although a person approves it.
///
/// # Errors
/// When it merges, or does not accept the approval.
pub fn ensure_refused(world: &World, number: u64) -> Result<()> {
    world.forge.review("reviewer", number)?;
    ensure!(
        world.forge.merge_pull(number).is_err(),
        "pull request {number} was merged"
    );
    Ok(())
}

/// Runs a `pipeline` command as the bot in a new clone.
///
/// # Errors
/// When it fails.
pub fn run_command(world: &World, args: &[&str]) -> Result<()> {
    let clone = world.clone("command", world.trunk())?;
    let mut pipeline = world.forge.bot_pipeline(&clone)?;
    Ok(pipeline.args(args).run_quietly()?)
}

/// Checks whether an environment is on hold.
///
/// # Errors
/// When it is not as expected, or the forge does not answer.
pub fn ensure_held(world: &World, environment: &Environment, held: bool) -> Result<()> {
    let entry = environment.entry;
    match (world.forge.values(entry, &entry.branch)?.hold()?, held) {
        (None, true) => bail!("{entry} is not on hold"),
        (Some(hold), false) => bail!("{entry} is still on hold: {hold}"),
        _ => Ok(()),
    }
}

/// A pull request of the bot whose checks have passed.
pub struct Proposal {
    /// The image that it deploys.
    pub image: Image,
    run: WorkflowRun,
}

/// Waits until the checks of the bot's pull request have passed. It must propose exactly this digest.
///
/// # Errors
/// When it is not the bot's, proposes another digest, or a check fails.
pub fn proposed(
    world: &World,
    to: &delivery::Environment,
    pull: &Pull,
    digest: &Digest,
) -> Result<Proposal> {
    let Pull { number, user, .. } = pull;
    ensure!(
        user.login == BOT,
        "pull request {number} is by {}, not by {BOT}",
        user.login
    );
    let head = &pull.head.sha;
    let image = world.forge.image(to, head)?;
    ensure!(
        image.digest == *digest,
        "the bot proposes {}, not {digest}",
        image.digest
    );
    let run = WorkflowRun::wait(&world.forge, &PULL_REQUEST, head, CI_LIMIT)?;
    Ok(Proposal { image, run })
}

/// Deploys a pull request to an environment, and checks after each step that nothing happens without the next one.
///
/// # Errors
/// When a step fails, or something happens too early.
pub fn deploy_pull_request(
    world: &World,
    environment: &Environment,
    number: u64,
    digest: Digest,
    commit: String,
) -> Result<Deployed> {
    let before = environment.serving();
    let revision = merge_approved(world, environment.entry, number)?;

    // Argo CD reports the difference and waits;
    environment.wait_compared(&revision, &SyncStatus::OutOfSync, SERVING_LIMIT)?;
    let now = environment.serving();
    ensure!(
        now == before,
        "{} changed to {now:?} without a sync",
        environment.name()
    );

    // when a user syncs, the environment serves the commit.
    ArgoCd::new(&world.kubernetes)?.sync(&environment.application_name())?;
    let expected = Deployed {
        revision,
        digest,
        commit,
    };
    environment.wait_deployed(&expected, SERVING_LIMIT)?;
    Ok(expected)
}

/// The people who approve pull requests to an environment, as many as it requires.
pub fn reviewers(to: &delivery::Environment) -> &'static [&'static str] {
    let needed = REVIEWERS.len().min(to.approvals as usize);
    &REVIEWERS[..needed]
}

/// Lets as many people approve a pull request as its environment requires, merges it and returns the merge commit. Checks
/// that not even an administrator can merge it before.
///
/// # Errors
/// When it can be merged too early, or not at all.
pub fn merge_approved(world: &World, to: &delivery::Environment, number: u64) -> Result<String> {
    let forge = &world.forge;
    for person in reviewers(to) {
        ensure!(
            forge.merge_pull(number).is_err(),
            "it could be merged before {person} had approved it"
        );
        forge.review(person, number)?;
    }
    pull_request::merge(forge, number)
}

/// Sets the status that the branches' protection requires, as a person may, so that only approvals are missing.
///
/// # Errors
/// When the forge refuses.
pub fn set_required_status(world: &World, commit: &str) -> Result<()> {
    let check = &world.delivery.protection.check;
    let status = NewStatus {
        context: &format!("{} / {} (pull_request)", check.workflow, check.job),
        state: StatusState::Success,
        description: &devkit::plain!("forged"),
    };
    Ok(world.forge.set_status(commit, &status)?)
}

/// Checks that as many pods of an environment are ready as its values say.
///
/// # Errors
/// When the number differs.
pub fn ensure_replicas(world: &World, environment: &Environment) -> Result<()> {
    let entry = environment.entry;
    let values = world.forge.values(entry, &entry.branch)?;
    let wanted = values.find("replicas");
    let wanted: usize = wanted
        .and_then(|count| count.parse().ok())
        .with_context(|| format!("{} has no number of replicas", entry.values))?;
    let ready = environment.ready_pods()?;
    ensure!(
        ready == wanted,
        "{ready} pods are ready in {entry}, not {wanted}"
    );
    Ok(())
}

/// What the image of an environment at a commit was built from, as the commit that set the image says.
///
/// # Errors
/// When no commit says so.
pub fn built_from(world: &World, env: &delivery::Environment, commit: &str) -> Result<String> {
    const TRAILER: &str = "Argocd-reference-commit-sha: ";
    let clone = world.clone("built-from", &env.branch)?;
    let grep = format!("--grep=^{TRAILER}");
    let arguments = [
        "log",
        "--max-count=1",
        "--format=%B",
        &grep,
        commit,
        "--",
        &env.values,
    ];
    let message = world.forge.git(&clone).read(&arguments)?;
    let mut lines = message.lines();
    let built = lines.find_map(|line| line.strip_prefix(TRAILER));
    let built = built.map(str::to_owned);
    built.with_context(|| format!("no commit says what {env} has at {}", short(commit)))
}

/// What Git declares for an environment at a commit of its branch.
///
/// # Errors
/// When the commit has no image, or nothing says what that was built from.
pub fn declared(world: &World, env: &delivery::Environment, revision: String) -> Result<Deployed> {
    Ok(Deployed {
        digest: world.forge.image(env, &revision)?.digest,
        commit: built_from(world, env, &revision)?,
        revision,
    })
}

/// Pushes a tag for the commit that is checked out, and returns that commit.
///
/// # Errors
/// When the forge refuses the tag.
pub fn push_tag(world: &World, clone: &Path, name: &str) -> Result<String> {
    let git = world.forge.git(clone);
    let commit = git.head()?;
    git.push("origin", &commit, &format!("refs/tags/{name}"))?;
    Ok(commit)
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
