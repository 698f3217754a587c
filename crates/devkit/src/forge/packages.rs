//! Images in the forge's own registry.

use super::{Error, Forge, Kind, encoded};
use crate::reference::Digest;
use serde::Deserialize;
use std::collections::BTreeSet;

/// An image in GitHub's registry (<https://docs.github.com/en/rest/packages/packages>).
#[derive(Clone, Debug)]
pub struct ImagePackage<'a> {
    forge: &'a Forge,
    /// The path of its versions.
    path: String,
}

/// A manifest in GitHub's registry, with the tags that name it.
#[derive(Clone, Debug, Deserialize)]
pub struct ImageVersion {
    /// GitHub's number of the version.
    pub id: u64,
    /// The digest of the manifest.
    #[serde(rename = "name")]
    pub digest: Digest,
    /// When it was pushed, by RFC 3339.
    pub created_at: String,
    metadata: VersionMetadata,
}

#[derive(Clone, Debug, Deserialize)]
struct VersionMetadata {
    container: ContainerMetadata,
}

#[derive(Clone, Debug, Deserialize)]
struct ContainerMetadata {
    tags: Vec<String>,
}

impl ImageVersion {
    /// The tags that name the manifest.
    pub fn tags(&self) -> &[String] {
        &self.metadata.container.tags
    }
}

impl ImagePackage<'_> {
    /// All versions, the newest first. There are none before the first push.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn versions(&self) -> Result<Vec<ImageVersion>, Error> {
        match self.forge.pages(&self.path, None) {
            Err(error) if error.status() == Some(404) => Ok(Vec::new()),
            versions => versions,
        }
    }

    /// Deletes a version by its number. GitHub can restore it for 30 days.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn delete(&self, id: u64) -> Result<(), Error> {
        let path = format!("{}/{id}", self.path);
        Ok(self.forge.api().delete(&path)?)
    }
}

/// What the paths of packages need of the repository.
#[derive(Deserialize)]
struct Repository {
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
    #[serde(rename = "type")]
    kind: OwnerKind,
}

#[derive(Deserialize)]
enum OwnerKind {
    User,
    /// An organisation, or a kind that this program does not know.
    #[serde(other)]
    Organization,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    version: String,
}

impl Forge {
    /// The image of a name that belongs to the owner of the repository.
    ///
    /// # Errors
    /// When there is no such repository, and on Gitea, whose API has tags instead of digests.
    pub fn image_package(&self, name: &str) -> Result<ImagePackage<'_>, Error> {
        if self.kind() == Kind::Gitea {
            return Err(Error::OnlyGitHub("listing the digests of an image"));
        }
        let owner = self.settings::<Repository>()?.owner;
        let accounts = match owner.kind {
            OwnerKind::User => "users",
            OwnerKind::Organization => "orgs",
        };
        let (login, name) = (encoded(&owner.login), encoded(name));
        Ok(ImagePackage {
            forge: self,
            path: format!("/{accounts}/{login}/packages/container/{name}/versions"),
        })
    }

    /// The tags of the image that has the repository's name, without those under which cosign keeps signatures.
    ///
    /// # Errors
    /// When the forge refuses; on GitHub, whose API lists versions in another way.
    pub fn image_tags(&self) -> Result<BTreeSet<String>, Error> {
        if self.kind() == Kind::GitHub {
            return Err(Error::OnlyGitea("listing the tags of an image"));
        }
        let (owner, name) = self.repository().split_once('/').unwrap_or_default();
        let path = format!("/packages/{}?type=container", encoded(owner));
        let versions: Vec<Version> = self.pages(&path, None)?;
        Ok(versions
            .into_iter()
            .filter(|entry| entry.name == name && !entry.version.starts_with("sha256"))
            .map(|entry| entry.version)
            .collect())
    }
}
