//! Pull requests: open, approve and merge them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::process::Run;
use serde_json::{Value, json};

use super::api::Forge;
use crate::commit::short;
use crate::expect::{Verdict, eventually};

/// An open pull request.
pub struct PullRequest {
    /// Its number on the forge.
    pub number: i64,
    /// The commit at its head.
    pub commit: String,
}

/// Opens a pull request for HEAD of a checkout, or updates the one with the same topic.
///
/// Gitea creates it from the pushed reference alone (AGit), with the rights of a fork's pull request. The commit is checked
/// once, not once for a branch and once for the pull request.
///
/// # Errors
/// When the forge refuses.
pub fn open(
    forge: &Forge,
    checkout: &Path,
    base: &str,
    topic: &str,
    title: &str,
) -> Result<PullRequest> {
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
        .run_quietly()?;
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
        .with_context(|| format!("pushing {} opened no pull request", short(&commit)))?;
    Ok(PullRequest { number, commit })
}

/// Merges a pull request as soon as the forge allows it, and returns the merge commit.
///
/// # Errors
/// When the forge still refuses after a minute; the error has its message.
pub fn merge(forge: &Forge, base: &str, number: i64) -> Result<String> {
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
                    "it conflicts with {base}, or the forge is still checking that: {:?}",
                    answer.err()
                )));
            }
            Ok(Verdict::Pending(format!("{:?}", answer.err())))
        },
    )
}

/// The open pull request from one branch to another.
///
/// # Errors
/// When the forge does not answer.
pub fn find(forge: &Forge, base: &str, head: &str) -> Result<Option<Value>> {
    let path = format!("/pulls?state=open&base_branch={base}&limit=50");
    let pulls = forge.repository("GET", &path, None)?;
    let mut pulls = pulls.as_array().into_iter().flatten();
    Ok(pulls.find(|pull| pull["head"]["ref"] == head).cloned())
}
