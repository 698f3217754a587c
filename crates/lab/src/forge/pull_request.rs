//! Pull requests: open them from a pushed commit, and wait until they are merged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::forge::{Pull, PullText};
use devkit::git::short;
use devkit::{markdown, plain};

use super::Forge;
use crate::expect::{Verdict, eventually};

/// Opens a pull request for HEAD of a checkout, or updates the one with the same topic.
///
/// Gitea creates it from the pushed reference alone (AGit), with the rights of a fork's pull request. The commit is checked
/// once, not once for a branch and once for the pull request.
///
/// # Errors
/// When the forge refuses.
pub fn open(forge: &Forge, checkout: &Path, base: &str, topic: &str, title: &str) -> Result<Pull> {
    let git = forge.git(checkout);
    let commit = git.head()?;
    let topic = format!("topic={topic}");
    let title_option = format!("title={title}");
    let options = ["-o", &topic, "-o", &title_option, "-o", "force-push=true"];
    let target = format!("refs/for/{base}");
    git.push_with(&options, &forge.url(), &commit, &target)?;
    let mut pulls = forge.open_pulls(Some(base))?.into_iter();
    let pull = pulls
        .find(|pull| pull.head.sha == commit)
        .with_context(|| format!("the push of {} opened no pull request", short(&commit)))?;
    if pull.title == title {
        return Ok(pull);
    }
    // Gitea keeps the title when a pull request is updated.
    let text = PullText {
        title: &plain!("{}", title),
        body: &markdown!(""),
    };
    Ok(forge.edit_pull(pull.number, &text)?)
}

/// Merges a pull request as soon as the forge allows it, and returns the merge commit.
///
/// # Errors
/// When the forge still refuses after a minute; the error has its message.
pub fn merge(forge: &Forge, number: u64) -> Result<String> {
    eventually(
        &format!("pull request {number} is merged"),
        Duration::from_secs(60),
        || {
            let refusal = forge.merge_pull(number).err();
            let refusal = refusal.map_or(String::new(), |error| error.to_string());
            let pull = forge.pull(number)?;
            if let Some(commit) = pull.merge_commit() {
                return Ok(Verdict::Met(commit.to_owned()));
            }
            Ok(Verdict::Pending(if pull.mergeable == Some(false) {
                format!(
                    "it conflicts with {}, or the forge is still checking that: {refusal}",
                    pull.base.branch
                )
            } else {
                refusal
            }))
        },
    )
}
