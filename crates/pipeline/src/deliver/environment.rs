//! An environment: its branch, its values there, and how a commit says what they deploy.

use crate::deliver::reference;
use crate::git::Git;
use crate::workflow::{self, short};
use crate::yaml::{self, Node};
use anyhow::{Context, Result};

/// The first words of trailers that name what a commit deploys: those of Argo CD's source hydrator.
pub(crate) const SOURCE: &str = "Argocd-reference-commit";

/// What the service runs in. Each gets what the one before it has proven.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Env {
    Dev,
    Staging,
    Prod,
}

impl Env {
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

/// Which image runs.
pub(crate) struct Image {
    /// For people to read.
    pub(crate) tag: String,
    /// Decides.
    pub(crate) digest: String,
}

/// An environment's values, as a commit has them.
pub(crate) struct Values {
    path: String,
    /// The file's mode as git writes it: `100644`.
    mode: String,
    text: String,
}

impl Values {
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

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The image that they pin, where they pin one.
    pub(crate) fn image(&self) -> Result<Option<Image>> {
        let in_file = || format!("cannot tell the image in {}", self.path);
        let digest = reference::pinned(&self.text).with_context(in_file)?;
        let tree = Node::parse(&self.text)?;
        let tag = tree.at("image.tag").and_then(Node::text);
        let tag = tag
            .context("there is no key `image.tag`")
            .with_context(in_file)?;
        Ok(digest.map(|digest| Image {
            tag: tag.to_owned(),
            digest,
        }))
    }

    /// Why they are to stay, where somebody wants that, whatever is built.
    pub(crate) fn hold(&self) -> Result<Option<String>> {
        let tree = Node::parse(&self.text)?;
        let Some(hold) = tree.get("hold") else {
            return Ok(None);
        };
        let text = |key: &str| hold.get(key).and_then(Node::text).unwrap_or("(not said)");
        Ok(Some(format!(
            "{} (by {}, since {})",
            text("reason"),
            text("by"),
            text("since")
        )))
    }

    /// With another image, and every other byte as it was.
    pub(crate) fn with(&self, image: &Image) -> Result<Self> {
        let text =
            with_image(&self.text, image).with_context(|| format!("cannot edit {}", self.path))?;
        Ok(Self {
            path: self.path.clone(),
            mode: self.mode.clone(),
            text,
        })
    }

    /// The delivery bot's commit of them on top of another.
    pub(crate) fn commit(&self, git: &Git, tip: &str, message: &str) -> Result<String> {
        git.commit_file(tip, &self.mode, &self.path, &self.text, message)
    }

    /// What the commit says that gives an environment an image.
    pub(crate) fn message(&self, env: Env, image: &Image, source: &Source) -> Result<String> {
        let repository = Node::parse(&self.text)?
            .at("image.repository")
            .and_then(Node::text)
            .map_or_else(|| "The image".to_owned(), str::to_owned);
        let mut message = format!(
            "chore(deploy): {} {}\n\n{repository} was built from {}.\nDigest: {}\n\n",
            env.name(),
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
                message.push_str(&format!("{SOURCE}-{name}: {value}\n"));
            }
        }
        Ok(message)
    }
}

/// Values with another image, and every other byte as it was.
pub(crate) fn with_image(values: &str, image: &Image) -> Result<String> {
    let changes = [
        ("image.tag", image.tag.as_str()),
        ("image.digest", image.digest.as_str()),
    ];
    yaml::set(values, &changes)
}

/// The commit that an image was built from.
pub(crate) struct Source {
    pub(crate) sha: String,
    author: String,
    subject: String,
    date: String,
}

impl Source {
    pub(crate) fn read(git: &Git, name: &str) -> Result<Self> {
        let sha = git
            .commit(name)
            .with_context(|| format!("`{name}` is not a commit that this clone has"))?;
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
