//! Delivers a commit to dev: pushes it, lets the workflow and Argo CD deliver it, and waits until it is served.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devkit::process::Run;
use devkit::progress::Progress;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::environment::Environment;
use super::image_values::ImageValues;
use super::record::Delivery;
use super::rollout::Deployed;
use crate::argocd;
use crate::cluster::api::Kubernetes;
use crate::commit::short;
use crate::expect::{Verdict, eventually};
use crate::forge::api::Forge;
use crate::forge::pull_request::{self, PullRequest};
use crate::forge::runs::{DEVELOP, PULL_REQUEST, WorkflowRun};
use crate::sandbox::layout::Layout;
use crate::timeline::Recorder;

/// How long a workflow run may take. The requirement is 5 minutes, but a first run compiles everything, on a machine that
/// may have other work.
pub const CI_LIMIT: Duration = Duration::from_secs(45 * 60);

/// How long a sync and the roll-out after it may take. Kubernetes itself gives up after a minute.
pub const SERVING_LIMIT: Duration = Duration::from_secs(180);

/// Ships the checkout's HEAD to dev: directly in a new lab, later by a pull request.
///
/// # Errors
/// When any step of the delivery fails.
pub fn ship(layout: &Layout, checkout: &Path, progress: Progress) -> Result<()> {
    let forge = Forge::new(layout)?;
    let commit = forge.head(checkout)?;
    if let Some(last) = Delivery::last(layout)?
        && last.commit == commit
    {
        eprintln!("✓ {} is already shipped", short(&commit));
        return Ok(());
    }
    let kubernetes = Kubernetes::new(layout)?;
    let dev = Environment::new(&kubernetes, "dev");

    let mut recorder = Recorder::start();
    let is_new = forge.tip("develop")?.is_none();
    if is_new {
        first_push(&forge, layout, checkout, &mut recorder)?;
    }
    set_up_branches(&forge, checkout)?;
    let built_commit = if let Some(landed) = landed(&forge, checkout, &commit)? {
        if !is_new {
            // An earlier `up` ended before the commit was served. The timeline starts here.
            eprintln!("✓ {} is already on develop", short(&commit));
        }
        landed
    } else {
        let what = format!("Checking {} in a pull request", short(&commit));
        let title = format!("Ship {}", short(&commit));
        let merged = progress.run(what, || {
            merge(&forge, checkout, "develop", &title, &mut recorder)
        })?;
        recorder.record("merged");
        merged
    };
    follow(&forge, &dev, &built_commit, &mut recorder, progress)?;

    Delivery {
        commit,
        built_commit,
        url: String::new(),
        timeline: recorder.finish(),
    }
    .save(layout)
}

/// Pushes HEAD to the three branches. Branch protection is set up afterwards.
fn first_push(
    forge: &Forge,
    layout: &Layout,
    checkout: &Path,
    recorder: &mut Recorder,
) -> Result<()> {
    let push = |branch: &str| {
        forge
            .git(checkout)
            .args([
                "push",
                "--quiet",
                &Forge::url(),
                &format!("HEAD:refs/heads/{branch}"),
            ])
            .run_quietly()
    };
    // Actions are off until `develop` is pushed, the branch that is built: three runs for one commit would only compete for
    // the machine's cores.
    push("main")?;
    push("staging")?;
    // The forge accepts a push first and processes it later. Only then it looks whether Actions are on.
    eventually(
        "the forge has processed the pushes of main and staging",
        Duration::from_secs(30),
        || {
            let feed = forge.repository("GET", "/activities/feeds?limit=20", None)?;
            let seen = |branch: &str| {
                let reference = format!("refs/heads/{branch}");
                feed.as_array().is_some_and(|entries| {
                    entries.iter().any(|entry| {
                        entry["op_type"] == "commit_repo" && entry["ref_name"] == reference.as_str()
                    })
                })
            };
            Ok(if seen("main") && seen("staging") {
                Verdict::Met(())
            } else {
                Verdict::Pending(feed.to_string())
            })
        },
    )?;
    argocd::install::bootstrap(checkout, layout)?;
    forge.repository("PATCH", "", Some(&json!({"has_actions": true})))?;
    *recorder = Recorder::start();
    push("develop")?;
    recorder.record("pushed");
    Ok(())
}

/// The commit that brought `commit` to `develop`: the commit itself or the merge. `None` if it is not on `develop`.
fn landed(forge: &Forge, checkout: &Path, commit: &str) -> Result<Option<String>> {
    let git = |args: &[&str]| forge.git(checkout).args(args).read();
    git(&["fetch", "--quiet", &Forge::url(), "develop"])?;
    let line = git(&["rev-list", "--first-parent", "FETCH_HEAD"])?;
    let arrivals: Vec<&str> = line.lines().collect();
    if arrivals.contains(&commit) {
        return Ok(Some(commit.to_owned()));
    }
    let after = git(&[
        "rev-list",
        "--ancestry-path",
        &format!("{commit}..FETCH_HEAD"),
    ])?;
    let after: Vec<&str> = after.lines().collect();
    // The oldest commit that contains it.
    let mut oldest_first = arrivals.iter().rev();
    let arrival = oldest_first.find(|arrival| after.contains(arrival));
    Ok(arrival.map(|arrival| (*arrival).to_owned()))
}

/// Sets the default branch and the branch protection, which the branches must exist for.
fn set_up_branches(forge: &Forge, checkout: &Path) -> Result<()> {
    // Schedules and `workflow_run` use the default branch's workflows. It is where pull requests go, as on GitHub.
    forge.repository("PATCH", "", Some(&json!({"default_branch": "develop"})))?;
    // By the rules in the checkout.
    forge.pipeline(checkout)?.arg("protect").run_quietly()?;
    Ok(())
}

/// Opens a pull request for HEAD of a checkout, waits until its checks pass, merges it and returns the merge commit.
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
    let topic = format!("ship-{}", short(&forge.head(checkout)?));
    let PullRequest { number, commit } = pull_request::open(forge, checkout, base, &topic, title)?;
    recorder.record("pushed");
    let run = WorkflowRun::wait(forge, PULL_REQUEST, &commit, CI_LIMIT)?;
    recorder.record_at("CI started", run.started()?);
    recorder.record("checked");
    pull_request::merge(forge, base, number)
}

/// Follows a commit on `develop` from CI until dev serves it.
///
/// # Errors
/// When CI, the write-back, the sync or the roll-out fails.
pub fn follow(
    forge: &Forge,
    dev: &Environment,
    commit: &str,
    recorder: &mut Recorder,
    progress: Progress,
) -> Result<()> {
    let run = progress.run(
        format!("CI builds, publishes and writes back {}", short(commit)),
        || WorkflowRun::wait(forge, DEVELOP, commit, CI_LIMIT),
    )?;
    let ended = |job: &str| run.job_ended(job);
    recorder.record_at("CI started", run.started()?);
    // The jobs run in parallel, and any of them may complete first.
    let mut tested = run.started()?;
    for job in ["lint", "unit", "integration", "security"] {
        tested = tested.max(ended(job)?);
    }
    let mut ends = [("tested", tested), ("image built", ended("image")?)];
    ends.sort_by_key(|(_, end)| *end);
    for (step, end) in ends {
        recorder.record_at(step, end);
    }
    recorder.record_at(
        "image published",
        run.step_ended("deliver", "pipeline publish")?,
    );
    recorder.record_at("signed", run.step_ended("deliver", "pipeline sign")?);
    let (revision, written) = write_back(forge, commit)?;
    recorder.record_at("written back", written);

    let digest = ImageValues::read(forge, dev.name, &revision)?.digest;
    if ImageValues::read(forge, dev.name, "develop")?.digest != digest {
        bail!(
            "{} was written back, but a newer commit was written back after it, and {} runs that; to return to an earlier version, ship a commit that reverts the newer one",
            short(commit),
            dev.name
        );
    }
    let expected = Deployed {
        revision,
        digest,
        commit: commit.to_owned(),
    };
    progress.run(
        format!("Argo CD deploys {} to {}", short(commit), dev.name),
        || dev.wait_deployed(&expected, SERVING_LIMIT),
    )?;
    let serving = Timestamp::now();
    let synced = dev
        .application()?
        .status
        .operation_state
        .and_then(|operation| operation.finished_at)
        .context("Argo CD does not report when it synced")?;
    recorder.record_at("synced", synced);
    recorder.record_at("serving", serving);
    Ok(())
}

/// The commit on `develop` that wrote back the image that was built from `commit`, and the time of that commit.
fn write_back(forge: &Forge, commit: &str) -> Result<(String, Timestamp)> {
    let trailer = format!("Argocd-reference-commit-sha: {commit}");
    let commits = forge.repository(
        "GET",
        "/commits?sha=develop&limit=20&stat=false&files=false",
        None,
    )?;
    let found = commits.as_array().into_iter().flatten().find(|candidate| {
        candidate["commit"]["message"]
            .as_str()
            .is_some_and(|message| message.contains(&trailer))
    });
    let Some(found) = found else {
        bail!(
            "no commit on develop writes back the image of {}",
            short(commit)
        );
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let sha = text(&found["sha"]).context("a commit has no sha")?;
    let time = text(&found["commit"]["committer"]["date"]).context("a commit has no date")?;
    Ok((sha, time.parse()?))
}
