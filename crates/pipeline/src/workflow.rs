//! The interface between a workflow and its jobs: variables, the event, outputs, annotations. GitHub Actions and Gitea
//! Actions use the same names
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/variables>).

use anyhow::{Context, Result, ensure};
use devkit::delivery::{Delivery, Platform};
use devkit::text::Markdown;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::Write;

use devkit::env;
pub(crate) use devkit::env::{require, secret, var};

/// The web address of the repository, or nothing outside a workflow.
pub(crate) fn repository_url() -> Option<String> {
    let (server, name) = var("GITHUB_SERVER_URL").zip(var("GITHUB_REPOSITORY"))?;
    Some(join_url(&server, &name))
}

/// The web address of the repository that GITHUB_REPOSITORY names, on GITHUB_SERVER_URL (https://github.com).
pub(crate) fn require_repository_url() -> Result<String> {
    let server = var("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
    Ok(join_url(&server, &env::repository()?))
}

/// Gitea's server address ends with a slash, GitHub's does not.
fn join_url(server: &str, repository: &str) -> String {
    format!("{}/{repository}", server.trim_end_matches('/'))
}

/// Whether the forge is github.com: it alone has code scanning, and runners with Nix and of several platforms.
pub(crate) fn is_github() -> bool {
    var("GITHUB_SERVER_URL").as_deref() == Some("https://github.com")
}

/// The platforms that the forge's runners build. Only github.com has others than the first.
pub(crate) fn platforms(delivery: &Delivery) -> &[Platform] {
    match is_github() {
        true => &delivery.platforms,
        false => delivery.platforms.get(..1).unwrap_or_default(),
    }
}

/// Whether this process runs in a workflow job.
pub(crate) fn in_workflow() -> bool {
    var("GITHUB_ACTIONS").as_deref() == Some("true")
}

/// The event that started the workflow run.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The name: `push`, `pull_request`, …
    pub(crate) name: String,
    /// The full ref: `refs/heads/develop`.
    pub(crate) reference: String,
    /// The commit of the run: 40 hexadecimal digits.
    pub(crate) sha: String,
}

impl Event {
    /// The event that the variables of the job describe.
    pub(crate) fn from_env() -> Result<Self> {
        let event = Self {
            name: require("GITHUB_EVENT_NAME")?,
            reference: require("GITHUB_REF")?,
            sha: require("GITHUB_SHA")?,
        };
        ensure!(!devkit::git::is_sha256(&event.sha), devkit::git::NO_SHA256);
        ensure!(
            devkit::git::is_commit(&event.sha),
            "GITHUB_SHA is `{}`, not a full commit ID (40 hexadecimal digits, not all zero)",
            event.sha
        );
        Ok(event)
    }

    /// The name of the branch, if the ref is a branch.
    pub(crate) fn branch(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/heads/")
    }

    /// The name of the tag, if the ref is a tag.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/tags/")
    }

    /// Whether the run belongs to a pull request. Its code is not trusted: it may not publish or deploy.
    pub(crate) fn is_pull_request(&self) -> bool {
        self.name.starts_with("pull_request")
    }
}

/// The details of the event, from the file that GITHUB_EVENT_PATH names. Which fields exist depends on the event
/// (<https://docs.github.com/en/webhooks/webhook-events-and-payloads>).
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Payload {
    /// Of a push: the commit that the branch had before.
    pub(crate) before: Option<String>,
    /// Of a pull request.
    pub(crate) pull_request: Option<PullRequestPayload>,
    /// Of a `workflow_run`: the other run.
    pub(crate) workflow_run: Option<WorkflowRunPayload>,
}

/// The pull request of an event.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct PullRequestPayload {
    /// The number of the pull request.
    pub(crate) number: Option<u64>,
    /// The branch that is to be merged.
    pub(crate) head: HeadPayload,
}

/// The head of a pull request.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeadPayload {
    /// The commit at the time of the event.
    pub(crate) sha: Option<String>,
    /// The repository of the branch; missing where it was deleted.
    pub(crate) repo: Option<RepositoryPayload>,
}

/// The run that a `workflow_run` event reports.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkflowRunPayload {
    /// The event that started that run.
    pub(crate) event: Option<String>,
    /// The commit of that run.
    pub(crate) head_sha: Option<String>,
    /// The repository of that commit, which may be a fork. Gitea does not send it.
    pub(crate) head_repository: Option<RepositoryPayload>,
}

/// A repository in an event.
#[derive(Deserialize)]
pub(crate) struct RepositoryPayload {
    /// `OWNER/NAME`.
    pub(crate) full_name: Option<String>,
}

impl Payload {
    /// Whether the event is a pull request from another repository. Inside a forked repository, `fork` is true for every
    /// pull request, so the names are compared.
    pub(crate) fn is_from_fork(&self) -> bool {
        self.is_from_other(var("GITHUB_REPOSITORY").as_deref())
    }

    fn is_from_other(&self, ours: Option<&str>) -> bool {
        self.pull_request.as_ref().is_some_and(|pull| {
            let head = pull.head.repo.as_ref();
            let head = head.and_then(|repo| repo.full_name.as_deref());
            ours.is_none() || head != ours
        })
    }

    /// Reads the file; empty outside a workflow.
    pub(crate) fn read() -> Result<Self> {
        let Some(file) = var("GITHUB_EVENT_PATH") else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read the event ({file})"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("the event ({file}) does not have the expected format"))
    }
}

/// Sets an output of the workflow step. Does nothing outside a workflow.
pub(crate) fn output(key: &str, value: &str) -> Result<()> {
    ensure!(
        !value.contains(['\n', '\r']),
        "the output {key} must be a single line"
    );
    append("GITHUB_OUTPUT", &format!("{key}={value}"))
}

/// Adds Markdown to the summary page of the job.
pub(crate) fn summary(markdown: &Markdown) -> Result<()> {
    append("GITHUB_STEP_SUMMARY", markdown.as_str())
}

/// Adds a folder to PATH for the following steps of the job.
pub(crate) fn add_path(folder: &str) -> Result<()> {
    append("GITHUB_PATH", folder)
}

fn append(variable: &str, line: &str) -> Result<()> {
    let Some(file) = var(variable) else {
        return Ok(());
    };
    let write = || {
        writeln!(
            OpenOptions::new().append(true).create(true).open(&file)?,
            "{line}"
        )
    };
    write().with_context(|| format!("cannot write to {variable} ({file})"))
}

/// Shows an error on the page of the workflow run.
pub(crate) fn annotate_error(message: &str) {
    annotate("error", message);
}

/// Shows a warning on the page of the workflow run.
pub(crate) fn annotate_warning(message: &str) {
    annotate("warning", message);
}

/// Shows a notice on the page of the workflow run.
pub(crate) fn annotate_notice(message: &str) {
    annotate("notice", message);
}

/// How many lines of a check's output its annotation has.
const ANNOTATION: usize = 12;

/// Shows why a check failed on the page of the workflow run: the first lines, and the last one.
pub(crate) fn annotate_check(name: &str, failure: &str) {
    let lines: Vec<&str> = failure.lines().collect();
    let first = lines.iter().take(ANNOTATION);
    let last = lines.last().filter(|_| lines.len() > ANNOTATION);
    let shown: Vec<&str> = first.chain(last).copied().collect();
    annotate(&format!("error title={name}"), &shown.join("\n"));
}

fn annotate(level: &str, message: &str) {
    if in_workflow() {
        println!("::{level}::{}", escape(message));
    }
}

/// A workflow command ends at the end of its line. Escaping keeps a message from starting another command.
fn escape(message: &str) -> String {
    message
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_start_a_workflow_command() {
        assert_eq!(
            escape("100 %\n::set-output::x"),
            "100 %25%0A::set-output::x"
        );
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    /// JSON with the keys of events, and often with their types.
    fn event() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(json!("some/body")),
            Just(json!([])),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let key = "before|pull_request|workflow_run|number|head|sha|repo|full_name|event|head_sha|head_repository|[a-z]{1,3}";
            proptest::collection::hash_map(key, inner, 0..6)
                .prop_map(|map| Value::Object(Map::from_iter(map)))
        })
    }

    #[test]
    fn an_event_is_read_or_refused_and_a_pull_request_without_a_repository_is_a_fork() {
        let given = include_str!("../tests/corpus/events.jsonl").lines();
        let given = given.map(|line| serde_json::from_str(line).unwrap());
        testkit::fuzz("src/fuzz.regressions", given, event(), |value: Value| {
            let Ok(payload) = serde_json::from_value::<Payload>(value.clone()) else {
                return Ok(());
            };
            let name = value.pointer("/pull_request/head/repo/full_name");
            let name = name.and_then(Value::as_str);
            for ours in [None, Some("some/body")] {
                let is_ours = ours.is_some() && name == ours;
                let expected = payload.pull_request.is_some() && !is_ours;
                prop_assert_eq!(payload.is_from_other(ours), expected);
            }
            Ok(())
        });
    }
}
