//! B6. staging is rolled back in Git by an approved pull request, which puts it on hold. A hold stops each promotion: a new
//! one, one that was proposed before the hold, and one of an image that staging had. After the release, the next promotion
//! reaches staging.

use std::time::Duration;

use anyhow::{Result, ensure};
use devkit::delivery;
use devkit::forge::Pull;
use serde_json::json;

use super::needs::Need;
use super::steps::{self, ensure_held, ensure_refused, run_command};
use super::world::World;
use crate::delivery::environment::Environment;
use crate::delivery::ship::CI_LIMIT;
use crate::expect::{Verdict, eventually};
use crate::forge::PERSON;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, wait_failed_job};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has the image of dev,
    let staging = world.staging()?;
    if Need::Promotable.is_met(world)? {
        steps::promote(world, staging.entry)?;
    }
    goes_back_by_a_pull_request(world, &staging)?;
    gets_no_promotion(world, &staging)?;
    is_released(world, &staging)?;
    refuses_an_earlier_promotion(world, &staging)?;
    is_released(world, &staging)?;
    // Then the next promotion reaches staging.
    steps::promote(world, staging.entry).map(drop)
}

fn goes_back_by_a_pull_request(world: &World, staging: &Environment) -> Result<()> {
    // When a person starts the rollback, and its pull request is approved and synced, then staging serves another version.
    let (forge, to) = (&world.forge, staging.entry);
    let (_, bad) = staging.current(forge)?;
    steps::start(world, steps::ROLLBACK, to, &[])?;
    let pull = steps::proposal(world, "rollback", to)?;
    let head = &pull.head.sha;
    let digest = forge.image(to, head)?.digest;
    ensure!(digest != bad.digest, "the rollback proposes the same image");
    steps::proposed(world, to, &pull, &digest)?;
    let commit = steps::built_from(world, to, head)?;
    steps::deploy_pull_request(world, staging, pull.number, digest, commit)?;
    ensure_held(world, staging, true)
}

fn gets_no_promotion(world: &World, staging: &Environment) -> Result<()> {
    // When a person starts a promotion, then it succeeds and proposes nothing.
    let to = staging.entry;
    let proposed = || {
        let pull = steps::proposal(world, "promote", to).ok();
        pull.map(|pull| pull.head.sha)
    };
    let before = proposed();
    steps::start(world, steps::PROMOTE, to, &[("refresh", "true")])?;
    ensure!(
        proposed() == before,
        "a promotion was proposed under a hold"
    );
    Ok(())
}

fn is_released(world: &World, staging: &Environment) -> Result<()> {
    // When a person releases the hold by an approved pull request, then staging is not on hold.
    run_command(world, &["release-hold", "--env", staging.name()])?;
    merge(world, "release-hold", staging.entry)?;
    ensure_held(world, staging, false)
}

fn refuses_an_earlier_promotion(world: &World, staging: &Environment) -> Result<()> {
    // Given a promotion of the image that staging had before, whose checks have passed,
    let (forge, to) = (&world.forge, staging.entry);
    let dev = world.dev();
    let image = forge.image(dev.entry, world.trunk())?;
    let promotion = steps::propose(world, to)?;
    steps::proposed(world, to, &promotion, &image.digest)?;
    // when staging is held, by an approved pull request,
    let hold = ["hold", "--env", staging.name(), "--by", PERSON];
    run_command(world, &[&hold[..], &["--reason", "the scenario"]].concat())?;
    merge(world, "hold", to)?;
    ensure_held(world, staging, true)?;
    // then the forge asks for the tip of the branch;
    ensure_refused(world, promotion.number)?;
    // and with that, the checks of the promotion fail.
    let head = update(world, &promotion)?;
    let log = wait_failed_job(forge, &PULL_REQUEST, &head, "lint", CI_LIMIT)?;
    ensure!(
        log.contains("is on hold"),
        "the log does not name the hold:\n{log}"
    );
    ensure_refused(world, promotion.number)
}

/// Merges the pull request of a command, after its checks and the approvals.
fn merge(world: &World, command: &str, to: &delivery::Environment) -> Result<String> {
    let pull = steps::proposal(world, command, to)?;
    WorkflowRun::wait(&world.forge, &PULL_REQUEST, &pull.head.sha, CI_LIMIT)?;
    steps::merge_approved(world, to, pull.number)
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
