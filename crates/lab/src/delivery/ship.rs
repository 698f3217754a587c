//! A commit's way through the pipeline: pushed here, carried by the workflow and Argo CD, seen serving.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::argocd;
use crate::cluster::Kubernetes;
use crate::command::Run as _;
use crate::delivery::environment::{Deployed, Environment, ImageValues, short};
use crate::expect::{Verdict, eventually};
use crate::forge::Forge;
use crate::forge::runs::{DEVELOP, PULL_REQUEST, Run};
use crate::progress::Progress;
use crate::sandbox::layout::Layout;
use crate::timeline::{Clock, Journey};

/// The user's bound on a run of the pipeline is 5 minutes; a first run compiles everything, on a machine that may have
/// other work.
pub const CI_LIMIT: Duration = Duration::from_secs(45 * 60);

/// For a sync and the roll-out after it; Kubernetes gives up after a minute.
pub const SERVING_LIMIT: Duration = Duration::from_secs(180);

/// Ships the checkout's HEAD to dev: on a fresh lab as it is, later by a pull request.
///
/// # Errors
/// When any hop fails; with the reason.
pub fn ship(layout: &Layout, checkout: &Path, progress: Progress) -> Result<Journey> {
    let forge = Forge::new(layout)?;
    let commit = forge.head(checkout)?;
    let saved = layout.state("journey.json");
    if let Ok(text) = std::fs::read_to_string(&saved) {
        let journey: Journey = serde_json::from_str(&text)?;
        if journey.commit == commit {
            eprintln!("✓ {} is shipped already", short(&commit));
            return Ok(journey);
        }
    }
    let kubernetes = Kubernetes::new(layout)?;
    let dev = Environment {
        kubernetes: &kubernetes,
        name: "dev",
    };

    let mut clock = Clock::start();
    let fresh = forge.tip("develop")?.is_none();
    if fresh {
        first_push(&forge, layout, checkout, &mut clock)?;
    }
    settle(&forge, checkout)?;
    let built_commit = if let Some(landed) = landed(&forge, checkout, &commit)? {
        if !fresh {
            // An earlier `up` ended before it served; its hops count from here.
            eprintln!("✓ {} is on develop already", short(&commit));
        }
        landed
    } else {
        let what = format!("Checking {} in a pull request", short(&commit));
        let title = format!("Ship {}", short(&commit));
        let merged = progress.run(what, || {
            merge(&forge, checkout, "develop", &title, &mut clock)
        })?;
        clock.reached("merged");
        merged
    };
    follow(&forge, &dev, &built_commit, &mut clock, progress)?;

    let journey = Journey {
        commit,
        built_commit,
        url: String::new(),
        hops: clock.hops(),
    };
    std::fs::write(&saved, serde_json::to_vec_pretty(&journey)?)?;
    Ok(journey)
}

/// Pushes HEAD to the three branches. Protection comes after: there is nothing to protect yet.
fn first_push(forge: &Forge, layout: &Layout, checkout: &Path, clock: &mut Clock) -> Result<()> {
    let push = |branch: &str| {
        forge
            .git(checkout)
            .args([
                "push",
                "--quiet",
                &Forge::url(),
                &format!("HEAD:refs/heads/{branch}"),
            ])
            .run()
    };
    // Actions are off until the branch that builds is pushed: three runs of one commit would only
    // share two cores.
    push("main")?;
    push("staging")?;
    // The forge takes pushes in and looks at them afterwards; only then it knows of Actions or not.
    eventually(
        "the forge has seen both branches",
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
    argocd::bootstrap(checkout, layout)?;
    forge.repository("PATCH", "", Some(&json!({"has_actions": true})))?;
    *clock = Clock::start();
    push("develop")?;
    clock.reached("pushed");
    Ok(())
}

/// The commit that brought a commit to `develop`: itself, or the merge; none where it isn't there.
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
    // The oldest of those that have it.
    let mut oldest_first = arrivals.iter().rev();
    let arrival = oldest_first.find(|arrival| after.contains(arrival));
    Ok(arrival.map(|arrival| (*arrival).to_owned()))
}

/// What can only be said of branches that are there; what is so already stays.
fn settle(forge: &Forge, checkout: &Path) -> Result<()> {
    // What answers schedules and other runs is the default branch's: where pull requests go, as on GitHub.
    forge.repository("PATCH", "", Some(&json!({"default_branch": "develop"})))?;
    // By the checkout's rules.
    forge.pipeline(checkout)?.arg("protect").run()
}

/// A pull request as it was pushed.
pub struct Proposal {
    /// Its number on the forge.
    pub number: i64,
    /// The commit at its head.
    pub commit: String,
}

/// Opens a pull request for HEAD of a checkout, or renews the one of the same topic.
///
/// Gitea makes it from a reference alone (AGit), with the rights of a fork's: the commit is checked once, not once as a
/// branch and once as a pull request.
///
/// # Errors
/// When the forge refuses.
pub fn propose(
    forge: &Forge,
    checkout: &Path,
    base: &str,
    topic: &str,
    title: &str,
) -> Result<Proposal> {
    let commit = forge.head(checkout)?;
    let options = [
        format!("topic={topic}"),
        format!("title={title}"),
        "force-push=true".to_owned(),
    ];
    forge
        .git(checkout)
        .args(["push", "--quiet", &Forge::url()])
        .arg(format!("HEAD:refs/for/{base}"))
        .args(options.iter().flat_map(|option| ["-o", option]))
        .run()?;
    let pulls = forge.repository(
        "GET",
        &format!("/pulls?state=open&base_branch={base}&limit=50"),
        None,
    )?;
    let number = pulls
        .as_array()
        .into_iter()
        .flatten()
        .find(|pull| pull["head"]["sha"] == commit.as_str())
        .and_then(|pull| pull["number"].as_i64())
        .with_context(|| format!("the push of {} opened no pull request", short(&commit)))?;
    Ok(Proposal { number, commit })
}

/// Proposes HEAD of a checkout, waits until its checks pass, merges it, and returns the merge commit.
///
/// # Errors
/// When a check fails or the forge does not merge.
pub fn merge(
    forge: &Forge,
    checkout: &Path,
    base: &str,
    title: &str,
    clock: &mut Clock,
) -> Result<String> {
    let topic = format!("ship-{}", short(&forge.head(checkout)?));
    let Proposal { number, commit } = propose(forge, checkout, base, &topic, title)?;
    clock.reached("pushed");
    let run = Run::wait(forge, PULL_REQUEST, &commit, CI_LIMIT)?;
    clock.reached_at("CI started", run.started()?);
    clock.reached("checked");
    accept(forge, base, number)
}

/// Merges a pull request as soon as the forge lets it be merged, and returns the merge commit.
///
/// # Errors
/// When the forge goes on refusing; with what it said.
pub fn accept(forge: &Forge, base: &str, number: i64) -> Result<String> {
    eventually(
        &format!("pull request {number} is merged"),
        Duration::from_secs(60),
        || {
            let answer = forge.repository(
                "POST",
                &format!("/pulls/{number}/merge"),
                Some(&json!({"Do": "merge"})),
            );
            let pull = forge.repository("GET", &format!("/pulls/{number}"), None)?;
            if let Some(commit) = pull["merge_commit_sha"]
                .as_str()
                .filter(|_| pull["merged"] == true)
            {
                return Ok(Verdict::Met(commit.to_owned()));
            }
            if pull["mergeable"] == false {
                return Ok(Verdict::Pending(format!(
                    "it conflicts with {base}, or is still looked at: {:?}",
                    answer.err()
                )));
            }
            Ok(Verdict::Pending(format!("{:?}", answer.err())))
        },
    )
}

/// Follows a commit on `develop` from CI to serving in dev.
///
/// # Errors
/// When CI, the write-back, the sync or the roll-out fails.
pub fn follow(
    forge: &Forge,
    dev: &Environment,
    commit: &str,
    clock: &mut Clock,
    progress: Progress,
) -> Result<()> {
    let run = progress.run(
        format!("CI builds, publishes and writes back {}", short(commit)),
        || Run::wait(forge, DEVELOP, commit, CI_LIMIT),
    )?;
    let ended = |job: &str| run.job_ended(job);
    clock.reached_at("CI started", run.started()?);
    // They run beside each other, and either may end first.
    let mut tested = run.started()?;
    for job in ["lint", "unit", "integration", "security"] {
        tested = tested.max(ended(job)?);
    }
    let mut ends = [("tested", tested), ("image built", ended("image")?)];
    ends.sort_by_key(|(_, end)| *end);
    for (hop, end) in ends {
        clock.reached_at(hop, end);
    }
    clock.reached_at(
        "image published",
        run.step_ended("deliver", "pipeline publish")?,
    );
    clock.reached_at("signed", run.step_ended("deliver", "pipeline sign")?);
    let (revision, written) = write_back(forge, commit)?;
    clock.reached_at("written back", written);

    let digest = ImageValues::read(forge, dev.name, &revision)?.digest;
    if ImageValues::read(forge, dev.name, "develop")?.digest != digest {
        bail!(
            "{} was written back, and a newer commit since: {} runs that; to go back, ship a commit that reverts it",
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
    let synced = dev.application()?["status"]["operationState"]["finishedAt"]
        .as_str()
        .and_then(|time| time.parse().ok())
        .context("Argo CD does not say when it synced")?;
    clock.reached_at("synced", synced);
    clock.reached_at("serving", serving);
    Ok(())
}

/// The commit on `develop` that wrote back what was built from `commit`, and its time.
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
        bail!("no commit on develop writes back {}", short(commit));
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let sha = text(&found["sha"]).context("a commit has no sha")?;
    let time = text(&found["commit"]["committer"]["date"]).context("a commit has no date")?;
    Ok((sha, time.parse()?))
}
