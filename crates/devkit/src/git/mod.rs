//! Git, by its command line: it brings credentials, signing and every transport.

mod command;
mod error;
mod merge;
mod objects;
mod remote;

pub use command::without_variables;
pub use error::Error;

use crate::http::basic;
use crate::process::{self, Run};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Whether `text` is a full commit id: 40 lower-case hexadecimal digits, not all zero. Forges write zeros for a branch
/// that does not exist.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text) && text.bytes().any(|b| b != b'0')
}

/// Whether `text` is an id in a repository with SHA-256 object names.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    let digit = |b| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(digit)
}

/// What is said of a repository with SHA-256 object names, which forges, image tags and the service do not support.
pub const NO_SHA256: &str = "repositories with SHA-256 object names are not supported: create the repository with `git init --object-format=sha1`";

/// The first seven digits of a commit id, as people and tags write it.
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// The top of the work tree that `folder` is in.
///
/// # Errors
/// When it is in none.
pub fn root(folder: &Path) -> Result<PathBuf, Error> {
    let mut above = folder.ancestors();
    above
        .find(|folder| folder.join(".git").exists())
        .map(Path::to_path_buf)
        .ok_or_else(|| Error::NoRepository(folder.to_owned()))
}

/// The author and committer of commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// What a commit says about itself. Bytes that are not UTF-8 are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// The full id.
    pub sha: String,
    /// `Name <e-mail>`.
    pub author: String,
    /// The author's date (ISO 8601). Empty or not valid where the author wrote none that is.
    pub date: String,
    /// When it was committed, in seconds since 1970. `None` where the commit does not say so.
    pub time: Option<i64>,
    /// The first paragraph of the message, as one line.
    pub subject: String,
}

/// A file in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The mode as Git writes it: `100644`.
    pub mode: String,
    /// The path, from the top of the repository.
    pub path: String,
    /// The content.
    pub text: String,
}

/// A repository, and what its remote needs to let us in.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    identity: Option<Identity>,
    settings: Vec<(String, String)>,
    /// What the caller's configuration says about remotes; read once.
    kept: Arc<OnceLock<Vec<(String, String)>>>,
}

impl Git {
    /// The repository that a folder is in; a folder to make one in may also be given.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            identity: None,
            settings: Vec::new(),
            kept: Arc::default(),
        }
    }

    /// Makes commits as `identity`. Without one, Git refuses to commit.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets a key of Git's configuration for each command.
    #[must_use]
    pub fn with_setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Logs in to `url`, and only there. The secret is in the environment: others can read arguments.
    #[must_use]
    pub fn with_password(self, url: &str, user: &str, secret: &str) -> Self {
        let header = format!("Authorization: Basic {}", basic(user, secret));
        self.with_setting(&format!("http.{url}.extraHeader"), &header)
    }

    /// As [`Git::with_password`], with a token of GitHub or Gitea.
    #[must_use]
    pub fn with_token(self, url: &str, token: &str) -> Self {
        self.with_password(url, "x-access-token", token)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What a command prints, without the white space at the end.
    ///
    /// # Errors
    /// When it fails or prints something that is not UTF-8.
    pub fn read(&self, args: &[&str]) -> Result<String, Error> {
        Ok(self.command(args).read()?)
    }

    /// What a command prints, byte for byte.
    ///
    /// # Errors
    /// When it fails.
    pub fn read_bytes(&self, args: &[&str]) -> Result<Vec<u8>, Error> {
        Ok(self.command(args).read_bytes()?)
    }

    /// What a command prints. Bytes that are not UTF-8 are replaced: names, messages and paths in a repository are bytes.
    ///
    /// # Errors
    /// When it fails.
    pub fn read_lossy(&self, args: &[&str]) -> Result<String, Error> {
        let bytes = self.read_bytes(args)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The full id of the commit that a name refers to, if this clone has it.
    pub fn commit(&self, name: &str) -> Option<String> {
        self.find_commit(name).ok().flatten()
    }

    /// As [`Git::commit`], for a commit that must be there.
    ///
    /// # Errors
    /// When this clone does not have it, or Git refuses the repository.
    pub fn require_commit(&self, name: &str) -> Result<String, Error> {
        match self.find_commit(name)? {
            Some(id) if is_sha256(&id) => Err(Error::Sha256),
            Some(id) => Ok(id),
            None => Err(Error::NoCommit(name.to_owned())),
        }
    }

    fn find_commit(&self, name: &str) -> Result<Option<String>, Error> {
        let name = format!("{name}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        match self.read(&args) {
            Ok(id) => Ok(Some(id)),
            // With `--quiet`, Git ends so if there is no such commit.
            Err(Error::Command(process::Error::Failed { status, .. }))
                if status.code() == Some(1) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// When the folder is in no repository, or the repository has no commit.
    pub fn head(&self) -> Result<String, Error> {
        self.require_commit("HEAD")
    }

    /// The files that differ from the commit that is checked out, new ones too: a line for each, as `git status` lists them.
    ///
    /// # Errors
    /// When the folder is in no repository.
    pub fn changes(&self) -> Result<Vec<String>, Error> {
        let listed = self.read(&["status", "--porcelain", "--untracked-files=normal"])?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// What a commit says about itself.
    ///
    /// # Errors
    /// When this clone does not have it.
    pub fn describe(&self, name: &str) -> Result<CommitInfo, Error> {
        let sha = self.require_commit(name)?;
        let format = "--format=%an <%ae>%x00%aI%x00%ct%x00%s";
        let shown = self.read_lossy(&["show", "--no-patch", format, &sha])?;
        let mut fields = shown.trim_end_matches('\n').splitn(4, '\0');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        Ok(CommitInfo {
            author: next(),
            date: next(),
            time: next().parse().ok(),
            subject: next(),
            sha,
        })
    }

    /// How a file differs between two commits, as text, whatever programs for differences this clone names.
    ///
    /// # Errors
    /// When this clone lacks one of the commits.
    pub fn difference(&self, from: &str, to: &str, path: &str) -> Result<String, Error> {
        let plain = ["diff", "--no-ext-diff", "--no-textconv", "--text"];
        self.read_lossy(&[&plain[..], &[from, to, "--", path]].concat())
    }

    /// Whether `older` is in the history of `newer` (a commit is in its own).
    ///
    /// # Errors
    /// When this clone lacks one of them.
    pub fn contains(&self, newer: &str, older: &str) -> Result<bool, Error> {
        let mut command = self.command(&["merge-base", "--is-ancestor", older, newer]);
        match command.capture()?.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(Error::Incomparable {
                older: older.to_owned(),
                newer: newer.to_owned(),
            }),
        }
    }

    /// Whether this clone has only the newest part of the history.
    ///
    /// # Errors
    /// When the folder is in no repository.
    pub fn is_shallow(&self) -> Result<bool, Error> {
        Ok(self.read(&["rev-parse", "--is-shallow-repository"])? == "true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_id_is_forty_lower_case_hexadecimal_digits() {
        assert!(is_commit("0123456789abcdef0123456789abcdef01234567"));
        for no in [
            "",
            "0123456",
            &"g".repeat(40),
            &"A".repeat(40),
            &"0".repeat(40),
            &"a".repeat(41),
        ] {
            assert!(!is_commit(no), "{no}");
        }
    }
}
