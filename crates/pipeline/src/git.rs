//! Git, by its command line: it brings credentials, hooks, signing and every transport.

use crate::workflow;
use anyhow::{Context, Result, bail};
use devkit::process::{Run, command};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository, and what its remote needs to let us in.
#[derive(Clone)]
pub(crate) struct Git {
    root: PathBuf,
    variables: Vec<(String, String)>,
}

impl Git {
    /// The repository whose work tree is `root`.
    pub(crate) fn new(root: &Path) -> Self {
        let no_prompt = ("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned());
        Self {
            root: root.to_owned(),
            variables: vec![no_prompt],
        }
    }

    /// Sends `token` to `url`, and only there. It travels in the environment: arguments can be read by others.
    pub(crate) fn with_token(mut self, url: &str, token: &str) -> Self {
        let others = std::env::var("GIT_CONFIG_COUNT");
        let next: usize = others.ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let value = crate::auth::basic("x-access-token", token);
        for (name, value) in [
            ("GIT_CONFIG_COUNT".to_owned(), (next + 1).to_string()),
            (
                format!("GIT_CONFIG_KEY_{next}"),
                format!("http.{url}.extraHeader"),
            ),
            (
                format!("GIT_CONFIG_VALUE_{next}"),
                format!("Authorization: Basic {value}"),
            ),
        ] {
            self.variables.push((name, value));
        }
        self
    }

    /// A git command in this repository.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = command("git", args);
        command
            .current_dir(&self.root)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What the command prints.
    pub(crate) fn read(&self, args: &[&str]) -> Result<String> {
        Ok(self.command(args).read()?)
    }

    /// What the command prints, byte for byte.
    pub(crate) fn read_bytes(&self, args: &[&str]) -> Result<Vec<u8>> {
        Ok(self.command(args).read_bytes()?)
    }

    /// The full id of a commit, if this clone has it.
    pub(crate) fn commit(&self, name: &str) -> Option<String> {
        let name = format!("{name}^{{commit}}");
        self.read(&[
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ])
        .ok()
    }

    /// Whether `older` is in the history of `newer` (a commit is in its own).
    pub(crate) fn contains(&self, newer: &str, older: &str) -> Result<bool> {
        let mut command = self.command(&["merge-base", "--is-ancestor", older, newer]);
        match command.capture()?.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => bail!("git can't compare {older} with {newer}: is the clone complete?"),
        }
    }

    /// Whether this clone has only the newest part of the history.
    pub(crate) fn is_shallow(&self) -> Result<bool> {
        Ok(self.read(&["rev-parse", "--is-shallow-repository"])? == "true")
    }

    /// What a remote has under a full name now, with its history: `refs/heads/develop`.
    pub(crate) fn fetch(&self, remote: &str, reference: &str) -> Result<String> {
        let mut args = vec!["fetch", "--quiet", "--no-tags"];
        if self.is_shallow()? {
            args.push("--unshallow");
        }
        args.extend([remote, reference]);
        let kinds = ["refs/heads/", "refs/tags/"];
        let name = kinds.iter().find_map(|kind| reference.strip_prefix(kind));
        let name = name.unwrap_or(reference);
        self.read(&args)
            .with_context(|| format!("cannot fetch {name} from {remote}"))?;
        self.commit("FETCH_HEAD")
            .context("git fetched something that is not a commit")
    }

    /// The delivery bot's merge of `theirs` into `ours`. Out of objects: the work tree isn't touched.
    ///
    /// # Errors
    /// When both have changed the same lines; with the files.
    pub(crate) fn merge(&self, ours: &str, theirs: &str, message: &str) -> Result<String> {
        let words = ["merge-tree", "--write-tree", "--name-only", "--no-messages"];
        let mut command = self.command(&words);
        let output = command.args([ours, theirs]).capture()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut lines = said.lines();
        match (output.status.code(), lines.next()) {
            (Some(0), Some(tree)) => self.commit_tree(tree, &[ours, theirs], message),
            (Some(1), Some(_)) => bail!(
                "both have changed the same lines of {}",
                lines.collect::<Vec<_>>().join(", ")
            ),
            _ => bail!(
                "git can't merge {theirs} into {ours}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ),
        }
    }

    /// Makes a commit of the delivery bot on top of `tip`, with one file changed. Out of objects: the work tree and
    /// its index aren't touched.
    pub(crate) fn commit_file(
        &self,
        tip: &str,
        mode: &str,
        path: &str,
        text: &str,
        message: &str,
    ) -> Result<String> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let with_index = |args: &[&str]| -> Result<String> {
            let mut command = self.command(args);
            let index = folder.path().join("index");
            Ok(command.env("GIT_INDEX_FILE", index).read()?)
        };
        let blob = folder.path().join("blob");
        std::fs::write(&blob, text).with_context(|| format!("cannot write {}", blob.display()))?;
        let blob = blob.to_string_lossy();
        let blob = self.read(&["hash-object", "-w", "--no-filters", &blob])?;
        with_index(&["read-tree", tip])?;
        let entry = format!("{mode},{blob},{path}");
        with_index(&["update-index", "--cacheinfo", &entry])?;
        let tree = with_index(&["write-tree"])?;
        self.commit_tree(&tree, &[tip], message)
    }

    fn commit_tree(&self, tree: &str, parents: &[&str], message: &str) -> Result<String> {
        let mut command = self.command(&["commit-tree", "-m", message, tree]);
        command.args(parents.iter().flat_map(|parent| ["-p", parent]));
        let name =
            workflow::var("DELIVERY_BOT_NAME").unwrap_or_else(|| "waybill-delivery".to_owned());
        let email = workflow::var("DELIVERY_BOT_EMAIL")
            .unwrap_or_else(|| "waybill-delivery@users.noreply.github.com".to_owned());
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), &name);
            command.env(format!("GIT_{role}_EMAIL"), &email);
        }
        Ok(command.read()?)
    }
}
