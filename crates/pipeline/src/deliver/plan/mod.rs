//! `cargo pipeline plan` decides which jobs of the workflow an event needs.
//!
//! A commit that changes only environment values deploys an existing image. A build for it would write back to the
//! values, and that commit would build again. Images are built only up to the branch of the first environment: all other
//! environments run the same bytes. A change needs only the jobs that it can affect, a tree is tested once, and a commit of
//! an open pull request is checked by the run of the pull request.

mod affected;
mod change;
mod files;
mod missed;
mod pull;
mod tested;

use crate::project::{metadata, root};
use crate::workflow::{self, Event, Payload};
use affected::{Affected, Packages};
use anyhow::Result;
use change::Change;
pub(super) use change::before;
use devkit::delivery::{Delivery, Platform, Promotion};
use devkit::git::Git;
use tested::Tested;

/// Decide which jobs of the workflow this event needs.
///
/// The event is what started the run of the workflow; the forge describes it in the variables GITHUB_*. Prints the jobs
/// with the reason, and sets the outputs `jobs` (a JSON list), `packages` (whose coverage to measure, separated by spaces),
/// `environment` (where the image is deployed; empty where it is not) and `url` (of that environment, if delivery.toml
/// names it).
#[derive(clap::Args)]
pub(crate) struct Plan {}

impl Plan {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let event = Event::from_env()?;
        let payload = Payload::read()?;
        let git = Git::new(&root);
        let packages = Packages::new(&metadata(&root)?)?;
        let change = Change::of(&event, &payload, &git, &delivery, &packages);
        let mut jobs = jobs(&event, &payload, change.affected.as_ref(), &delivery);
        let mut reason = change.reason;
        match pull::checked_elsewhere(&event, &delivery) {
            Ok(None) => {}
            Ok(Some(run)) => {
                jobs.clear();
                reason = run;
            }
            // Then it is checked here.
            Err(error) => reason = format!("{reason}; no pull request was found: {error:#}"),
        }
        if event.name == "push" && !jobs.is_empty() && !change.has_missed {
            match Tested::find(&event, &payload, &git, &delivery) {
                Ok(None) => {}
                Ok(Some(tested)) => {
                    jobs.retain(|job| !tested.has(job));
                    reason = format!("{reason}; {}", tested.reason);
                }
                // Then it is tested here.
                Err(error) => reason = format!("{reason}; no earlier run was found: {error:#}"),
            }
        }
        match jobs.as_slice() {
            [] => println!("no jobs: {reason}"),
            jobs => println!("{}: {reason}", jobs.join(" ")),
        }
        let environment = jobs.contains(&DELIVER).then(|| delivery.first());
        let affected = change.affected.filter(|_| !jobs.is_empty());
        let packages = affected.map_or_else(Vec::new, |affected| {
            affected.tests.into_iter().collect::<Vec<_>>()
        });
        workflow::output("jobs", &serde_json::to_string(&jobs)?)?;
        workflow::output("packages", &packages.join(" "))?;
        let name = environment.map_or("", |env| &env.name);
        workflow::output("environment", name)?;
        let url = environment.and_then(|env| env.url.as_deref());
        workflow::output("url", url.unwrap_or_default())
    }
}

/// The job that publishes an image and deploys it.
const DELIVER: &str = "deliver";

/// The jobs that the event needs, by their names in `ci.yaml`.
fn jobs(
    event: &Event,
    payload: &Payload,
    affected: Option<&Affected>,
    delivery: &Delivery,
) -> Vec<&'static str> {
    let environment = event.branch().and_then(|branch| delivery.by_branch(branch));
    let pushed = environment.filter(|_| event.name == "push");
    let mut jobs = vec!["lint"];
    let mut add = |needed: bool, names: &[&'static str]| {
        if needed {
            jobs.extend(names);
        }
    };
    let code = affected.is_some();
    add(code, &["security", "unit"]);
    add(affected.is_some_and(|it| it.service), &["integration"]);
    // The environments after the first run images that exist already.
    let builds = affected.is_some_and(|it| it.image)
        && event
            .branch()
            .is_none_or(|branch| delivery.is_built(branch));
    add(builds, &["image"]);
    let arm64 = workflow::platforms(delivery).contains(&Platform::Arm64);
    add(builds && arm64, &["image-arm64"]);
    let deploys = pushed.is_some_and(|env| env.promotion == Promotion::Build);
    add(builds && deploys, &[DELIVER]);
    let tags = pushed.is_some_and(|env| !env.image_tags(&event.sha).is_empty());
    add(tags && !deploys, &["retag"]);
    let on_github = workflow::is_github();
    add(affected.is_some_and(|it| it.nix) && on_github, &["nix"]);
    add(code && on_github && !payload.is_from_fork(), &["sarif"]);
    add(pushed.is_some(), &["notify"]);
    jobs
}
