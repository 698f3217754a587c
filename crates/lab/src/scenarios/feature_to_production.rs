//! E1–E6, R3. A developer writes an endpoint on a feature branch. It passes the checks and a review, and reaches dev,
//! staging and prod, each within its limit. No request to staging or prod fails meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use devkit::forge::{Conclusion, NewPull};
use devkit::process::Run;

use super::budget::Budget;
use super::feature::Feature;
use super::traffic::{Answers, Traffic};
use super::world::World;
use super::{deploy, production, pull_request, steps};
use crate::argocd::api::NAMESPACE;
use crate::argocd::application::HealthStatus;
use crate::cluster::kubectl::kubectl;
use crate::delivery::environment::Environment;
use crate::delivery::ship::{CI_LIMIT, SERVING_LIMIT};
use crate::forge;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun};

/// The limits that the requirements set.
const BRANCH: Duration = Duration::from_secs(60);
const CHECKS: Duration = Duration::from_secs(5 * 60);
const DEV: Duration = Duration::from_secs(8 * 60);
const STAGING: Duration = Duration::from_secs(3 * 60);
const PROD: Duration = Duration::from_secs(5 * 60);
const ALL: Duration = Duration::from_secs(25 * 60);

/// The jobs that check a change of the service.
const JOBS: [&str; 5] = ["lint", "security", "unit", "integration", "image"];

pub(super) fn run(world: &World) -> Result<()> {
    // Given every environment serves a version, and all but dev get requests,
    let environments = world.delivery.environments().iter();
    let environments: Vec<Environment> = environments.map(|env| world.environment(env)).collect();
    let feature = Feature::new(world)?;
    let mut traffic = Vec::new();
    for environment in &environments {
        feature.ensure_missing_in(environment)?;
        if environment.name() != world.dev().name() {
            traffic.push(Traffic::start(format!("{}/version", environment.url()?)));
        }
    }

    // when a developer writes an endpoint and its test,
    let mut budget = Budget::start();
    let branch = push(world, &feature)?;
    budget.end("E1 branch with a feature", BRANCH);
    // then all checks of its pull request pass, and it gets the coverage comment;
    let number = is_checked(world, &feature, &branch)?;
    budget.end("E2 checks of its pull request", CHECKS);
    // when it is reviewed and merged, then dev serves it;
    reaches_dev(world, &feature, number)?;
    budget.end("E3 merged and served in dev", DEV);
    // when it is promoted, approved and synced, then staging serves it;
    for entry in world.promoted() {
        steps::promote(world, entry)?;
        feature.ensure_answers_in(&world.environment(entry))?;
        budget.end(&format!("E4 promoted to {entry}"), STAGING);
    }
    // when it is tagged, approved and synced, then prod serves it and is healthy.
    let last = world.environment(world.delivery.last());
    production::release(world, &feature.version)?;
    last.wait_health(&HealthStatus::Healthy, SERVING_LIMIT)?;
    for environment in &environments {
        feature.ensure_answers_in(environment)?;
    }
    budget.end(
        &format!("E5 {} served in {}", feature.version, last.name()),
        PROD,
    );

    let mut answers = Answers::default();
    for traffic in traffic {
        answers = answers + traffic.all_answered()?;
    }
    eprintln!("  {answers}");
    is_audited(world)?;
    budget.finish(ALL)
}

/// Checks that the audit of prod names who approved, merged and synced.
fn is_audited(world: &World) -> Result<()> {
    let last = world.delivery.last();
    let clone = world.clone("audit", &last.branch)?;
    let applications = kubectl(["get", "applications", "-n", NAMESPACE, "-o", "json"]).read()?;
    let mut audit = world.forge.pipeline(&clone)?;
    audit.args(["audit", "--env", &last.name, "--argocd", "-"]);
    let said = audit.read_with(applications.as_bytes())?;
    let approvals = steps::reviewers(last).iter();
    let mut expected: Vec<_> = approvals.map(|name| format!("approved {name}")).collect();
    expected.extend(["merged", "synced admin", "deployed"].map(str::to_owned));
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for event in expected {
        ensure!(words.contains(&event), "the audit lacks {event:?}:\n{said}");
    }
    Ok(())
}

/// Writes the feature on a branch of its own, and returns the branch.
fn push(world: &World, feature: &Feature) -> Result<String> {
    let clone = world.clone("feature", world.trunk())?;
    let branch = feature.branch();
    let git = world.forge.git(&clone);
    feature.write(world, &clone)?;
    git.read(&["add", "--all"])?;
    let commit = world.commit(&clone, &title(feature))?;
    git.push("origin", &commit, &format!("refs/heads/{branch}"))?;
    Ok(branch)
}

fn title(feature: &Feature) -> String {
    format!("http: Answer {}", feature.path())
}

/// Opens the pull request and waits until all its checks have passed. Returns its number.
fn is_checked(world: &World, feature: &Feature, branch: &str) -> Result<u64> {
    let forge = &world.forge;
    let pull = forge.create_pull(&NewPull {
        head: branch,
        base: world.trunk(),
        title: &devkit::plain!("{}", &title(feature)),
        body: &devkit::markdown!(""),
    })?;
    let head = &pull.head.sha;
    let tags = forge.image_tags()?;
    let run = WorkflowRun::wait(forge, &PULL_REQUEST, head, CI_LIMIT)?;
    for job in JOBS {
        run.ensure_conclusion(job, Conclusion::Success)?;
    }
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    let now = forge.image_tags()?;
    ensure!(now == tags, "the pull request published an image: {now:?}");
    pull_request::comment(world, pull.number, head)?;
    Ok(pull.number)
}

/// Approves and merges the pull request, and follows it to dev.
fn reaches_dev(world: &World, feature: &Feature, number: u64) -> Result<()> {
    let forge = &world.forge;
    forge.review("reviewer", number)?;
    let tags = forge.image_tags()?;
    let merged = forge::pull_request::merge(forge, number)?;
    deploy::is_delivered(world, &merged, tags)?;
    feature.ensure_answers_in(&world.dev())
}
