//! A push to the branch of an open pull request starts two runs for one commit. The run of the pull request checks it, so
//! that the run of the push need not.

use super::tested::is_check;
use crate::workflow::Event;
use anyhow::Result;
use devkit::delivery::Delivery;
use devkit::forge::{Conclusion, Forge, Run, RunFilter};
use std::time::Duration;

/// How often to look for the run of an open pull request. The forge starts the two runs one after the other.
const ATTEMPTS: u32 = 15;

/// The time between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// The run of a pull request that checks the commit of a push, in words for the log.
///
/// `None` for all other events, and for the branches of environments: what is delivered is checked by its own run. Only
/// a run that exists counts. GitHub starts none for a pull request with a conflict.
pub(super) fn checked_elsewhere(event: &Event, delivery: &Delivery) -> Result<Option<String>> {
    let Some(branch) = event.branch().filter(|_| event.name == "push") else {
        return Ok(None);
    };
    if delivery.by_branch(branch).is_some() {
        return Ok(None);
    }
    let forge = Forge::from_env(&["GITHUB_TOKEN"])?;
    let look = || find_run(&forge, &event.sha);
    let mut run = look()?;
    if run.is_none() && is_proposed(&forge, branch, &event.sha)? {
        run = wait(look, || std::thread::sleep(PAUSE))?;
    }
    Ok(run.map(|run| {
        format!(
            "run {} checks this commit for its pull request",
            run.run_number
        )
    }))
}

/// The run of a pull request for a commit. One that was cancelled checks nothing.
fn find_run(forge: &Forge, commit: &str) -> Result<Option<Run>> {
    let filter = RunFilter {
        head_sha: Some(commit),
        ..RunFilter::default()
    };
    let mut runs = forge.runs(&filter)?.into_iter();
    Ok(runs.find(|run| {
        let cancelled = run.conclusion == Some(Conclusion::Cancelled);
        run.head_sha == commit && is_check(run) && !cancelled
    }))
}

/// Whether an open pull request has this commit of this branch as its head.
fn is_proposed(forge: &Forge, branch: &str, commit: &str) -> Result<bool> {
    let pulls = forge.open_pulls(None)?;
    Ok(pulls.iter().any(|pull| {
        let head = &pull.head;
        pull.is_from_this_repository() && head.branch == branch && head.sha == commit
    }))
}

/// Looks until there is something, or until it is too late.
fn wait<T>(mut look: impl FnMut() -> Result<Option<T>>, pause: impl Fn()) -> Result<Option<T>> {
    for _ in 0..ATTEMPTS {
        pause();
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_never_starts_is_not_waited_for_forever() {
        let mut looks = 0;
        let never = || {
            looks += 1;
            Ok(None::<()>)
        };
        assert_eq!(wait(never, || {}).unwrap(), None);
        assert_eq!(looks, ATTEMPTS);
    }

    #[test]
    fn the_first_that_is_found_is_enough() {
        let mut looks = 0;
        let third = || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        };
        assert_eq!(wait(third, || {}).unwrap(), Some(3));
    }
}
