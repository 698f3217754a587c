//! Releases and their files.

use super::{Error, Forge, Kind, encoded, null_default};
use serde::{Deserialize, Serialize};

/// A release.
#[derive(Clone, Debug, Deserialize)]
pub struct Release {
    /// The number that the forge knows it by.
    pub id: u64,
    /// The tag that it describes.
    #[serde(default)]
    pub tag_name: String,
    /// Whether it is a prerelease.
    #[serde(default)]
    pub prerelease: bool,
    /// The notes, in Markdown.
    #[serde(default, deserialize_with = "null_default")]
    pub body: String,
    /// Its page on the forge.
    #[serde(default)]
    pub html_url: String,
    /// The files.
    #[serde(default, deserialize_with = "null_default")]
    pub assets: Vec<Asset>,
    /// Where files are sent to. GitHub's ends with a template: `{?name,label}`.
    upload_url: Option<String>,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Asset {
    /// GitHub counts files by themselves, Gitea within their release.
    pub id: u64,
    /// The name.
    pub name: String,
}

/// What a release says.
#[derive(Clone, Debug, Serialize)]
pub struct NewRelease<'a> {
    /// The tag that it describes.
    pub tag_name: &'a str,
    /// The title.
    pub name: &'a str,
    /// The notes, in Markdown.
    pub body: &'a str,
    /// Whether it is a prerelease.
    pub prerelease: bool,
}

impl Forge {
    /// The release of a tag.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_release(&self, tag: &str) -> Result<Option<Release>, Error> {
        self.find(&format!("/releases/tags/{}", encoded(tag)))
    }

    /// Creates the release of a tag, or updates the one that exists.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn publish_release(&self, release: &NewRelease) -> Result<Release, Error> {
        match self.find_release(release.tag_name)? {
            None => self.send("POST", "/releases", release),
            Some(there) => self.send("PATCH", &format!("/releases/{}", there.id), release),
        }
    }

    /// Attaches a file to a release, in place of one of the same name.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn attach(&self, release: &Release, name: &str, content: &[u8]) -> Result<(), Error> {
        let id = release.id;
        for old in release.assets.iter().filter(|asset| asset.name == name) {
            self.delete(&match self.kind() {
                Kind::GitHub => format!("/releases/assets/{}", old.id),
                Kind::Gitea => format!("/releases/{id}/assets/{}", old.id),
            })?;
        }
        let template = release.upload_url.as_deref().unwrap_or_default();
        let place = template.split('{').next().unwrap_or(template);
        if place.is_empty() {
            return Err(Error::Unexpected {
                url: self.api().url(&self.path(&format!("/releases/{id}"))),
                reason: "the release has no `upload_url`".to_owned(),
            });
        }
        let url = format!("{place}?name={}", encoded(name));
        Ok(self.api().upload(&url, content)?)
    }
}
