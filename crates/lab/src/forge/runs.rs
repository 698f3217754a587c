//! Runs of the forge's workflows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::api::Forge;
use crate::commit::short;
use crate::expect::{Verdict, eventually};

/// What a run was triggered by.
#[derive(Clone, Copy)]
pub struct Trigger<'a> {
    /// The file of the workflow.
    workflow: &'static str,
    event: &'static str,
    /// The prefix and the name of the Git reference that was pushed: another may have the same commit.
    pushed: Option<(&'static str, &'a str)>,
}

/// A pull request that was opened or updated.
pub const PULL_REQUEST: Trigger<'static> = Trigger {
    workflow: "ci.yaml",
    event: "pull_request",
    pushed: None,
};

/// A push to `develop`.
pub const DEVELOP: Trigger<'static> = branch("develop");

/// A push to a branch.
pub const fn branch(name: &str) -> Trigger<'_> {
    Trigger {
        workflow: "ci.yaml",
        event: "push",
        pushed: Some(("refs/heads/", name)),
    }
}

/// A push of a version tag.
pub const fn release(tag: &str) -> Trigger<'_> {
    Trigger {
        workflow: "release.yaml",
        event: "push",
        pushed: Some(("refs/tags/", tag)),
    }
}

/// A manual start of a workflow on `develop`.
pub const fn dispatch(workflow: &'static str) -> Trigger<'static> {
    Trigger {
        workflow,
        event: "workflow_dispatch",
        pushed: Some(("refs/heads/", "develop")),
    }
}

impl Trigger<'_> {
    fn matches(self, run: &Value) -> bool {
        // For example `ci.yaml@refs/heads/develop`. Runs for tags have no `head_branch`.
        let path = run["path"].as_str().unwrap_or_default();
        let (workflow, reference) = path.split_once('@').unwrap_or((path, ""));
        let is_pushed = |(prefix, name)| reference.strip_prefix(prefix) == Some(name);
        workflow == self.workflow
            && event_name(run["event"].as_str().unwrap_or_default()) == self.event
            && self.pushed.is_none_or(is_pushed)
    }
}

/// A workflow run that has completed.
pub struct WorkflowRun {
    jobs: Vec<Value>,
}

impl WorkflowRun {
    /// Waits until a run for a commit has succeeded.
    ///
    /// # Errors
    /// When a job fails (the error shows its name and the end of its log), or the run does not complete in time.
    pub fn wait(forge: &Forge, trigger: Trigger, commit: &str, limit: Duration) -> Result<Self> {
        let what = format!("CI for the {} of {}", trigger.event, short(commit));
        let judge = |run: &Value, jobs: &[Value]| {
            if let Some(failed) = jobs.iter().find(|job| job["conclusion"] == "failure") {
                return Verdict::Failed(explain(forge, failed));
            }
            match (run["status"].as_str(), run["conclusion"].as_str()) {
                (Some("completed"), Some("success")) => Verdict::Met(jobs.to_vec()),
                // Cancelled by a newer run for the same commit: a pull request whose branch was just pushed is often
                // opened and updated at the same time.
                (Some("completed"), Some("cancelled")) => {
                    Verdict::Pending("the run was cancelled, and no other has started".into())
                }
                (Some("completed"), conclusion) => {
                    Verdict::Failed(format!("the run's conclusion is {conclusion:?}"))
                }
                (status, _) => Verdict::Pending(format!("the run is {status:?}")),
            }
        };
        let jobs = Self::watch(forge, trigger, commit, &what, limit, judge)?;
        Ok(Self { jobs })
    }

    /// Waits until a run for a commit has completed, with any conclusion.
    ///
    /// # Errors
    /// When it does not complete in time.
    pub fn wait_completed(
        forge: &Forge,
        trigger: Trigger,
        commit: &str,
        limit: Duration,
    ) -> Result<Self> {
        let what = format!(
            "the run for the {} of {} completes",
            trigger.event,
            short(commit)
        );
        let judge = |run: &Value, jobs: &[Value]| match run["status"].as_str() {
            Some("completed") => Verdict::Met(jobs.to_vec()),
            status => Verdict::Pending(format!("the run is {status:?}")),
        };
        let jobs = Self::watch(forge, trigger, commit, &what, limit, judge)?;
        Ok(Self { jobs })
    }

    /// Waits until a job of a run fails, and returns the job's log. The other jobs do not matter.
    ///
    /// # Errors
    /// When the job has another conclusion, or does not complete in time.
    pub fn wait_failed_job(
        forge: &Forge,
        trigger: Trigger,
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
                    "the run's conclusion is {conclusion}, and the job's {states}"
                )),
            }
        };
        Self::watch(forge, trigger, commit, &what, limit, judge)
    }

    /// Polls the run and its jobs until there is a verdict.
    fn watch<T>(
        forge: &Forge,
        trigger: Trigger,
        commit: &str,
        what: &str,
        limit: Duration,
        judge: impl Fn(&Value, &[Value]) -> Verdict<T>,
    ) -> Result<T> {
        eventually(what, limit, || {
            let Some(run) = Self::find(forge, trigger, commit)? else {
                return Ok(Verdict::Pending("no run has started".into()));
            };
            Ok(judge(&run, &jobs(forge, &run)?))
        })
    }

    /// The run for a commit; `None` if it has not started.
    ///
    /// # Errors
    /// When the forge does not answer.
    fn find(forge: &Forge, trigger: Trigger, commit: &str) -> Result<Option<Value>> {
        let runs = forge.repository(
            "GET",
            &format!("/actions/runs?head_sha={commit}&limit=50"),
            None,
        )?;
        Ok(runs["workflow_runs"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|run| run["head_sha"] == commit && trigger.matches(run))
            .cloned())
    }

    /// When the first job started.
    ///
    /// # Errors
    /// When no job has a start time.
    pub fn started(&self) -> Result<Timestamp> {
        self.jobs
            .iter()
            .filter_map(|job| time(&job["started_at"]))
            .min()
            .context("no job of the run has a start time")
    }

    /// When a job completed; for a matrix, when its last job did.
    ///
    /// # Errors
    /// When the run has no such job, or it has not completed.
    pub fn job_ended(&self, name: &str) -> Result<Timestamp> {
        self.jobs
            .iter()
            .filter(|job| is(job, name))
            .filter_map(|job| time(&job["completed_at"]))
            .max()
            .with_context(|| format!("the run has no completed job {name}"))
    }

    /// When a step of a job completed, found by a part of its name.
    ///
    /// # Errors
    /// When the job has no such step, or it has not completed.
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
            .with_context(|| format!("job {job} has no completed step {part:?}"))
    }

    /// Checks the conclusion of a job: `success`, `failure` or `skipped`.
    ///
    /// # Errors
    /// When the job has another conclusion, or the run has no such job.
    pub fn ensure_conclusion(&self, job: &str, conclusion: &str) -> Result<()> {
        let found = self.job(job)?["conclusion"].as_str().unwrap_or_default();
        ensure!(
            found == conclusion,
            "the conclusion of {job} is {found:?}, not {conclusion:?}"
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

/// The event's name in workflow files: Gitea alone has a separate event for an updated pull request.
fn event_name(event: &str) -> &str {
    event.strip_suffix("_sync").unwrap_or(event)
}

/// Whether a job has this name, or belongs to the matrix of this name: `integration (sqlite)`.
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
    // The forge writes the year 1 or 1970 for a time that has not come yet.
    (time.as_second() > 86_400).then_some(time)
}
