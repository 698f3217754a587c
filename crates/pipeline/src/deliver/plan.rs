//! `cargo pipeline plan` decides which jobs of the workflow an event needs.
//!
//! A commit that changes only environment values deploys an existing image. A build for it would write back to the
//! values, and that commit would build again. Images are built only up to the branch of the first environment: all other
//! environments run the same bytes.

use crate::project::root;
use crate::workflow::{self, Event, Payload};
use anyhow::{Context, Result};
use devkit::delivery::{Delivery, Promotion};
use devkit::git::Git;

/// Decide which jobs of the workflow this event needs.
///
/// The event is what started the run of the workflow; the forge describes it in the variables GITHUB_*. Prints the jobs
/// with the reason, and sets the outputs `jobs` (a JSON list) and `environment` (where the image is deployed; empty where
/// it is not).
#[derive(clap::Args)]
pub(crate) struct Plan {}

impl Plan {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let event = Event::from_env()?;
        let payload = Payload::read()?;
        let change = Change::of(&event, &payload, &Git::new(&root), &delivery);
        let jobs = jobs(&event, &payload, &change, &delivery);
        println!("{}: {}", jobs.join(" "), change.reason);
        let environment = match jobs.contains(&DELIVER) {
            true => &delivery.first().name,
            false => "",
        };
        workflow::output("jobs", &serde_json::to_string(&jobs)?)?;
        workflow::output("environment", environment)
    }
}

/// The job that publishes an image and deploys it.
const DELIVER: &str = "deliver";

/// Where Nix keeps what it builds from.
const NIX: [&str; 4] = ["flake.nix", "flake.lock", "nix/", "nixos-vm/"];

/// The jobs that the event needs, by their names in `ci.yaml`.
fn jobs(
    event: &Event,
    payload: &Payload,
    change: &Change,
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
    add(change.code, &["security", "unit", "integration"]);
    // The environments after the first run images that exist already.
    let builds = change.code
        && event
            .branch()
            .is_none_or(|branch| delivery.is_built(branch));
    add(builds, &["image"]);
    let deploys = pushed.is_some_and(|env| env.promotion == Promotion::Build);
    add(builds && deploys, &[DELIVER]);
    let tags = pushed.is_some_and(|env| !env.image_tags(&event.sha).is_empty());
    add(tags && !deploys, &["retag"]);
    let on_github = workflow::is_github();
    add(change.code && change.nix && on_github, &["nix"]);
    add(
        change.code && on_github && !payload.is_from_fork(),
        &["sarif"],
    );
    add(pushed.is_some(), &["notify"]);
    jobs
}

/// What an event changes.
struct Change {
    /// Whether anything else than the values of environments changed.
    code: bool,
    /// Whether a file changed that only Nix reads.
    nix: bool,
    /// Why, for the log.
    reason: String,
}

impl Change {
    /// In doubt, everything changed: a needless run costs minutes, a missing one an outage.
    fn of(event: &Event, payload: &Payload, git: &Git, delivery: &Delivery) -> Self {
        Self::known(event, payload, git, delivery).unwrap_or_else(|error| Self {
            code: true,
            nix: true,
            reason: format!("{error:#}"),
        })
    }

    fn known(event: &Event, payload: &Payload, git: &Git, delivery: &Delivery) -> Result<Self> {
        let base = base(event, payload, git, &delivery.first().branch)?;
        // Without rename detection, a renamed values file counts under both names.
        let range = [
            "diff",
            "--name-only",
            "--no-renames",
            "-z",
            &base,
            &event.sha,
        ];
        let changed = git.read(&range)?;
        let files = || changed.split('\0').filter(|file| !file.is_empty());
        let since = devkit::git::short(&base);
        let code = files().find(|file| delivery.by_values(file).is_none());
        Ok(Self {
            nix: files().any(|file| NIX.iter().any(|path| file.starts_with(path))),
            reason: match code {
                Some(file) => format!("{file} changed since {since}"),
                None if changed.is_empty() => format!("nothing changed since {since}"),
                None => format!("only environment values changed since {since}"),
            },
            // People push an empty commit to trigger a run.
            code: code.is_some() || changed.is_empty(),
        })
    }
}

/// The commit to compare with.
///
/// Each push to the branch that images are built from has its own run, so it is compared with the push before. All other
/// branches are compared with the point where they left that branch: a successful run of their last commit must mean that
/// all their code was tested.
fn base(event: &Event, payload: &Payload, git: &Git, trunk: &str) -> Result<String> {
    match event.branch() {
        Some(branch) if branch == trunk => return before(event, payload, git),
        None if !event.is_pull_request() => anyhow::bail!("{} is not a branch", event.reference),
        _ => {}
    }
    let tip = git
        .commit(&format!("refs/remotes/origin/{trunk}"))
        .with_context(|| format!("this clone does not have the branch {trunk}"))?;
    git.read(&["merge-base", &tip, &event.sha])
        .with_context(|| format!("no common history with {trunk}"))
}

fn before(event: &Event, payload: &Payload, git: &Git) -> Result<String> {
    let before = payload.before.as_deref();
    let before = before
        .filter(|before| devkit::git::is_commit(before))
        .context("the event does not name the previous commit of the branch")?;
    anyhow::ensure!(before.bytes().any(|b| b != b'0'), "the branch is new");
    let before = git
        .commit(before)
        .context("this clone does not have the commit before this push")?;
    let forward = git.contains(&event.sha, &before)?;
    anyhow::ensure!(forward, "the branch was rewritten");
    Ok(before)
}
