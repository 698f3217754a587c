//! `delivery.toml`: who owns the project, what it is called, and the environments that a version passes through.

mod file;
mod platform;
mod protection;

pub use platform::Platform;
pub use protection::{Check, Protection};

use crate::reference::{self, Repository};
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name, at the top of the repository.
pub const FILE: &str = "delivery.toml";

/// Why there is no usable `delivery.toml`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML, lacks a key, or has one that is not known.
    #[error("{FILE} is not valid: {0}")]
    Syntax(toml::de::Error),
    /// The values contradict each other.
    #[error("{FILE} is not valid:{}", lines(.0))]
    Invalid(Vec<String>),
    /// A name is not one of the environments.
    #[error("there is no environment `{name}` in {FILE}; it has {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names that the file has.
        known: String,
    },
}

fn lines(problems: &[String]) -> String {
    problems.iter().map(|p| format!("\n- {p}")).collect()
}

/// How a version gets to an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// Each build of the environment's branch is written back to its values file.
    Build,
    /// On request, a pull request proposes what the environment before runs.
    PullRequest,
    /// A version tag on the branch of the environment before opens such a pull request.
    Tag,
}

/// Who starts a sync of the environment's Argo CD Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Argo CD, as soon as the branch changes.
    Automatic,
    /// A person.
    Manual,
}

/// Where a version runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The name, a DNS label: `dev`.
    pub name: String,
    /// The branch that Argo CD deploys from.
    pub branch: String,
    /// The namespace in the cluster.
    pub namespace: String,
    /// The values file, relative to the top of the repository.
    pub values: String,
    /// How a version gets here.
    pub promotion: Promotion,
    /// Who starts a sync.
    pub sync: Sync,
    /// How many people must approve a pull request to the branch.
    pub approvals: u32,
    /// Where people reach the service, which GitHub shows with each deployment.
    pub url: Option<String>,
    image_tags: Vec<String>,
}

impl Environment {
    /// The full name of the branch in Git: `refs/heads/develop`.
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The tags of an image that a push of `commit` to the branch publishes, the one to deploy last. Empty where such
    /// a push publishes nothing.
    pub fn image_tags(&self, commit: &str) -> Vec<String> {
        fill(
            &self.image_tags,
            &[
                ("branch", &self.branch),
                ("commit", crate::git::short(commit)),
            ],
        )
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The content of `delivery.toml`, checked and with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The owner of the repository on the forge.
    pub owner: String,
    /// The name of the repository, the chart and the Applications.
    pub name: String,
    /// The host of the registry.
    pub registry: String,
    /// The chart's folder, relative to the top of the repository.
    pub chart: String,
    /// The platforms that the image is built for. The first is [`Platform::Amd64`].
    pub platforms: Vec<Platform>,
    /// What the protection of branches and tags needs besides the environments.
    pub protection: Protection,
    image_repository: Repository,
    environments: Vec<Environment>,
    release: Release,
}

/// The templates of the tags of a released image.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Release {
    /// For a final version.
    image_tags: Vec<String>,
    /// For a prerelease.
    prerelease_image_tags: Vec<String>,
}

impl Delivery {
    /// Reads `delivery.toml` at the top of a repository.
    ///
    /// # Errors
    /// When the file is missing or not valid.
    pub fn load(root: &Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        Self::parse(&text)
    }

    /// Owner and name, as forges write them: `acme/shop`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The image without tag or digest: `ghcr.io/acme/shop`.
    pub fn image_repository(&self) -> &Repository {
        &self.image_repository
    }

    /// The image in another registry: `localhost:5000/acme/shop`.
    ///
    /// # Errors
    /// When `registry` is not a host with an optional port.
    pub fn image_repository_in(&self, registry: &str) -> Result<Repository, reference::Error> {
        if !reference::is_registry(registry) {
            return Err(reference::Error::Registry(registry.to_owned()));
        }
        format!("{registry}/{}", self.image_repository.path()).parse()
    }

    /// The environments, in the order in which a version passes through them. There are at least two.
    pub fn environments(&self) -> &[Environment] {
        &self.environments
    }

    /// The environment of a name.
    ///
    /// # Errors
    /// When there is none; with the names that exist.
    pub fn environment(&self, name: &str) -> Result<&Environment, Error> {
        let mut all = self.environments.iter();
        all.find(|env| env.name == name)
            .ok_or_else(|| Error::Unknown {
                name: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            })
    }

    /// The names of the environments, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.environments.iter().map(|env| env.name.as_str())
    }

    /// The environment that is deployed from a branch.
    pub fn by_branch(&self, branch: &str) -> Option<&Environment> {
        self.environments.iter().find(|env| env.branch == branch)
    }

    /// The environment whose values are in a file, by its path from the top of the repository.
    pub fn by_values(&self, path: &str) -> Option<&Environment> {
        self.environments.iter().find(|env| env.values == path)
    }

    /// The environment that a version passes through before `env`.
    pub fn previous(&self, env: &Environment) -> Option<&Environment> {
        self.position(env)?
            .checked_sub(1)
            .and_then(|at| self.environments.get(at))
    }

    /// The environment that a version passes through after `env`.
    pub fn next(&self, env: &Environment) -> Option<&Environment> {
        self.environments.get(self.position(env)? + 1)
    }

    fn position(&self, env: &Environment) -> Option<usize> {
        self.environments.iter().position(|e| e.name == env.name)
    }

    /// The environment that gets each build of its branch.
    pub fn first(&self) -> &Environment {
        // `check` refuses a file without environments.
        &self.environments[0]
    }

    /// Production: the environment that gets what a version tag names.
    pub fn last(&self) -> &Environment {
        &self.environments[self.environments.len() - 1]
    }

    /// The environment whose branch holds version tags: the one before production.
    pub fn tagged(&self) -> &Environment {
        &self.environments[self.environments.len() - 2]
    }

    /// Whether images are built from a branch. Branches that change by promotion run images that exist.
    pub fn is_built(&self, branch: &str) -> bool {
        self.by_branch(branch)
            .is_none_or(|env| env.promotion == Promotion::Build)
    }

    /// The name of an environment's Argo CD Application and project: `shop-dev`.
    pub fn application(&self, env: &Environment) -> String {
        format!("{}-{}", self.name, env.name)
    }

    /// The tags of a released image, the one to deploy last. `version` is the version tag, such as `v1.2.0`.
    pub fn release_image_tags(&self, version: &str, prerelease: bool, commit: &str) -> Vec<String> {
        let templates = match prerelease {
            true => &self.release.prerelease_image_tags,
            false => &self.release.image_tags,
        };
        fill(
            templates,
            &[("version", version), ("commit", crate::git::short(commit))],
        )
    }
}

/// Replaces `{key}` in each template.
fn fill(templates: &[String], values: &[(&str, &str)]) -> Vec<String> {
    let one = |template: &String| {
        values.iter().fold(template.clone(), |text, (key, value)| {
            text.replace(&format!("{{{key}}}"), value)
        })
    };
    templates.iter().map(one).collect()
}

#[cfg(test)]
mod tests;
