//! The commit that an image is built from.

use crate::workflow;
use anyhow::{Context, Result};
use devkit::git::Git;
use jiff::Timestamp;

/// What a build takes from its commit. The time is the commit's too, so that a second build gives the same bytes.
pub(crate) struct Revision {
    /// The full commit ID.
    pub(crate) commit: String,
    /// The time of the commit.
    pub(crate) created: Timestamp,
}

impl Revision {
    /// The commit that is checked out.
    pub(crate) fn head(git: &Git) -> Result<Self> {
        let commit = git.head()?;
        let changes = git.read(&["status", "--porcelain", "--untracked-files=no"])?;
        if !changes.is_empty() {
            eprintln!(
                "warning: the work tree has changes that are not committed, and the image will contain them"
            );
        }
        let seconds = git
            .read(&["show", "--no-patch", "--format=%ct", &commit])?
            .parse();
        let seconds = seconds.context("git printed a commit time that is not a number")?;
        Ok(Self {
            commit,
            created: Timestamp::from_second(seconds).context("the commit time is out of range")?,
        })
    }

    /// The labels of the image, by their OCI names
    /// (<https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md>). The Dockerfile adds those that do
    /// not depend on the commit.
    pub(crate) fn labels(&self) -> Vec<(String, String)> {
        let labels = [
            ("title", Some("waybill".to_owned())),
            ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("revision", Some(self.commit.clone())),
            ("created", Some(self.created.to_string())),
            ("source", workflow::repository_url()),
        ];
        labels
            .into_iter()
            .filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?)))
            .collect()
    }
}
