//! The files that a change touches.

use anyhow::Result;
use devkit::git::Git;

/// Without rename detection, a renamed file counts under both names. A submodule counts even where `.gitmodules` has
/// `ignore = all`.
const OPTIONS: [&str; 4] = [
    "--name-only",
    "--no-renames",
    "-z",
    "--ignore-submodules=none",
];

/// The files that differ between two commits.
pub(super) fn changed_files(git: &Git, from: &str, to: &str) -> Result<Vec<String>> {
    list(git, &["diff"], &[from, to])
}

/// The files that a commit changes; of a merge, the differences to each parent.
pub(super) fn files_of(git: &Git, commit: &str) -> Result<Vec<String>> {
    let words = ["diff-tree", "-r", "-m", "--root", "--no-commit-id"];
    list(git, &words, &[commit])
}

fn list(git: &Git, words: &[&str], commits: &[&str]) -> Result<Vec<String>> {
    let changed = git.read_lossy(&[words, &OPTIONS, commits].concat())?;
    let files = changed.split('\0').filter(|file| !file.is_empty());
    Ok(files.map(str::to_owned).collect())
}
