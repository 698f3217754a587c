//! What the forge tells a job, and what a job tells the forge. GitHub and Gitea use the same variables.

use anyhow::{Context, Result, ensure};
use std::fs::OpenOptions;
use std::io::Write;

/// A variable that is set and not empty: forges set what doesn't apply to the empty string.
pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// As [`var`], but it must be there.
pub(crate) fn require(name: &str) -> Result<String> {
    var(name).with_context(|| format!("the variable {name} is not set"))
}

/// The repository's page on the forge, where the forge says both; nothing outside a workflow.
pub(crate) fn repository_url() -> Option<String> {
    let (server, name) = var("GITHUB_SERVER_URL").zip(var("GITHUB_REPOSITORY"))?;
    Some(page(&server, &name))
}

/// As [`repository_url`], but there must be a repository; its forge is GitHub unless another is named.
pub(crate) fn require_repository_url() -> Result<String> {
    let server = var("GITHUB_SERVER_URL").unwrap_or_else(|| "https://github.com".to_owned());
    Ok(page(&server, &require("GITHUB_REPOSITORY")?))
}

/// GitHub's server has no slash at its end, Gitea's has.
fn page(server: &str, repository: &str) -> String {
    format!("{}/{repository}", server.trim_end_matches('/'))
}

/// Whether this runs as a job of a workflow.
pub(crate) fn in_workflow() -> bool {
    var("GITHUB_ACTIONS").as_deref() == Some("true")
}

/// The event that a run answers.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// `push`, `pull_request`, …
    pub(crate) name: String,
    /// The full ref, `refs/heads/develop`.
    pub(crate) reference: String,
    /// The commit of the run, 40 hexadecimal digits.
    pub(crate) sha: String,
}

impl Event {
    /// Reads the forge's variables.
    pub(crate) fn from_env() -> Result<Self> {
        let event = Self {
            name: require("GITHUB_EVENT_NAME")?,
            reference: require("GITHUB_REF")?,
            sha: require("GITHUB_SHA")?,
        };
        ensure!(
            is_commit(&event.sha),
            "GITHUB_SHA is `{}`, not a full commit id (40 hexadecimal digits)",
            event.sha
        );
        Ok(event)
    }

    /// The name of the branch, if the ref is one.
    pub(crate) fn branch(&self) -> Option<&str> {
        self.reference.strip_prefix("refs/heads/")
    }

    /// Whether somebody else's code may be running: nothing is published or deployed then.
    pub(crate) fn is_pull_request(&self) -> bool {
        self.name.starts_with("pull_request")
    }
}

/// Whether `text` is a full commit id.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first seven digits of a commit id, as in tags.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// Sets an output of the step; prints nothing and does nothing outside a workflow.
pub(crate) fn output(key: &str, value: &str) -> Result<()> {
    ensure!(
        !value.contains(['\n', '\r']),
        "the output {key} must be one line"
    );
    append("GITHUB_OUTPUT", &format!("{key}={value}"))
}

/// Adds Markdown to the job's summary page.
pub(crate) fn summary(markdown: &str) -> Result<()> {
    append("GITHUB_STEP_SUMMARY", markdown)
}

/// Puts a folder on PATH of the steps that follow.
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

/// Shows a message on the run's page.
pub(crate) fn annotate_error(message: &str) {
    annotate("error", message);
}

/// Shows a message on the run's page as something to look into, without making it red.
pub(crate) fn annotate_warning(message: &str) {
    annotate("warning", message);
}

/// Shows a message on the run's page without making it red.
pub(crate) fn annotate_notice(message: &str) {
    annotate("notice", message);
}

fn annotate(level: &str, message: &str) {
    if in_workflow() {
        println!("::{level}::{}", escape(message));
    }
}

/// Workflow commands end at a line end: what other programs printed must not start a new one.
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
    fn a_commit_id_is_forty_lower_case_hexadecimal_digits() {
        assert!(is_commit("0123456789abcdef0123456789abcdef01234567"));
        for no in [
            "",
            "0123456",
            &"g".repeat(40),
            &"A".repeat(40),
            &"a".repeat(41),
        ] {
            assert!(!is_commit(no), "{no}");
        }
    }

    #[test]
    fn a_message_cannot_start_a_workflow_command() {
        assert_eq!(
            escape("100 %\n::set-output::x"),
            "100 %25%0A::set-output::x"
        );
    }
}
