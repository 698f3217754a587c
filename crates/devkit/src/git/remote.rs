//! What remotes have, and pushing to them.

use super::{Error, Git, is_sha256};
use crate::process::Run;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Git {
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
        let mut args = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        if self.is_shallow()? {
            args.push("--unshallow");
        }
        // A name of its own: an editor that fetches at the same time replaces FETCH_HEAD.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let fetched = format!("refs/delivery/fetched-{process}-{count}");
        let place = format!("+{reference}:{fetched}");
        args.extend(["--", remote, &place]);
        if let Err(source) = self.command(&args).run_quietly() {
            // The reason may be that the remote has other object names than this clone.
            return Err(match self.remote_tip(remote, reference) {
                Ok(Some(tip)) if is_sha256(&tip) => Error::Sha256,
                _ => Error::Fetch {
                    name: name_of(reference),
                    remote: remote.to_owned(),
                    source,
                },
            });
        }
        let commit = self.require_commit(&fetched);
        // Another program may have locked the names; one that stays does no harm.
        let _ = self.read(&["update-ref", "-d", &fetched]);
        commit
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
        // A clone by `git clone --mirror` would push all refs, or refuse to push one.
        let mirror = format!("remote.{remote}.mirror");
        self.clone()
            .with_setting(&mirror, "false")
            .command(&args)
            .run_quietly()
            .map_err(|source| Error::Push {
                name: name_of(reference),
                remote: remote.to_owned(),
                source,
            })
    }
}

/// `develop` of `refs/heads/develop`.
fn name_of(reference: &str) -> String {
    let mut kinds = ["refs/heads/", "refs/tags/"].iter();
    let name = kinds.find_map(|kind| reference.strip_prefix(kind));
    name.unwrap_or(reference).to_owned()
}
