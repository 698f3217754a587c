//! Delivers a commit to the first environment: pushes it, lets the workflow and Argo CD deliver it, and waits until it is
//! served.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devkit::forge::{Conclusion, RepositoryEdit};
use devkit::git::short;
use devkit::process::Run;
use devkit::progress::Progress;
use jiff::Timestamp;

use super::branches;
use super::environment::Environment;
use super::record::Record;
use super::rollout::Deployed;
use crate::argocd;
use crate::cluster::api::Kubernetes;
use crate::forge::Forge;
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, push};
use crate::sandbox::layout::Layout;
use crate::timeline::Recorder;

/// The topic of the pull requests. Gitea updates an open pull request of the same topic.
const TOPIC: &str = "ship";

/// How long a workflow run may take. The requirement is 5 minutes, but a first run compiles everything, on a machine that
/// may have other work.
pub const CI_LIMIT: Duration = Duration::from_secs(45 * 60);

/// How long a sync and the roll-out after it may take. Kubernetes itself gives up after a minute.
pub const SERVING_LIMIT: Duration = Duration::from_secs(180);

/// Ships the checkout's HEAD to the first environment: directly in a new lab, later by a pull request.
///
/// # Errors
/// When any step of the delivery fails.
pub fn ship(layout: &Layout, checkout: &Path, progress: Progress) -> Result<()> {
    let forge = Forge::new(layout)?;
    let commit = forge.git(checkout).head()?;
    let kubernetes = Kubernetes::new(layout)?;
    let delivery = layout.delivery()?;
    let first = Environment::new(&kubernetes, &delivery, delivery.first());
    let last = Record::last(layout)?;
    let is_first = last.is_none();
    if last.is_some_and(|last| last.commit == commit) {
        eprintln!("✓ {} is already delivered", short(&commit));
        // A lab that was stopped starts its pods again.
        return progress.run(format!("{} answers", first.name()), || {
            first.wait_answers(SERVING_LIMIT)
        });
    }
    let branch = first.entry.branch.as_str();

    let mut recorder = Recorder::start();
    let created = branches::create(&forge, &delivery, checkout)?;
    if is_first || created {
        argocd::install::bootstrap(checkout, layout)?;
    }
    set_up_branches(&forge, checkout, branch)?;
    let landed_commit = if let Some(landed) = landed(&forge, checkout, &commit, branch)? {
        if is_first {
            recorder =
                branches::first_push_time(layout).map_or_else(Recorder::start, Recorder::since);
        } else {
            // An earlier `up` ended before the commit was served. The timeline starts here.
            eprintln!("✓ {} is already on {branch}", short(&commit));
        }
        landed
    } else {
        let title = format!("Ship {}", short(&commit));
        let merged = merge(&forge, checkout, branch, &title, &mut recorder)?;
        recorder.record("merged");
        merged
    };
    let served = follow(&forge, &first, &landed_commit, &mut recorder, progress)?;

    Record {
        commit,
        built_commit: served,
        url: String::new(),
        timeline: recorder.finish(),
    }
    .save(layout)
}

/// The commit that brought `commit` to a branch: the commit itself or the merge. `None` if it is not on the branch.
fn landed(forge: &Forge, checkout: &Path, commit: &str, branch: &str) -> Result<Option<String>> {
    let git = forge.git(checkout);
    let tip = git.fetch(&forge.url(), &format!("refs/heads/{branch}"))?;
    let line = git.read(&["rev-list", "--first-parent", &tip])?;
    let arrivals: Vec<&str> = line.lines().collect();
    if arrivals.contains(&commit) {
        return Ok(Some(commit.to_owned()));
    }
    let range = format!("{commit}..{tip}");
    let after = git.read(&["rev-list", "--ancestry-path", &range])?;
    let after: Vec<&str> = after.lines().collect();
    // The oldest commit that contains it.
    let mut oldest_first = arrivals.iter().rev();
    let arrival = oldest_first.find(|arrival| after.contains(arrival));
    Ok(arrival.map(|arrival| (*arrival).to_owned()))
}

/// Sets the default branch and the branch protection, which the branches must exist for.
fn set_up_branches(forge: &Forge, checkout: &Path, default_branch: &str) -> Result<()> {
    // Schedules and `workflow_run` use the default branch's workflows. It is where pull requests go, as on GitHub.
    forge.edit_repository(&RepositoryEdit {
        default_branch: Some(default_branch),
        ..RepositoryEdit::default()
    })?;
    // By the rules in the checkout.
    forge.pipeline(checkout)?.arg("protect").run_quietly()?;
    Ok(())
}

/// Opens a pull request for HEAD of a checkout, waits until its checks pass, merges it and returns the merge commit. An open
/// pull request of an earlier call is updated, and its run is cancelled.
///
/// # Errors
/// When a check fails, or the forge does not merge.
pub fn merge(
    forge: &Forge,
    checkout: &Path,
    base: &str,
    title: &str,
    recorder: &mut Recorder,
) -> Result<String> {
    let pull = pull_request::open(forge, checkout, base, TOPIC, title)?;
    recorder.record("pushed");
    let run = WorkflowRun::wait(forge, &PULL_REQUEST, &pull.head.sha, CI_LIMIT)?;
    recorder.record_at("CI started", run.started()?);
    recorder.record("checked");
    pull_request::merge(forge, pull.number)
}

/// Follows a commit on the first environment's branch from CI until the environment serves it. Returns the commit that the
/// image was built from: an earlier one if this commit does not affect the image.
///
/// # Errors
/// When CI, the write-back, the sync or the roll-out fails.
pub fn follow(
    forge: &Forge,
    first: &Environment,
    commit: &str,
    recorder: &mut Recorder,
    progress: Progress,
) -> Result<String> {
    let branch = first.entry.branch.as_str();
    let run = WorkflowRun::wait(forge, &push(branch), commit, CI_LIMIT)?;
    recorder.record_at("CI started", run.started()?);
    if run.conclusion("deliver")? == Some(Conclusion::Skipped) {
        return follow_sync(forge, first, commit, recorder, progress);
    }
    let mut ends = vec![("image built", run.job_ended("image")?)];
    // None ran if the pull request has tested the same tree.
    let mut tested = Vec::new();
    for job in ["lint", "unit", "integration", "security"] {
        if run.conclusion(job)? != Some(Conclusion::Skipped) {
            tested.push(run.job_ended(job)?);
        }
    }
    ends.extend(tested.into_iter().max().map(|end| ("tested", end)));
    // The jobs run in parallel, and any of them may complete first.
    ends.sort_by_key(|(_, end)| *end);
    for (step, end) in ends {
        recorder.record_at(step, end);
    }
    recorder.record_at(
        "image published",
        run.step_ended("deliver", "pipeline publish")?,
    );
    recorder.record_at("signed", run.step_ended("deliver", "pipeline sign")?);
    let (revision, written) = write_back(forge, branch, commit)?;
    recorder.record_at("written back", written);

    let digest = forge.image(first.entry, &revision)?.digest;
    if forge.image(first.entry, branch)?.digest != digest {
        bail!(
            "{} was written back, but a newer commit was written back after it, and {} runs that; to return to an earlier version, deliver a commit that reverts the newer one",
            short(commit),
            first.name()
        );
    }
    let expected = Deployed {
        revision,
        digest,
        commit: commit.to_owned(),
    };
    progress.run(
        format!("Argo CD deploys {} to {}", short(commit), first.name()),
        || first.wait_deployed(&expected, SERVING_LIMIT),
    )?;
    let serving = Timestamp::now();
    let synced = first
        .application()?
        .status
        .operation_state
        .and_then(|operation| operation.finished_at)
        .context("Argo CD does not report when it synced")?;
    recorder.record_at("synced", synced);
    recorder.record_at("serving", serving);
    Ok(commit.to_owned())
}

/// Follows a commit that does not affect the image: Argo CD applies the manifests, if they differ.
fn follow_sync(
    forge: &Forge,
    first: &Environment,
    commit: &str,
    recorder: &mut Recorder,
    progress: Progress,
) -> Result<String> {
    recorder.record("checked");
    let digest = forge.image(first.entry, commit)?.digest;
    let what = format!("Argo CD applies {} to {}", short(commit), first.name());
    let served = progress.run(what, || first.wait_synced(commit, &digest, SERVING_LIMIT))?;
    recorder.record("serving");
    Ok(served)
}

/// The commit on a branch that wrote back the image that was built from `commit`, and the time of that commit.
fn write_back(forge: &Forge, branch: &str, commit: &str) -> Result<(String, Timestamp)> {
    let trailer = format!("Argocd-reference-commit-sha: {commit}");
    let mut commits = forge.newest_commits(branch)?.into_iter();
    let Some(found) = commits.find(|candidate| candidate.message.contains(&trailer)) else {
        bail!(
            "no commit on {branch} writes back the image of {}",
            short(commit)
        );
    };
    let date = found.date.context("a commit has no date")?;
    Ok((found.sha, date.parse()?))
}
