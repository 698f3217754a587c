//! Why Git did not do what it was asked for.

use super::{NO_SHA256, short};
use crate::process;
use std::io;
use std::path::PathBuf;

/// Why Git did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] process::Error),
    /// A remote cannot be read.
    #[error("cannot fetch {name} from {remote}")]
    Fetch {
        /// The branch or tag.
        name: String,
        /// The remote's name or URL.
        remote: String,
        /// What Git said.
        source: process::Error,
    },
    /// A push was refused.
    #[error("cannot push {name} to {remote}")]
    Push {
        /// The branch or tag.
        name: String,
        /// The remote's name or URL.
        remote: String,
        /// What Git said.
        source: process::Error,
    },
    /// A name is not a commit in this clone.
    #[error("`{0}` is not a commit that this clone has: fetch the whole history")]
    NoCommit(String),
    /// The object names of the repository, or of the remote, are SHA-256.
    #[error("{NO_SHA256}")]
    Sha256,
    /// A commit has no file at a path.
    #[error("there is no file {path} in commit {}", short(commit))]
    NoFile {
        /// The path, from the top of the repository.
        path: String,
        /// The commit.
        commit: String,
    },
    /// Two commits cannot be compared.
    #[error("git cannot compare {older} with {newer}: is the clone complete?")]
    Incomparable {
        /// One commit.
        older: String,
        /// The other.
        newer: String,
    },
    /// Both sides of a merge changed the same lines.
    #[error("both have changed the same lines of {}", .0.join(", "))]
    Conflict(Vec<String>),
    /// A merge failed for another reason.
    #[error("git cannot merge {theirs} into {ours}: {reason}")]
    Merge {
        /// The commit that is merged into.
        ours: String,
        /// The commit that is merged.
        theirs: String,
        /// What Git said.
        reason: String,
    },
    /// A file is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(String),
    /// A temporary file cannot be written.
    #[error("cannot write a temporary file")]
    Temporary(#[source] io::Error),
    /// A folder is not inside a repository.
    #[error("{} is not inside a Git repository", .0.display())]
    NoRepository(PathBuf),
}
