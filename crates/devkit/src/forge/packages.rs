//! Images in the forge's own registry.

use super::{Error, Forge, Kind, encoded};
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Version {
    name: String,
    version: String,
}

impl Forge {
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
