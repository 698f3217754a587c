//! Names of commits.

/// The first seven characters of a commit's hash, as `git log --oneline` shows it.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
