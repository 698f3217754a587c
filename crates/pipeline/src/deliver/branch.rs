//! Commits on top of a remote branch that others push to at the same time.

use super::signing::signed;
use anyhow::{Context, Result};
use devkit::git::Git;
use std::time::{Duration, Instant, SystemTime};

/// How long to keep trying while others push to the same branch.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many pushes may fail while the branch does not move. After that, contention is not the reason.
const REFUSALS: u32 = 3;

/// A branch of a remote.
pub(super) struct Branch {
    /// The repository that has the remote.
    pub(super) git: Git,
    /// The name of the remote, or its URL.
    pub(super) remote: String,
    /// The short name of the branch.
    pub(super) name: String,
}

/// What to do on top of one tip of the branch.
pub(super) enum Attempt<T> {
    /// Nothing is to be pushed.
    Done(T),
    /// A commit is to be pushed.
    Push {
        /// The commit, whose first parent is the tip.
        commit: String,
        /// The result when the remote has accepted the commit, which may have become another by its signature.
        result: Box<dyn FnOnce(String) -> T>,
    },
}

impl Branch {
    /// The full name of the branch.
    fn reference(&self) -> String {
        format!("refs/heads/{}", self.name)
    }

    /// The current tip of the branch, with its history.
    ///
    /// # Errors
    /// When the remote cannot be read or has no such branch.
    pub(super) fn tip(&self) -> Result<String> {
        Ok(self.git.fetch(&self.remote, &self.reference())?)
    }

    /// Prepares a commit on top of the branch and pushes it. If others pushed first, prepares it again on the new tip.
    ///
    /// # Errors
    /// When `prepare` fails, the branch refuses the push, or others were faster for three minutes.
    pub(super) fn push<T>(&self, mut prepare: impl FnMut(&str) -> Result<Attempt<T>>) -> Result<T> {
        let name = &self.name;
        let reference = self.reference();
        let start = Instant::now();
        let (mut attempt, mut refusals) = (0, 0);
        let mut tip = self.tip()?;
        loop {
            attempt += 1;
            let (commit, result) = match prepare(&tip)? {
                Attempt::Done(result) => return Ok(result),
                Attempt::Push { commit, result } => (commit, result),
            };
            let commit = signed(&self.git, &self.remote, &commit, &[&tip])?;
            let refused = match self.git.push(&self.remote, &commit, &reference) {
                Ok(()) => return Ok(result(commit)),
                Err(refused) => refused,
            };
            let moved = self.tip()?;
            refusals = if moved == tip { refusals + 1 } else { 0 };
            if refusals >= REFUSALS {
                return Err(refused).with_context(|| format!("{name} refuses the push"));
            }
            if start.elapsed() > PATIENCE {
                return Err(refused).with_context(|| {
                    format!("others pushed to {name} during all {attempt} attempts")
                });
            }
            tip = moved;
            std::thread::sleep(pause(attempt));
        }
    }
}

/// A pause that grows to about a second. The random part keeps concurrent runs from colliding again.
fn pause(attempt: u32) -> Duration {
    let ceiling = 50 << attempt.min(5);
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let random = clock.map_or(0, |time| time.subsec_micros()) ^ std::process::id();
    Duration::from_millis(u64::from(random % ceiling))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_short() {
        for attempt in 1..100 {
            assert!(pause(attempt) < Duration::from_secs(2));
        }
    }
}
