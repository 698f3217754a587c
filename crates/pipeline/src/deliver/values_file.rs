//! The values file of an environment, and the commits that change the image in it.

use crate::workflow;
use anyhow::{Context, Result};
use devkit::delivery::Environment;
use devkit::git::{CommitInfo, File, Git, is_commit, short};
use devkit::plain;
use devkit::reference::{Digest, Image};
use devkit::text::Plain;
use devkit::values::{Hold, Values};
use std::path::Path;

/// The prefix of the trailers that name the deployed source commit. Argo CD's source hydrator writes the same
/// (<https://argo-cd.readthedocs.io/en/stable/user-guide/source-hydrator/>).
const TRAILER_PREFIX: &str = "Argocd-reference-commit";

/// How the subject of a commit that deploys an image begins.
pub(super) const SUBJECT_PREFIX: &str = "chore(deploy):";

/// The digest that the checked-out values of an environment pin; `None` before the first image.
pub(super) fn pinned_digest(root: &Path, env: &Environment) -> Result<Option<Digest>> {
    let file = root.join(&env.values);
    if !file.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&file);
    let text = text.with_context(|| format!("cannot read {}", env.values))?;
    let digest = || Values::parse(text)?.digest();
    digest().with_context(|| env.values.clone())
}

/// The commit that the newest image in a values file was built from, by the trailers of the commits up to `tip`.
pub(super) fn newest_source(git: &Git, tip: &str, path: &str) -> Result<Option<String>> {
    let format = format!("--format=%(trailers:key={TRAILER_PREFIX}-sha,valueonly)");
    let grep = format!("--grep=^{TRAILER_PREFIX}-sha: ");
    let log = git.read_lossy(&["log", &format, &grep, tip, "--", path])?;
    Ok(log.lines().find(|line| is_commit(line)).map(str::to_owned))
}

/// A values file at a commit.
pub(super) struct ValuesFile {
    file: File,
    values: Values,
}

impl ValuesFile {
    /// Reads the file at a commit.
    pub(super) fn read(git: &Git, commit: &str, path: &str) -> Result<Self> {
        let file = git.file(commit, path)?;
        let values = Values::parse(file.text.clone()).with_context(|| path.to_owned())?;
        Ok(Self { file, values })
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &str {
        self.values.text()
    }

    /// The image that the values pin, if any.
    pub(super) fn image(&self) -> Result<Option<Image>> {
        let image = self.values.image();
        image.with_context(|| format!("cannot read the image from {}", self.file.path))
    }

    /// Whether `image` differs from that of another file at most in tag and digest.
    pub(super) fn has_image_settings_of(&self, other: &Self) -> bool {
        self.values.has_image_settings_of(&other.values)
    }

    /// The reason why the image must not change, if there is one.
    pub(super) fn hold(&self) -> Result<Option<Hold>> {
        let hold = self.values.hold();
        hold.with_context(|| self.file.path.clone())
    }

    /// The same file with another image. No other byte changes.
    pub(super) fn with_image(&self, image: &Image) -> Result<Self> {
        self.edited(self.values.with_image(image))
    }

    /// The same file with a hold. No other byte changes.
    pub(super) fn with_hold(&self, hold: &Hold) -> Result<Self> {
        self.edited(self.values.with_hold(hold))
    }

    /// The same file without a hold. No other byte changes.
    pub(super) fn without_hold(&self) -> Result<Self> {
        self.edited(self.values.without_hold())
    }

    fn edited(&self, values: Result<Values, devkit::values::Error>) -> Result<Self> {
        let values = values.with_context(|| format!("cannot edit {}", self.file.path))?;
        Ok(Self {
            file: File {
                text: values.text().to_owned(),
                ..self.file.clone()
            },
            values,
        })
    }

    /// Commits the file on top of `tip`, and returns the commit.
    pub(super) fn commit(&self, git: &Git, tip: &str, message: &Plain) -> Result<String> {
        Ok(git.commit_file(tip, &self.file, message)?)
    }

    /// The message of the commit that deploys an image to an environment. `source` is what the image was built from.
    pub(super) fn message(&self, env: &Environment, image: &Image, source: &CommitInfo) -> Plain {
        self.message_with(&plain!("{} {}", env, image.tag), image, source)
    }

    /// As [`ValuesFile::message`], with a text of its own after the prefix of the subject.
    pub(super) fn message_with(
        &self,
        subject: &Plain,
        image: &Image,
        source: &CommitInfo,
    ) -> Plain {
        let repository = self.values.image_repository().unwrap_or("The image");
        let mut message = plain!(
            "{} {}\n\n{} was built from {}.\nDigest: {}\n\n",
            SUBJECT_PREFIX,
            subject,
            repository,
            short(&source.sha),
            image.digest
        );
        let url = workflow::repository_url();
        let trailers = [
            ("sha", Some(&source.sha)),
            ("author", Some(&source.author)),
            ("date", Some(&source.date)),
            ("subject", Some(&source.subject)),
            ("repourl", url.as_ref()),
        ];
        for (name, value) in trailers {
            if let Some(value) = value {
                message.push(&plain!("{}-{}: {}\n", TRAILER_PREFIX, name, value));
            }
        }
        message
    }
}
