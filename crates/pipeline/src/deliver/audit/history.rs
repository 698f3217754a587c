//! What happened to an environment, from the history of its branch.

use super::{Action, Event};
use crate::deliver::rollback;
use crate::deliver::values_file::ValuesFile;
use anyhow::{Context, Result};
use devkit::delivery::Environment;
use devkit::git::{CommitInfo, Git, short};
use jiff::Timestamp;

/// A commit of an environment's branch that changed its image or its hold.
pub(super) struct Change {
    /// The commit. For a pull request, the merge.
    pub(super) commit: CommitInfo,
    pub(super) events: Vec<Event>,
}

/// The newest changes of an environment, the newest first.
pub(super) fn changes(git: &Git, env: &Environment, limit: usize) -> Result<Vec<Change>> {
    let tip = git.require_commit(&format!("refs/remotes/origin/{}", env.branch))?;
    let args = [
        "log",
        "--first-parent",
        "--format=%H",
        &tip,
        "--",
        &env.values,
    ];
    let log = git.read(&args)?;
    let mut changes = Vec::new();
    for commit in log.lines() {
        if changes.len() == limit {
            break;
        }
        let change = change(git, env, commit).with_context(|| short(commit).to_owned())?;
        changes.extend(change);
    }
    Ok(changes)
}

/// What a commit changed; `None` if it changed something else.
fn change(git: &Git, env: &Environment, commit: &str) -> Result<Option<Change>> {
    // Without the file, or with one of another form, there was no image.
    let at = |commit: &str| ValuesFile::read(git, commit, &env.values).ok();
    let (before, after) = (at(&format!("{commit}^1")), at(commit));
    let image = |file: &Option<ValuesFile>| file.as_ref().and_then(|file| file.image().ok()?);
    let hold = |file: &Option<ValuesFile>| file.as_ref().and_then(|file| file.hold().ok()?);
    let mut found = Vec::new();
    if let Some(now) = image(&after).filter(|now| image(&before).as_ref() != Some(now)) {
        let action = match rollback::is_rollback(git, commit, &env.values)? {
            true => Action::RolledBack,
            false => Action::Deployed,
        };
        found.push((action, format!("{} {}", now.tag, now.digest)));
    }
    match (hold(&before), hold(&after)) {
        (None, Some(hold)) => found.push((Action::Held, hold.to_string())),
        (Some(hold), None) => found.push((Action::Released, hold.to_string())),
        _ => {}
    }
    if found.is_empty() {
        return Ok(None);
    }
    let commit = git.describe(commit)?;
    let time = commit
        .time
        .and_then(|time| Timestamp::from_second(time).ok());
    let event = |(action, what)| Event {
        time,
        environment: env.name.clone(),
        action,
        who: commit.author.clone(),
        what,
    };
    let events = found.into_iter().map(event).collect();
    Ok(Some(Change { commit, events }))
}
