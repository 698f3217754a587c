//! An environment: its branch, its values file, and the commits that deploy to it.

use super::reference::{self, ImageReference};
use crate::git::Git;
use crate::project::root;
use crate::workflow::{self, short};
use crate::yaml::{self, Node};
use anyhow::{Context, Result, ensure};

/// The prefix of the trailers that name the deployed source commit. Argo CD's source hydrator writes the same
/// (<https://argo-cd.readthedocs.io/en/stable/user-guide/source-hydrator/>).
pub(crate) const TRAILER_PREFIX: &str = "Argocd-reference-commit";

/// The environments of the service, in the order in which an image passes through them.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Environment {
    /// Development; each merge to `develop` is deployed
    Dev,
    /// Staging; changes by pull request
    Staging,
    /// Production; changes by pull request
    Prod,
}

impl Environment {
    /// The name in values files and in Argo CD.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }

    /// The branch that Argo CD deploys from.
    pub(crate) fn branch(self) -> &'static str {
        match self {
            Self::Dev => "develop",
            Self::Staging => "staging",
            Self::Prod => "main",
        }
    }

    /// The values file in the repository.
    pub(crate) fn file(self) -> String {
        format!("charts/waybill/values-{}.yaml", self.name())
    }
}

/// The digest that the checked-out values of an environment pin, if any.
pub(crate) fn pinned_digest(environment: Environment) -> Result<Option<String>> {
    let path = environment.file();
    let file = root()?.join(&path);
    if !file.exists() {
        return Ok(None);
    }
    let values = std::fs::read_to_string(&file).with_context(|| format!("cannot read {path}"))?;
    reference::pinned(&values).with_context(|| path)
}

/// Fails unless a commit is on the branch `staging` of this clone: a release must have run on staging.
pub(crate) fn require_on_staging(git: &Git, sha: &str) -> Result<()> {
    let staging = git
        .commit("refs/remotes/origin/staging")
        .context("this clone does not have the branch staging: fetch the whole history")?;
    require_on_staging_tip(git, &staging, sha)
}

/// As [`require_on_staging`], for a given tip of the branch.
pub(crate) fn require_on_staging_tip(git: &Git, staging: &str, sha: &str) -> Result<()> {
    ensure!(
        git.contains(staging, sha)?,
        "commit {sha} is not on staging: a release needs a commit that ran on staging, so tag a commit of that branch"
    );
    Ok(())
}

/// The values file of an environment, at a commit.
pub(crate) struct Values {
    path: String,
    /// The file's mode as git writes it: `100644`.
    mode: String,
    text: String,
}

impl Values {
    /// Reads the file at a commit.
    pub(crate) fn read(git: &Git, commit: &str, path: &str) -> Result<Self> {
        let entry = git.read(&["ls-tree", "-z", commit, "--", path])?;
        let (mode, _) = entry
            .split_once(" blob ")
            .with_context(|| format!("there is no file {path} in commit {}", short(commit)))?;
        let text = git.read_bytes(&["cat-file", "blob", &format!("{commit}:{path}")])?;
        let text = String::from_utf8(text).with_context(|| format!("{path} is not UTF-8"))?;
        Ok(Self {
            path: path.to_owned(),
            mode: mode.to_owned(),
            text,
        })
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The image that the values pin, if any.
    pub(crate) fn image(&self) -> Result<Option<ImageReference>> {
        let in_file = || format!("cannot read the image from {}", self.path);
        let digest = reference::pinned(&self.text).with_context(in_file)?;
        let tree = Node::parse(&self.text)?;
        let tag = tree.at("image.tag").and_then(Node::text);
        let tag = tag
            .context("there is no key `image.tag`")
            .with_context(in_file)?;
        Ok(digest.map(|digest| ImageReference {
            tag: tag.to_owned(),
            digest,
        }))
    }

    /// The reason of a hold, if the values have one. A hold stops all changes of the image.
    pub(crate) fn hold(&self) -> Result<Option<String>> {
        let tree = Node::parse(&self.text)?;
        let Some(hold) = tree.get("hold") else {
            return Ok(None);
        };
        let text = |key: &str| hold.get(key).and_then(Node::text).unwrap_or("(unknown)");
        Ok(Some(format!(
            "{} (by {}, since {})",
            text("reason"),
            text("by"),
            text("since")
        )))
    }

    /// The same file with another image. No other byte changes.
    pub(crate) fn with(&self, image: &ImageReference) -> Result<Self> {
        let text =
            with_image(&self.text, image).with_context(|| format!("cannot edit {}", self.path))?;
        Ok(Self {
            path: self.path.clone(),
            mode: self.mode.clone(),
            text,
        })
    }

    /// Commits the file as the delivery bot, on top of `tip`.
    pub(crate) fn commit(&self, git: &Git, tip: &str, message: &str) -> Result<String> {
        git.commit_file(tip, &self.mode, &self.path, &self.text, message)
    }

    /// The message of the commit that deploys an image to an environment.
    pub(crate) fn message(
        &self,
        environment: Environment,
        image: &ImageReference,
        source: &SourceCommit,
    ) -> Result<String> {
        let repository = Node::parse(&self.text)?
            .at("image.repository")
            .and_then(Node::text)
            .map_or_else(|| "The image".to_owned(), str::to_owned);
        let mut message = format!(
            "chore(deploy): {} {}\n\n{repository} was built from {}.\nDigest: {}\n\n",
            environment.name(),
            image.tag,
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
                message.push_str(&format!("{TRAILER_PREFIX}-{name}: {value}\n"));
            }
        }
        Ok(message)
    }
}

/// The text of a values file with another image. No other byte changes.
pub(crate) fn with_image(values: &str, image: &ImageReference) -> Result<String> {
    let changes = [
        ("image.tag", image.tag.as_str()),
        ("image.digest", image.digest.as_str()),
    ];
    yaml::set(values, &changes)
}

/// The commit that an image was built from, as the trailers describe it.
pub(crate) struct SourceCommit {
    /// The full commit ID.
    pub(crate) sha: String,
    author: String,
    subject: String,
    date: String,
}

impl SourceCommit {
    /// Reads the commit with a name such as `HEAD`.
    pub(crate) fn read(git: &Git, name: &str) -> Result<Self> {
        let sha = git
            .commit(name)
            .with_context(|| format!("this clone has no commit `{name}`"))?;
        let show = |format: &str| {
            let format = format!("--format={format}");
            git.read(&["show", "--no-patch", "--no-show-signature", &format, &sha])
        };
        Ok(Self {
            author: show("%an <%ae>")?,
            subject: show("%s")?,
            date: show("%aI")?,
            sha,
        })
    }
}
