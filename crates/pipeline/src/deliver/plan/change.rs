//! Which files an event changes.

use super::affected::{Affected, Packages};
use super::files::changed_files;
use super::missed::missed;
use crate::workflow::{Event, Payload};
use anyhow::{Context, Result};
use devkit::delivery::Delivery;
use devkit::git::{self, Git};

/// What an event changes.
pub(super) struct Change {
    /// What the change can affect. Nothing where only values of environments changed.
    pub(super) affected: Option<Affected>,
    /// Whether it includes earlier pushes, which have not passed the tests.
    pub(super) has_missed: bool,
    /// Why, for the log.
    pub(super) reason: String,
}

impl Change {
    /// In doubt, everything changed: a needless run costs minutes, a missing one an outage.
    pub(super) fn of(
        event: &Event,
        payload: &Payload,
        git: &Git,
        delivery: &Delivery,
        packages: &Packages,
    ) -> Self {
        Self::known(event, payload, git, delivery, packages).unwrap_or_else(|error| Self {
            affected: Some(packages.all()),
            has_missed: false,
            reason: format!("{error:#}"),
        })
    }

    fn known(
        event: &Event,
        payload: &Payload,
        git: &Git,
        delivery: &Delivery,
        packages: &Packages,
    ) -> Result<Self> {
        let base = base(event, payload, git, &delivery.first().branch)?;
        let files = changed_files(git, &base, &event.sha)?;
        let since = git::short(&base);
        if files.is_empty() {
            // People push an empty commit to trigger a run.
            return Ok(Self {
                affected: Some(packages.all()),
                has_missed: false,
                reason: format!("nothing changed since {since}"),
            });
        }
        let is_code = |file: &&str| delivery.by_values(file).is_none();
        let mut code = files.iter().map(String::as_str).filter(is_code).peekable();
        let Some(first) = code.peek().copied() else {
            return Ok(Self {
                affected: None,
                has_missed: false,
                reason: format!("only environment values changed since {since}"),
            });
        };
        let reason = format!("{first} changed since {since}");
        let affected = packages.affected(code);
        let is_built = event.name == "push" && event.branch() == Some(&delivery.first().branch);
        let missed = match is_built {
            true => missed(git, delivery, &base, packages)?,
            false => None,
        };
        Ok(match missed {
            None => Self {
                affected: Some(affected),
                has_missed: false,
                reason,
            },
            Some((earlier, why)) => Self {
                affected: Some(affected.and(earlier)),
                has_missed: true,
                reason: format!("{reason}; {why}"),
            },
        })
    }
}

/// The commit to compare with.
///
/// Each push to the branch that images are built from has its own run, so it is compared with the push before. All other
/// branches are compared with the point where they left that branch: a successful run of their last commit must mean that
/// all their code was tested.
fn base(event: &Event, payload: &Payload, git: &Git, trunk: &str) -> Result<String> {
    match event.branch() {
        Some(branch) if branch == trunk => return before(event, payload, git),
        None if !event.is_pull_request() => anyhow::bail!("{} is not a branch", event.reference),
        _ => {}
    }
    let tip = git
        .commit(&format!("refs/remotes/origin/{trunk}"))
        .with_context(|| format!("this clone does not have the branch {trunk}"))?;
    git.read(&["merge-base", &tip, &event.sha])
        .with_context(|| format!("no common history with {trunk}"))
}

/// The commit that the branch had before a push.
pub(in crate::deliver) fn before(event: &Event, payload: &Payload, git: &Git) -> Result<String> {
    let before = payload.before.as_deref();
    let before = before.context("the event does not name the previous commit of the branch")?;
    anyhow::ensure!(before.bytes().any(|b| b != b'0'), "the branch is new");
    anyhow::ensure!(git::is_commit(before), "`{before}` is not a commit ID");
    let before = git
        .commit(before)
        .context("this clone does not have the commit before this push")?;
    let forward = git.contains(&event.sha, &before)?;
    anyhow::ensure!(forward, "the branch was rewritten");
    Ok(before)
}
