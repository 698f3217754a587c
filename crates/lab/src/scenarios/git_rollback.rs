//! B6. dev and staging are rolled back in Git: dev by a commit of the bot, staging by an approved pull request. The hold
//! stops the next write-back and the next promotion, also one that was proposed before it, even of an image that staging
//! had. After the release, the next version follows.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use devkit::delivery;
use devkit::forge::{Conclusion, Pull};
use devkit::process::Run;
use serde_json::json;

use super::needs::Need;
use super::steps;
use super::world::World;
use crate::delivery::environment::Environment;
use crate::delivery::ship::{self, CI_LIMIT, SERVING_LIMIT};
use crate::expect::{Verdict, eventually};
use crate::forge::PERSON;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, push, wait_failed_job};
use crate::timeline::Recorder;

/// The workflow that rolls back.
const ROLLBACK: &str = "rollback.yaml";

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has the image of dev,
    if Need::Promotable.is_met(world)? {
        steps::promote(world, world.staging()?.entry)?;
    }
    let (dev, staging) = (world.dev(), world.staging()?);
    let build = Build::of(world, &dev)?;
    goes_back_by_a_commit(world, &dev)?;
    stays_after_a_build(world, &dev, &build)?;
    let promotion = refuses_an_earlier_promotion(world, &staging)?;
    is_released_by_a_commit(world, &dev, &build)?;

    goes_back_by_a_pull_request(world, &staging)?;
    stays_after_a_promotion(world, &staging, &promotion)?;
    is_released_by_a_pull_request(world, &staging)
}

/// The build of what an environment serves.
struct Build {
    commit: String,
    run: WorkflowRun,
}

impl Build {
    fn of(world: &World, environment: &Environment) -> Result<Self> {
        let entry = environment.entry;
        let commit = steps::built_from(world, entry, &environment.tip(&world.forge)?)?;
        let run = WorkflowRun::wait(&world.forge, &push(&entry.branch), &commit, CI_LIMIT)?;
        Ok(Self { commit, run })
    }

    /// Publishes the image and writes it back again.
    fn deliver(&self, world: &World) -> Result<()> {
        let conclusion = self.run.rerun_job(&world.forge, "deliver", CI_LIMIT)?;
        ensure!(
            conclusion == Some(Conclusion::Success),
            "the conclusion of deliver is {conclusion:?}"
        );
        Ok(())
    }
}

fn goes_back_by_a_commit(world: &World, dev: &Environment) -> Result<()> {
    // and dev runs a version that is not its first,
    let (_, bad) = dev.current(&world.forge)?;
    // when a person starts the rollback, then the bot commits another image and a hold, and Argo CD deploys it.
    steps::start(world, ROLLBACK, dev.entry, &[("reason", "the scenario")])?;
    let good = steps::declared(world, dev.entry, dev.tip(&world.forge)?)?;
    ensure!(
        good.digest != bad.digest,
        "{} was not rolled back",
        dev.name()
    );
    ensure_held(world, dev, true)?;
    dev.wait_deployed(&good, SERVING_LIMIT)
}

fn stays_after_a_build(world: &World, dev: &Environment, build: &Build) -> Result<()> {
    // When a build is delivered, then its job succeeds, and dev stays as it is.
    let (before, image) = (
        dev.serving(),
        world.forge.image(dev.entry, &dev.tip(&world.forge)?)?,
    );
    build.deliver(world)?;
    let now = world.forge.image(dev.entry, &dev.tip(&world.forge)?)?;
    ensure!(
        now == image,
        "the hold did not stop the write-back: {now:?}"
    );
    ensure!(
        dev.serving() == before,
        "{} changed under a hold",
        dev.name()
    );
    Ok(())
}

fn is_released_by_a_commit(world: &World, dev: &Environment, build: &Build) -> Result<()> {
    // When the hold is released and the build is delivered again, then dev gets the version.
    command(world, &["release-hold", "--env", dev.name()])?;
    ensure_held(world, dev, false)?;
    build.deliver(world)?;
    let (commit, mut recorder) = (&build.commit, Recorder::start());
    ship::follow(&world.forge, dev, commit, &mut recorder, world.progress).map(drop)
}

fn refuses_an_earlier_promotion(world: &World, staging: &Environment) -> Result<Pull> {
    // Given a promotion of the image that dev went back to, whose checks have passed,
    let (forge, to) = (&world.forge, staging.entry);
    let dev = world.dev();
    let image = forge.image(dev.entry, world.trunk())?;
    let promotion = steps::propose(world, to)?;
    steps::proposed(world, to, &promotion, &image.digest)?;
    // when staging is held, by an approved pull request,
    let hold = ["hold", "--env", staging.name(), "--by", PERSON];
    command(world, &[&hold[..], &["--reason", "the scenario"]].concat())?;
    merge(world, "hold", to)?;
    ensure_held(world, staging, true)?;
    // then the forge asks for the tip of the branch;
    let number = promotion.number;
    forge.review("reviewer", number)?;
    ensure_refused(world, number)?;
    // and with that, the checks of the promotion fail.
    let head = update(world, &promotion)?;
    let log = wait_failed_job(forge, &PULL_REQUEST, &head, "lint", CI_LIMIT)?;
    ensure!(
        log.contains("is on hold"),
        "the log does not name the hold:\n{log}"
    );
    forge.review("reviewer", number)?;
    ensure_refused(world, number)?;
    Ok(promotion)
}

fn goes_back_by_a_pull_request(world: &World, staging: &Environment) -> Result<()> {
    // When a person starts the rollback, and its pull request is approved and synced, then staging serves another version.
    let (forge, to) = (&world.forge, staging.entry);
    let (_, bad) = staging.current(forge)?;
    steps::start(world, ROLLBACK, to, &[])?;
    let pull = steps::proposal(world, "rollback", to)?;
    let head = &pull.head.sha;
    let digest = forge.image(to, head)?.digest;
    ensure!(digest != bad.digest, "the rollback proposes the same image");
    steps::proposed(world, to, &pull, &digest)?;
    let commit = steps::built_from(world, to, head)?;
    steps::deploy_pull_request(world, staging, pull.number, digest, commit)?;
    ensure_held(world, staging, true)
}

fn stays_after_a_promotion(world: &World, staging: &Environment, earlier: &Pull) -> Result<()> {
    // When a person starts a promotion, then it succeeds and proposes nothing.
    let before = world.forge.pull(earlier.number)?.head.sha;
    let refresh = [("refresh", "true")];
    steps::start(world, steps::PROMOTE, staging.entry, &refresh)?;
    let after = world.forge.pull(earlier.number)?.head.sha;
    ensure!(after == before, "a promotion was proposed under a hold");
    Ok(())
}

fn is_released_by_a_pull_request(world: &World, staging: &Environment) -> Result<()> {
    // When the hold is released by an approved pull request, then the next promotion reaches staging.
    let to = staging.entry;
    command(world, &["release-hold", "--env", &to.name])?;
    merge(world, "release-hold", to)?;
    ensure_held(world, staging, false)?;
    steps::promote(world, to).map(drop)
}

/// Runs a `pipeline` command as the bot in a new clone.
fn command(world: &World, args: &[&str]) -> Result<()> {
    let clone = world.clone("command", world.trunk())?;
    let mut pipeline = world.forge.bot_pipeline(&clone)?;
    Ok(pipeline.args(args).run_quietly()?)
}

/// Merges the pull request of a command, after its checks and the approvals.
fn merge(world: &World, command: &str, to: &delivery::Environment) -> Result<String> {
    let pull = steps::proposal(world, command, to)?;
    WorkflowRun::wait(&world.forge, &PULL_REQUEST, &pull.head.sha, CI_LIMIT)?;
    steps::merge_approved(world, to, pull.number)
}

/// Checks that the forge does not merge a pull request.
fn ensure_refused(world: &World, number: u64) -> Result<()> {
    ensure!(
        world.forge.merge_pull(number).is_err(),
        "pull request {number} was merged under a hold"
    );
    Ok(())
}

/// Merges the tip of the base branch into a pull request, as the forge's page offers, and returns its new head.
fn update(world: &World, pull: &Pull) -> Result<String> {
    let (forge, number) = (&world.forge, pull.number);
    forge.execute("POST", &format!("/pulls/{number}/update"), &json!({}))?;
    let what = format!("pull request {number} is updated");
    eventually(&what, Duration::from_secs(30), || {
        let head = forge.pull(number)?.head.sha;
        Ok(match head == pull.head.sha {
            true => Verdict::Pending("its head is the same".into()),
            false => Verdict::Met(head),
        })
    })
}

/// Checks whether an environment is on hold.
fn ensure_held(world: &World, environment: &Environment, held: bool) -> Result<()> {
    let entry = environment.entry;
    match (world.forge.values(entry, &entry.branch)?.hold()?, held) {
        (None, true) => bail!("{entry} is not on hold"),
        (Some(hold), false) => bail!("{entry} is still on hold: {hold}"),
        _ => Ok(()),
    }
}
