//! Runs of the forge's workflows: wait for them, and read when their jobs ended.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::forge::{Conclusion, Job, Progress, Run, RunFilter};
use devkit::git::short;
use devkit::progress;
use jiff::Timestamp;
use serde_json::json;

use super::Forge;
use super::log;
use crate::expect::{Verdict, eventually};

/// What a run was triggered by.
#[derive(Clone)]
pub struct Trigger {
    /// The file of the workflow.
    workflow: &'static str,
    event: &'static str,
    /// The full name of the branch or tag: another may have the same commit.
    reference: Option<String>,
}

/// A pull request that was opened or updated.
pub const PULL_REQUEST: Trigger = Trigger {
    workflow: "ci.yaml",
    event: "pull_request",
    reference: None,
};

/// A push to a branch.
pub fn push(branch: &str) -> Trigger {
    Trigger {
        workflow: "ci.yaml",
        event: "push",
        reference: Some(format!("refs/heads/{branch}")),
    }
}

/// A push of a version tag.
pub fn release(tag: &str) -> Trigger {
    Trigger {
        workflow: "release.yaml",
        event: "push",
        reference: Some(format!("refs/tags/{tag}")),
    }
}

/// A manual start of a workflow on a branch.
pub fn dispatch(workflow: &'static str, branch: &str) -> Trigger {
    Trigger {
        workflow,
        event: "workflow_dispatch",
        reference: Some(format!("refs/heads/{branch}")),
    }
}

impl Trigger {
    fn matches(&self, run: &Run) -> bool {
        run.file() == self.workflow
            && run.trigger() == self.event
            && (self.reference.is_none() || run.reference() == self.reference.as_deref())
    }
}

/// A workflow run that has completed.
pub struct WorkflowRun {
    id: u64,
    jobs: Vec<Job>,
}

impl WorkflowRun {
    /// Waits until a run for a commit has succeeded.
    ///
    /// # Errors
    /// When a job fails (the error shows its name and the end of its log), or the run does not complete in time.
    pub fn wait(forge: &Forge, trigger: &Trigger, commit: &str, limit: Duration) -> Result<Self> {
        let what = format!("CI for the {} of {}", trigger.event, short(commit));
        watch(forge, trigger, commit, &what, limit, |run, jobs| {
            let mut failed = jobs.iter().filter(|job| has_failed(job));
            if let Some(job) = failed.next() {
                return Verdict::Failed(explain(forge, job));
            }
            match (run.status, run.conclusion) {
                (Progress::Completed, Some(Conclusion::Success)) => {
                    Verdict::Met(Self { id: run.id, jobs })
                }
                // Cancelled by a newer run for the same commit: a pull request whose branch was just pushed is often
                // opened and updated at the same time.
                (Progress::Completed, Some(Conclusion::Cancelled)) => {
                    Verdict::Pending("the run was cancelled, and no other has started".into())
                }
                (Progress::Completed, conclusion) => {
                    Verdict::Failed(format!("the run's conclusion is {conclusion:?}"))
                }
                (status, _) => Verdict::Pending(format!("the run is {status:?}")),
            }
        })
    }

    /// Waits until a job of a run for a commit has started.
    ///
    /// # Errors
    /// When no job starts in time.
    pub fn wait_started(
        forge: &Forge,
        trigger: &Trigger,
        commit: &str,
        limit: Duration,
    ) -> Result<()> {
        let what = format!("a job starts for {}", short(commit));
        watch(forge, trigger, commit, &what, limit, |run, jobs| match jobs
            .iter()
            .any(|job| job.started_at.is_some())
        {
            true => Verdict::Met(()),
            false => Verdict::Pending(format!("the run is {:?}", run.status)),
        })
    }

    /// Whether a job has a conclusion.
    pub fn has_job(&self, conclusion: Conclusion) -> bool {
        self.jobs
            .iter()
            .any(|job| job.conclusion == Some(conclusion))
    }

    /// Waits until a run for a commit has completed, with any conclusion.
    ///
    /// # Errors
    /// When it does not complete in time.
    pub fn wait_completed(
        forge: &Forge,
        trigger: &Trigger,
        commit: &str,
        limit: Duration,
    ) -> Result<Self> {
        let what = format!(
            "the run for the {} of {} completes",
            trigger.event,
            short(commit)
        );
        watch(
            forge,
            trigger,
            commit,
            &what,
            limit,
            |run, jobs| match run.status {
                Progress::Completed => Verdict::Met(Self { id: run.id, jobs }),
                status => Verdict::Pending(format!("the run is {status:?}")),
            },
        )
    }

    /// Runs a job again, and those that need it, as a person does on the forge's page. Waits until the job has ended.
    ///
    /// # Errors
    /// When the run has no such job, the forge refuses, or the job does not end in time.
    pub fn rerun_job(
        &self,
        forge: &Forge,
        name: &str,
        limit: Duration,
    ) -> Result<Option<Conclusion>> {
        let before = self.job(name)?;
        let path = format!("/actions/runs/{}/jobs/{}/rerun", self.id, before.id);
        // The forge refuses while it still concludes the run.
        eventually(&format!("job {name} starts again"), limit, || {
            Ok(match forge.execute("POST", &path, &json!({})) {
                Ok(()) => Verdict::Met(()),
                Err(error) => Verdict::Pending(error.to_string()),
            })
        })?;
        eventually(&format!("job {name} ends again"), limit, || {
            let jobs = forge.jobs(self.id)?;
            let job = jobs.into_iter().find(|job| job.is(name));
            let job = job.with_context(|| format!("the run has no job {name}"))?;
            Ok(match job.completed_at == before.completed_at {
                false if job.conclusion.is_some() => Verdict::Met(job.conclusion),
                _ => Verdict::Pending(format!("it is {:?}", job.status)),
            })
        })
    }

    /// When the first job started.
    ///
    /// # Errors
    /// When no job has a start time.
    pub fn started(&self) -> Result<Timestamp> {
        self.jobs
            .iter()
            .filter_map(|job| time(job.started_at.as_deref()))
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
            .filter(|job| job.is(name))
            .filter_map(|job| time(job.completed_at.as_deref()))
            .max()
            .with_context(|| format!("the run has no completed job {name}"))
    }

    /// When a step of a job completed, found by a part of its name.
    ///
    /// # Errors
    /// When the job has no such step, or it has not completed.
    pub fn step_ended(&self, job: &str, part: &str) -> Result<Timestamp> {
        let mut steps = self.job(job)?.steps.iter();
        steps
            .find(|step| step.name.contains(part))
            .and_then(|step| time(step.completed_at.as_deref()))
            .with_context(|| format!("job {job} has no completed step {part:?}"))
    }

    /// Checks the conclusion of a job.
    ///
    /// # Errors
    /// When the job has another conclusion, or the run has no such job.
    pub fn ensure_conclusion(&self, job: &str, conclusion: Conclusion) -> Result<()> {
        let found = self.conclusion(job)?;
        ensure!(
            found == Some(conclusion),
            "the conclusion of {job} is {found:?}, not {conclusion:?}"
        );
        Ok(())
    }

    /// How a job ended.
    ///
    /// # Errors
    /// When the run has no such job.
    pub fn conclusion(&self, job: &str) -> Result<Option<Conclusion>> {
        Ok(self.job(job)?.conclusion)
    }

    /// The log of a job.
    ///
    /// # Errors
    /// When the run has no such job, or the forge does not answer.
    pub fn log(&self, forge: &Forge, job: &str) -> Result<String> {
        Ok(forge.job_log(self.job(job)?.id)?)
    }

    fn job(&self, name: &str) -> Result<&Job> {
        let mut jobs = self.jobs.iter();
        jobs.find(|job| job.is(name))
            .with_context(|| format!("the run has no job {name}"))
    }
}

/// Waits until a job of a run fails, and returns the job's log. The other jobs do not matter.
///
/// # Errors
/// When the job has another conclusion, or does not complete in time.
pub fn wait_failed_job(
    forge: &Forge,
    trigger: &Trigger,
    commit: &str,
    name: &str,
    limit: Duration,
) -> Result<String> {
    let what = format!("job {name} fails for {}", short(commit));
    watch(forge, trigger, commit, &what, limit, |run, jobs| {
        let ours: Vec<&Job> = jobs.iter().filter(|job| job.is(name)).collect();
        if let Some(job) = ours.iter().find(|job| has_failed(job)) {
            return Verdict::Met(job_log(forge, job));
        }
        let states = ours
            .iter()
            .map(|job| format!("{:?} {:?}", job.status, job.conclusion));
        let states = states.collect::<Vec<_>>().join(", ");
        match run.conclusion {
            // Gitea concludes a run with the first failure, while jobs still wait for the one that failed.
            Some(conclusion) if ours.iter().all(|job| job.conclusion.is_some()) => Verdict::Failed(
                format!("the run's conclusion is {conclusion:?}, and the job's {states}"),
            ),
            _ => Verdict::Pending(states),
        }
    })
}

/// Polls the run for a commit and its jobs until there is a verdict. Shows the jobs that run, and each that ends.
fn watch<T>(
    forge: &Forge,
    trigger: &Trigger,
    commit: &str,
    what: &str,
    limit: Duration,
    judge: impl Fn(&Run, Vec<Job>) -> Verdict<T>,
) -> Result<T> {
    let step = progress::Progress::new().step(what);
    let mut shown = BTreeSet::new();
    let result = eventually(what, limit, || {
        let filter = RunFilter {
            head_sha: Some(commit),
            ..RunFilter::default()
        };
        let mut runs = forge.runs(&filter)?.into_iter();
        let ours = |run: &Run| run.head_sha == commit && trigger.matches(run);
        let Some(run) = runs.find(ours) else {
            return Ok(Verdict::Pending("no run has started".into()));
        };
        let jobs = forge.jobs(run.id)?;
        show(&step, &jobs, &mut shown);
        Ok(judge(&run, jobs))
    })?;
    step.done();
    Ok(result)
}

/// Prints the jobs that have ended since the last call, and shows those that run.
fn show(step: &progress::Step, jobs: &[Job], shown: &mut BTreeSet<u64>) {
    let mut running = Vec::new();
    for job in jobs {
        let started = time(job.started_at.as_deref());
        match (job.conclusion, started) {
            (Some(Conclusion::Skipped), _) | (_, None) => {}
            (Some(conclusion), Some(started)) => {
                if shown.insert(job.id) {
                    let end = time(job.completed_at.as_deref()).unwrap_or(started);
                    step.line(format!(
                        "{:<25} {:>4} s  {conclusion}",
                        job.name,
                        end.duration_since(started).as_secs()
                    ));
                }
            }
            (None, Some(started)) => {
                let seconds = Timestamp::now().duration_since(started).as_secs();
                running.push(format!("{} {seconds} s", job.name));
            }
        }
    }
    if !running.is_empty() {
        step.show(running.join(", "));
    }
}

fn has_failed(job: &Job) -> bool {
    job.conclusion == Some(Conclusion::Failure)
}

fn job_log(forge: &Forge, job: &Job) -> String {
    let log = forge.job_log(job.id);
    log.unwrap_or_else(|error| format!("(no log: {error})"))
}

fn explain(forge: &Forge, job: &Job) -> String {
    format!(
        "job {} failed:\n{}",
        job.name,
        log::excerpt(&job_log(forge, job))
    )
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &str, event: &str) -> Run {
        serde_json::from_value(json!({"id": 1, "path": path, "event": event})).unwrap()
    }

    #[test]
    fn a_run_belongs_to_the_reference_that_was_pushed() {
        let trigger = push("trunk");
        assert!(trigger.matches(&run("ci.yaml@refs/heads/trunk", "push")));
        // Another branch may have the same commit.
        assert!(!trigger.matches(&run("ci.yaml@refs/heads/main", "push")));
        assert!(!trigger.matches(&run("ci.yaml@refs/tags/trunk", "push")));
        assert!(!trigger.matches(&run("release.yaml@refs/heads/trunk", "push")));
    }

    #[test]
    fn an_updated_pull_request_is_a_pull_request() {
        for event in ["pull_request", "pull_request_sync"] {
            assert!(PULL_REQUEST.matches(&run("ci.yaml@refs/pull/1/head", event)));
        }
        assert!(!PULL_REQUEST.matches(&run("ci.yaml@refs/heads/trunk", "push")));
    }
}
