//! Git, by its command line: it brings credentials, signing and every transport.
//!
//! Commands do not depend on a person's configuration. From the system's and the user's files they get only what
//! reaches a remote (credentials, proxies, SSH, URL rewriting), variables such as `GIT_DIR` are removed, and settings
//! that change what a command does are fixed, even where a repository's own configuration has others.

use crate::http::basic;
use crate::process::{self, Run, command};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

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

/// Whether `text` is a full commit id: 40 lower-case hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

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
    /// The author's date (ISO 8601).
    pub date: String,
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

/// Variables of the caller that reach Git: they are about transports and traces. Others, such as `GIT_DIR`,
/// `GIT_INDEX_FILE` or `GIT_DEFAULT_HASH`, would change which repository a command works on, or how.
const KEPT_VARIABLES: [&str; 11] = [
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_ASKPASS",
    "GIT_PROXY_",
    "GIT_HTTP_",
    "GIT_TRACE",
    "GIT_CURL_",
    "GIT_ALLOW_PROTOCOL",
    "GIT_PROTOCOL",
    "GIT_EXEC_PATH",
    "GIT_TRANSFER_TRACE",
];

/// Sections and keys of the system's and the user's configuration that reach Git: what a remote may need.
const KEPT_SETTINGS: [&str; 10] = [
    "credential.",
    "http.",
    "https.",
    "url.",
    "ssh.",
    "safe.directory",
    "protocol.",
    "core.sshcommand",
    "core.gitproxy",
    "core.askpass",
];

/// Settings that no configuration overrides, a repository's own included.
const FIXED_SETTINGS: [(&str, &str); 29] = [
    ("color.ui", "false"),
    ("commit.gpgSign", "false"),
    ("core.abbrev", "auto"),
    ("core.commentChar", "#"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.quotePath", "true"),
    ("diff.noprefix", "false"),
    ("fetch.prune", "false"),
    ("fetch.pruneTags", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    ("grep.extendedRegexp", "false"),
    ("grep.patternType", "default"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("log.mailmap", "false"),
    ("log.showSignature", "false"),
    ("maintenance.auto", "false"),
    ("merge.renames", "true"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.pushOption", ""),
    ("push.recurseSubmodules", "no"),
    ("submodule.recurse", "false"),
    ("tag.gpgSign", "false"),
    ("trailer.separators", ":"),
    ("user.useConfigOnly", "true"),
];

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

    /// A Git command in this repository.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut git = self.clean(args);
        git.env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let kept = self.kept.get_or_init(|| self.settings_of_caller());
        let fixed = FIXED_SETTINGS.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings = kept.iter().chain(&fixed).chain(&self.settings);
        let mut count = 0;
        for (key, value) in settings {
            git.env(format!("GIT_CONFIG_KEY_{count}"), key)
                .env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        git.env("GIT_CONFIG_COUNT", count.to_string());
        if let Some(Identity { name, email }) = &self.identity {
            for role in ["AUTHOR", "COMMITTER"] {
                git.env(format!("GIT_{role}_NAME"), name)
                    .env(format!("GIT_{role}_EMAIL"), email);
            }
        }
        git
    }

    /// A command without the variables that would change what it works on.
    fn clean(&self, args: &[&str]) -> Command {
        let mut git = command("git", args);
        git.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let keep = KEPT_VARIABLES.iter().any(|kept| text.starts_with(kept));
            if text.starts_with("GIT_") && !keep {
                git.env_remove(&name);
            }
        }
        git
    }

    /// What the system's, the user's and the command line's configuration say about remotes. Where Git cannot tell,
    /// the command that follows says why.
    fn settings_of_caller(&self) -> Vec<(String, String)> {
        let mut git = self.clean(&["config", "--list", "--null", "--show-scope"]);
        for (name, value) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GIT_CONFIG") {
                git.env(name, value);
            }
        }
        let listed = git.read_bytes().unwrap_or_default();
        parse_settings(&String::from_utf8_lossy(&listed))
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

    /// The full id of the commit that a name refers to, if this clone has it.
    pub fn commit(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        self.read(&args).ok()
    }

    /// As [`Git::commit`], for a commit that must be there.
    ///
    /// # Errors
    /// When this clone does not have it.
    pub fn require_commit(&self, name: &str) -> Result<String, Error> {
        self.commit(name)
            .ok_or_else(|| Error::NoCommit(name.to_owned()))
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// When the folder is in no repository, or the repository has no commit.
    pub fn head(&self) -> Result<String, Error> {
        self.require_commit("HEAD")
    }

    /// What a commit says about itself.
    ///
    /// # Errors
    /// When this clone does not have it.
    pub fn describe(&self, name: &str) -> Result<CommitInfo, Error> {
        let sha = self.require_commit(name)?;
        let format = "--format=%an <%ae>%x00%aI%x00%s";
        let shown = self.read_bytes(&["show", "--no-patch", format, &sha])?;
        let shown = String::from_utf8_lossy(&shown);
        let mut fields = shown.trim_end_matches('\n').splitn(3, '\0');
        let mut next = || fields.next().unwrap_or_default().to_owned();
        Ok(CommitInfo {
            author: next(),
            date: next(),
            subject: next(),
            sha,
        })
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

    /// The URL of a remote.
    ///
    /// # Errors
    /// When there is no remote of that name.
    pub fn remote_url(&self, remote: &str) -> Result<String, Error> {
        self.read(&["remote", "get-url", "--", remote])
    }

    /// The commit that a remote has under a full name (`refs/heads/develop`) now, if it has that name.
    ///
    /// # Errors
    /// When the remote cannot be read.
    pub fn remote_tip(&self, remote: &str, reference: &str) -> Result<Option<String>, Error> {
        let mut list = self.command(&["ls-remote", "--quiet", "--", remote, reference]);
        let listed = list.read().map_err(|source| Error::Fetch {
            name: name_of(reference),
            remote: remote.to_owned(),
            source,
        })?;
        let mut lines = listed.lines().filter_map(|line| line.split_once('\t'));
        let exact = lines.find(|(_, name)| *name == reference);
        Ok(exact.map(|(id, _)| id.to_owned()))
    }

    /// Fetches what a remote has under a full name (`refs/heads/develop`), with its history, and returns its commit.
    ///
    /// # Errors
    /// When the remote cannot be read or has no such commit.
    pub fn fetch(&self, remote: &str, reference: &str) -> Result<String, Error> {
        let mut args = vec!["fetch", "--quiet", "--no-tags"];
        if self.is_shallow()? {
            args.push("--unshallow");
        }
        args.extend(["--", remote, reference]);
        self.command(&args)
            .run_quietly()
            .map_err(|source| Error::Fetch {
                name: name_of(reference),
                remote: remote.to_owned(),
                source,
            })?;
        self.require_commit("FETCH_HEAD")
    }

    /// Pushes a commit to a full name (`refs/heads/develop`) of a remote.
    ///
    /// # Errors
    /// When the remote refuses.
    pub fn push(&self, remote: &str, commit: &str, reference: &str) -> Result<(), Error> {
        self.push_with(&[], remote, commit, reference)
    }

    /// As [`Git::push`], in place of what the remote has there, if that is still `expected` (`None`: nothing).
    ///
    /// # Errors
    /// When the remote refuses, or has something else there.
    pub fn replace(
        &self,
        remote: &str,
        commit: &str,
        reference: &str,
        expected: Option<&str>,
    ) -> Result<(), Error> {
        let expected = expected.unwrap_or_default();
        let lease = format!("--force-with-lease={reference}:{expected}");
        self.push_with(&[&lease], remote, commit, reference)
    }

    /// As [`Git::push`], with more options of `git push`.
    ///
    /// # Errors
    /// When the remote refuses.
    pub fn push_with(
        &self,
        options: &[&str],
        remote: &str,
        commit: &str,
        reference: &str,
    ) -> Result<(), Error> {
        let place = format!("{commit}:{reference}");
        let args = [&["push", "--quiet"], options, &["--", remote, &place]].concat();
        self.command(&args)
            .run_quietly()
            .map_err(|source| Error::Push {
                name: name_of(reference),
                remote: remote.to_owned(),
                source,
            })
    }

    /// The file that a commit has at a path.
    ///
    /// # Errors
    /// When there is none, or it is not UTF-8.
    pub fn file(&self, commit: &str, path: &str) -> Result<File, Error> {
        let entry = self.read_bytes(&["ls-tree", "-z", "--full-tree", commit, "--", path])?;
        let entry = String::from_utf8_lossy(&entry);
        let (mode, _) = entry.split_once(" blob ").ok_or_else(|| Error::NoFile {
            path: path.to_owned(),
            commit: commit.to_owned(),
        })?;
        let text = self.read_bytes(&["cat-file", "blob", &format!("{commit}:{path}")])?;
        Ok(File {
            mode: mode.to_owned(),
            path: path.to_owned(),
            text: String::from_utf8(text).map_err(|_| Error::NotUtf8(path.to_owned()))?,
        })
    }

    /// Merges `theirs` into `ours` as a commit. The work tree and its index are not touched.
    ///
    /// # Errors
    /// When both have changed the same lines; with the files.
    pub fn merge(&self, ours: &str, theirs: &str, message: &str) -> Result<String, Error> {
        let args = [
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            ours,
            theirs,
        ];
        let output = self.command(&args).capture()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut lines = said.split('\0').filter(|line| !line.is_empty());
        match (output.status.code(), lines.next()) {
            (Some(0), Some(tree)) => self.commit_tree(tree, &[ours, theirs], message),
            (Some(1), Some(_)) => Err(Error::Conflict(lines.map(str::to_owned).collect())),
            _ => Err(Error::Merge {
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
                reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    /// Makes a commit on top of `tip` with one file changed or added. The work tree and its index are not touched.
    ///
    /// # Errors
    /// When the file cannot be stored, or no identity is set.
    pub fn commit_file(&self, tip: &str, file: &File, message: &str) -> Result<String, Error> {
        let folder = tempfile::tempdir().map_err(Error::Temporary)?;
        let with_index = |args: &[&str]| -> Result<String, Error> {
            let index = folder.path().join("index");
            Ok(self.command(args).env("GIT_INDEX_FILE", index).read()?)
        };
        let mut store = self.command(&["hash-object", "-w", "--stdin", "--no-filters"]);
        let blob = store.read_with(file.text.as_bytes())?;
        with_index(&["read-tree", tip])?;
        let entry = format!("{},{blob},{}", file.mode, file.path);
        with_index(&["update-index", "--add", "--cacheinfo", &entry])?;
        let tree = with_index(&["write-tree"])?;
        self.commit_tree(&tree, &[tip], message)
    }

    fn commit_tree(&self, tree: &str, parents: &[&str], message: &str) -> Result<String, Error> {
        let mut args = vec!["commit-tree", "-F", "-"];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent]));
        args.push(tree);
        let message = format!("{}\n", message.trim_end());
        Ok(self.command(&args).read_with(message.as_bytes())?)
    }
}

/// `develop` of `refs/heads/develop`.
fn name_of(reference: &str) -> String {
    let mut kinds = ["refs/heads/", "refs/tags/"].iter();
    let name = kinds.find_map(|kind| reference.strip_prefix(kind));
    name.unwrap_or(reference).to_owned()
}

/// The entries of `git config --list --null --show-scope` that reach a remote and are not a repository's own.
fn parse_settings(listed: &str) -> Vec<(String, String)> {
    let mut fields = listed.split('\0');
    let mut settings = Vec::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        // A key without a value means true.
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        let caller = matches!(scope, "system" | "global" | "command");
        if caller && KEPT_SETTINGS.iter().any(|kept| key.starts_with(kept)) {
            settings.push((key.to_owned(), value.to_owned()));
        }
    }
    settings
}
