//! Runs of the forge's workflows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::environment::short;
use crate::expect::{Verdict, eventually};
use crate::forge::Forge;

/// What a run answers.
#[derive(Clone, Copy)]
pub struct Cause<'a> {
    /// The file of the workflow.
    workflow: &'static str,
    event: &'static str,
    /// Where the name of what was pushed stands, and its name: others may hold the same commit.
    pushed: Option<(&'static str, &'a str)>,
}

/// A pull request that was opened or renewed.
pub const PULL_REQUEST: Cause<'static> = Cause {
    workflow: "ci.yaml",
    event: "pull_request",
    pushed: None,
};

/// A push to `develop`.
pub const DEVELOP: Cause<'static> = branch("develop");

/// A push to a branch.
pub const fn branch(name: &str) -> Cause<'_> {
    Cause {
        workflow: "ci.yaml",
        event: "push",
        pushed: Some(("refs/heads/", name)),
    }
}

/// A push of a version tag.
pub const fn release(tag: &str) -> Cause<'_> {
    Cause {
        workflow: "release.yaml",
        event: "push",
        pushed: Some(("refs/tags/", tag)),
    }
}

/// Somebody asked for a workflow on `develop`.
pub const fn dispatch(workflow: &'static str) -> Cause<'static> {
    Cause {
        workflow,
        event: "workflow_dispatch",
        pushed: Some(("refs/heads/", "develop")),
    }
}

impl Cause<'_> {
    fn is_of(self, run: &Value) -> bool {
        // `ci.yaml@refs/heads/develop`; `head_branch` is only there for branches.
        let path = run["path"].as_str().unwrap_or_default();
        let (workflow, reference) = path.split_once('@').unwrap_or((path, ""));
        let is_pushed = |(place, name)| reference.strip_prefix(place) == Some(name);
        workflow == self.workflow
            && renewed(run["event"].as_str().unwrap_or_default()) == self.event
            && self.pushed.is_none_or(is_pushed)
    }
}

/// A workflow run that has finished well.
pub struct Run {
    jobs: Vec<Value>,
}

impl Run {
    /// Waits for the run that something caused at a commit, and for its end.
    ///
    /// # Errors
    /// When a job fails, with its name and the end of its log; or when there is no end in time.
    pub fn wait(forge: &Forge, cause: Cause, commit: &str, limit: Duration) -> Result<Self> {
        let what = format!("CI for the {} of {}", cause.event, short(commit));
        let judge = |run: &Value, jobs: &[Value]| {
            if let Some(failed) = jobs.iter().find(|job| job["conclusion"] == "failure") {
                return Verdict::Failed(explain(forge, failed));
            }
            match (run["status"].as_str(), run["conclusion"].as_str()) {
                (Some("completed"), Some("success")) => Verdict::Met(jobs.to_vec()),
                // By a newer one for the same commit: a pull request whose branch was just pushed is often opened and
                // renewed at once.
                (Some("completed"), Some("cancelled")) => {
                    Verdict::Pending("the run was cancelled, and no other has started".into())
                }
                (Some("completed"), conclusion) => {
                    Verdict::Failed(format!("the run ended as {conclusion:?}"))
                }
                (status, _) => Verdict::Pending(format!("the run is {status:?}")),
            }
        };
        let jobs = Self::watch(forge, cause, commit, &what, limit, judge)?;
        Ok(Self { jobs })
    }

    /// Waits until the run has ended, however it did.
    ///
    /// # Errors
    /// When there is no end in time.
    pub fn ended(forge: &Forge, cause: Cause, commit: &str, limit: Duration) -> Result<Self> {
        let what = format!("the run for the {} of {} ends", cause.event, short(commit));
        let judge = |run: &Value, jobs: &[Value]| match run["status"].as_str() {
            Some("completed") => Verdict::Met(jobs.to_vec()),
            status => Verdict::Pending(format!("the run is {status:?}")),
        };
        let jobs = Self::watch(forge, cause, commit, &what, limit, judge)?;
        Ok(Self { jobs })
    }

    /// Waits until a job of the run fails, and returns its log. What becomes of the other jobs doesn't matter.
    ///
    /// # Errors
    /// When the job ends in another way, or not in time.
    pub fn wait_red(
        forge: &Forge,
        cause: Cause,
        commit: &str,
        job: &str,
        limit: Duration,
    ) -> Result<String> {
        let what = format!("job {job} fails for {}", short(commit));
        let judge = |run: &Value, jobs: &[Value]| {
            let ours = || jobs.iter().filter(|candidate| is(candidate, job));
            if let Some(red) = ours().find(|job| job["conclusion"] == "failure") {
                return Verdict::Met(log(forge, red));
            }
            let states = ours().map(|job| format!("{} {}", job["status"], job["conclusion"]));
            let states = states.collect::<Vec<_>>().join(", ");
            match run["conclusion"].as_str() {
                None | Some("") => Verdict::Pending(states),
                Some(conclusion) => Verdict::Failed(format!(
                    "the run ended as {conclusion}, and the job as {states}"
                )),
            }
        };
        Self::watch(forge, cause, commit, &what, limit, judge)
    }

    /// Looks at the run and its jobs until there is a verdict.
    fn watch<T>(
        forge: &Forge,
        cause: Cause,
        commit: &str,
        what: &str,
        limit: Duration,
        judge: impl Fn(&Value, &[Value]) -> Verdict<T>,
    ) -> Result<T> {
        eventually(what, limit, || {
            let Some(run) = Self::find(forge, cause, commit)? else {
                return Ok(Verdict::Pending("no run has started".into()));
            };
            Ok(judge(&run, &jobs(forge, &run)?))
        })
    }

    /// The run that something caused at a commit, where there is one.
    ///
    /// # Errors
    /// When the forge can't be asked.
    pub fn find(forge: &Forge, cause: Cause, commit: &str) -> Result<Option<Value>> {
        let runs = forge.repository(
            "GET",
            &format!("/actions/runs?head_sha={commit}&limit=50"),
            None,
        )?;
        Ok(runs["workflow_runs"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|run| run["head_sha"] == commit && cause.is_of(run))
            .cloned())
    }

    /// When the first job started.
    ///
    /// # Errors
    /// When no job says so.
    pub fn started(&self) -> Result<Timestamp> {
        self.jobs
            .iter()
            .filter_map(|job| time(&job["started_at"]))
            .min()
            .context("no job says when it started")
    }

    /// When a job ended; of a matrix, the last of its jobs.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn job_ended(&self, name: &str) -> Result<Timestamp> {
        self.jobs
            .iter()
            .filter(|job| is(job, name))
            .filter_map(|job| time(&job["completed_at"]))
            .max()
            .with_context(|| format!("no job {name} says when it ended"))
    }

    /// When a step of a job ended, by a part of its name.
    ///
    /// # Errors
    /// When there is no such step.
    pub fn step_ended(&self, job: &str, part: &str) -> Result<Timestamp> {
        self.job(job)?["steps"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|step| {
                step["name"]
                    .as_str()
                    .is_some_and(|name| name.contains(part))
            })
            .and_then(|step| time(&step["completed_at"]))
            .with_context(|| format!("job {job} has no finished step {part:?}"))
    }

    /// That a job ended in a way: `success`, `failure`, `skipped`.
    ///
    /// # Errors
    /// When it ended otherwise, or there is no such job.
    pub fn ensure(&self, job: &str, conclusion: &str) -> Result<()> {
        let found = self.job(job)?["conclusion"].as_str().unwrap_or_default();
        ensure!(
            found == conclusion,
            "{job} ended as {found:?}, not {conclusion:?}"
        );
        Ok(())
    }

    fn job(&self, name: &str) -> Result<&Value> {
        self.jobs
            .iter()
            .find(|job| is(job, name))
            .with_context(|| format!("the run has no job {name}"))
    }
}

/// The event by the name that workflows know: a renewed pull request is one of its own only to the forge.
fn renewed(event: &str) -> &str {
    event.strip_suffix("_sync").unwrap_or(event)
}

/// Whether a job has a name, or is of the matrix of that name: `integration (sqlite)`.
fn is(job: &Value, name: &str) -> bool {
    job["name"]
        .as_str()
        .is_some_and(|found| found.split(" (").next() == Some(name))
}

fn jobs(forge: &Forge, run: &Value) -> Result<Vec<Value>> {
    let id = run["id"].as_i64().context("a run has no id")?;
    let jobs = forge.repository("GET", &format!("/actions/runs/{id}/jobs"), None)?;
    Ok(jobs["jobs"].as_array().cloned().unwrap_or_default())
}

fn log(forge: &Forge, job: &Value) -> String {
    let log = job["id"].as_i64().and_then(|id| {
        forge
            .repository("GET", &format!("/actions/jobs/{id}/logs"), None)
            .ok()
    });
    let log = log.as_ref().and_then(Value::as_str);
    log.unwrap_or("(no log)").to_owned()
}

fn explain(forge: &Forge, job: &Value) -> String {
    let name = job["name"].as_str().unwrap_or("?");
    let log = log(forge, job);
    let lines: Vec<&str> = log.lines().collect();
    format!(
        "job {name} failed:\n{}",
        lines[lines.len().saturating_sub(40)..].join("\n")
    )
}

fn time(value: &Value) -> Option<Timestamp> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    // The forge writes "not yet" as the year 1 or 1970.
    (time.as_second() > 86_400).then_some(time)
}
