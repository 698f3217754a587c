//! Workflow runs, their jobs and logs, and the secrets and variables that they get.

use super::{Error, Forge, Kind, encoded, null_default};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use std::collections::BTreeMap;

/// A run of a workflow.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// The number that the forge knows it by.
    pub id: u64,
    /// The number that people know it by, counted by workflow on GitHub and by repository on Gitea.
    #[serde(default)]
    pub run_number: u64,
    /// The name of the workflow.
    #[serde(default, deserialize_with = "null_default")]
    pub name: String,
    /// The workflow's file, on Gitea with the ref after an `@`: `ci.yaml@refs/heads/develop`.
    #[serde(default, deserialize_with = "null_default")]
    pub path: String,
    /// The event that triggered it, by the forge's name; see [`Run::trigger`].
    #[serde(default, deserialize_with = "null_default")]
    pub event: String,
    /// The commit.
    #[serde(default, deserialize_with = "null_default")]
    pub head_sha: String,
    /// How far it is.
    #[serde(default, deserialize_with = "null_default")]
    pub status: Progress,
    /// How it ended; `None` while it runs.
    #[serde(default, deserialize_with = "conclusion")]
    pub conclusion: Option<Conclusion>,
}

impl Run {
    /// The name of the workflow's file, without folder and ref: `ci.yaml`.
    pub fn file(&self) -> &str {
        let path = self.path.split_once('@');
        let path = path.map_or(self.path.as_str(), |(path, _)| path);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// The full name of the branch or tag: `refs/heads/develop`. Only on Gitea.
    pub fn reference(&self) -> Option<&str> {
        self.path.split_once('@').map(|(_, reference)| reference)
    }

    /// The event by the name that workflows use. Gitea calls an updated pull request `pull_request_sync`.
    pub fn trigger(&self) -> &str {
        self.event.strip_suffix("_sync").unwrap_or(&self.event)
    }
}

/// How far a run, job or step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits for a runner.
    Queued,
    /// It waits for a deployment's approval, or for another run.
    Waiting,
    /// It runs.
    InProgress,
    /// It has ended.
    Completed,
    /// A word that this program does not know, or none.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How a run, job or step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Well.
    Success,
    /// A step failed.
    Failure,
    /// Stopped by a person, or for a newer run.
    Cancelled,
    /// Left out by a condition.
    Skipped,
    /// It took too long.
    TimedOut,
    /// The workflow's file is not valid.
    StartupFailure,
    /// A word that this program does not know, such as `neutral`.
    #[serde(other)]
    Unknown,
}

impl Conclusion {
    /// Whether it says that something is wrong with the code or the workflow.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failure | Self::TimedOut | Self::StartupFailure)
    }
}

impl std::fmt::Display for Conclusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::TimedOut => "timed out",
            Self::StartupFailure => "startup failure",
            Self::Unknown => "unknown",
        })
    }
}

/// While it runs, GitHub's conclusion is null and Gitea's the empty string.
fn conclusion<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Conclusion>, D::Error> {
    use serde::de::IntoDeserializer;
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("") => Ok(None),
        Some(word) => Conclusion::deserialize(word.into_deserializer()).map(Some),
    }
}

/// Gitea writes a time that is not there yet as the year 1 or 1970.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let time = Option::<String>::deserialize(deserializer)?;
    Ok(time.filter(|time| {
        let unset = ["0001-", "1970-", "0000-"];
        !time.is_empty() && !unset.iter().any(|year| time.starts_with(year))
    }))
}

/// A job of a run.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// The number that the forge knows it by.
    pub id: u64,
    /// The name; of a matrix with the values: `integration (sqlite)`.
    #[serde(default)]
    pub name: String,
    /// How far it is.
    #[serde(default, deserialize_with = "null_default")]
    pub status: Progress,
    /// How it ended; `None` while it runs.
    #[serde(default, deserialize_with = "conclusion")]
    pub conclusion: Option<Conclusion>,
    /// When it started (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub started_at: Option<String>,
    /// When it ended (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub completed_at: Option<String>,
    /// Its steps.
    #[serde(default, deserialize_with = "null_default")]
    pub steps: Vec<Step>,
}

impl Job {
    /// Whether it has a name in the workflow, alone or as one of a matrix.
    pub fn is(&self, name: &str) -> bool {
        self.name.split(" (").next() == Some(name)
    }
}

/// A step of a job.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// How it ended; `None` while it runs. Gitea gives each step the conclusion of its job.
    #[serde(default, deserialize_with = "conclusion")]
    pub conclusion: Option<Conclusion>,
    /// When it started (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub started_at: Option<String>,
    /// When it ended (RFC 3339).
    #[serde(default, deserialize_with = "time")]
    pub completed_at: Option<String>,
}

/// Which runs to list; what is `None` does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter<'a> {
    /// The branch or tag.
    pub branch: Option<&'a str>,
    /// The event, by the forge's name.
    pub event: Option<&'a str>,
    /// `completed`, `in_progress`, …
    pub status: Option<&'a str>,
    /// The commit.
    pub head_sha: Option<&'a str>,
}

#[derive(Deserialize)]
struct Runs {
    #[serde(default, deserialize_with = "null_default")]
    workflow_runs: Vec<Run>,
}

impl Forge {
    /// The newest runs, at most 50, the newest first.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, Error> {
        let mut path = format!("/actions/runs?{}", self.page_size());
        for (key, value) in [
            ("branch", filter.branch),
            ("event", filter.event),
            ("status", filter.status),
            ("head_sha", filter.head_sha),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={}", encoded(value)));
            }
        }
        let runs: Option<Runs> = self.find(&path)?;
        Ok(runs.map(|runs| runs.workflow_runs).unwrap_or_default())
    }

    /// An earlier attempt of a run. Gitea keeps none.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_attempt(&self, run: u64, attempt: u64) -> Result<Option<Run>, Error> {
        self.find(&format!("/actions/runs/{run}/attempts/{attempt}"))
    }

    /// The jobs of an earlier attempt of a run. Gitea keeps none.
    ///
    /// # Errors
    /// When the forge refuses, or has no such attempt.
    pub fn jobs_of_attempt(&self, run: u64, attempt: u64) -> Result<Vec<Job>, Error> {
        let path = format!("/actions/runs/{run}/attempts/{attempt}/jobs");
        self.list_in(&path, "jobs")
    }

    /// The jobs of a run, in its newest attempt.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn jobs(&self, run: u64) -> Result<Vec<Job>, Error> {
        self.list_in(&format!("/actions/runs/{run}/jobs"), "jobs")
    }

    /// The log of a job.
    ///
    /// # Errors
    /// When the forge refuses, or has none yet.
    pub fn job_log(&self, job: u64) -> Result<String, Error> {
        let path = self.path(&format!("/actions/jobs/{job}/logs"));
        Ok(self.api().text(&path)?)
    }

    /// Starts a workflow by its file, on a branch or tag, with inputs that the workflow declares.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn dispatch(
        &self,
        workflow: &str,
        reference: &str,
        inputs: &BTreeMap<&str, &str>,
    ) -> Result<(), Error> {
        let path = format!("/actions/workflows/{}/dispatches", encoded(workflow));
        let body = json!({ "ref": reference, "inputs": inputs });
        self.execute("POST", &path, &body)
    }

    /// Sets a secret of the repository's workflows.
    ///
    /// # Errors
    /// When the forge refuses; on GitHub, which wants secrets sealed for its key.
    pub fn set_secret(&self, name: &str, value: &str) -> Result<(), Error> {
        if self.kind() == Kind::GitHub {
            return Err(Error::OnlyGitea("setting a secret"));
        }
        let path = format!("/actions/secrets/{}", encoded(name));
        self.execute("PUT", &path, &json!({ "data": value }))
    }

    /// Sets a variable of the repository's workflows.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn set_variable(&self, name: &str, value: &str) -> Result<(), Error> {
        let one = format!("/actions/variables/{}", encoded(name));
        let body = json!({ "name": name, "value": value });
        let (update, create) = match self.kind() {
            Kind::GitHub => ("PATCH", "/actions/variables"),
            Kind::Gitea => ("PUT", one.as_str()),
        };
        match self.execute("POST", create, &body) {
            Err(error) if error.status() == Some(409) => self.execute(update, &one, &body),
            other => other,
        }
    }
}
