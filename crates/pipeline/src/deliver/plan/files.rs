//! The files that a change touches.

use anyhow::Result;
use devkit::git::Git;

/// The files that differ between two commits. Without rename detection, a renamed file counts under both names.
pub(super) fn changed_files(git: &Git, from: &str, to: &str) -> Result<Vec<String>> {
    let range = ["diff", "--name-only", "--no-renames", "-z", from, to];
    let changed = git.read_lossy(&range)?;
    let files = changed.split('\0').filter(|file| !file.is_empty());
    Ok(files.map(str::to_owned).collect())
}
