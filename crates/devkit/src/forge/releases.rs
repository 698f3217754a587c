//! Releases and their files.

use super::{Error, Forge, Kind, encoded, null_default};
use crate::text::Markdown;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

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
    /// Whether only those who may write can see it.
    #[serde(default)]
    pub draft: bool,
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
    /// The digest of the content, as `sha256:…`. Only on GitHub.
    pub digest: Option<String>,
}

/// What a release says.
#[derive(Clone, Debug, Serialize)]
pub struct NewRelease<'a> {
    /// The tag that it describes.
    pub tag_name: &'a str,
    /// The title.
    pub name: &'a str,
    /// The notes.
    pub body: &'a Markdown,
    /// Whether it is a prerelease.
    pub prerelease: bool,
}

/// A release, with the state that it gets; `None` leaves it.
#[derive(Serialize)]
struct ReleaseRequest<'a> {
    #[serde(flatten)]
    release: &'a NewRelease<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<bool>,
}

impl Forge {
    /// The published release of a tag.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_release(&self, tag: &str) -> Result<Option<Release>, Error> {
        self.find(&format!("/releases/tags/{}", encoded(tag)))
    }

    /// Publishes the release of a tag with its files, or updates the one that exists.
    ///
    /// GitHub can make releases immutable: then a published one takes no files. So it gets them as a draft. An earlier
    /// attempt may have left a draft, which is used again.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn publish_release(
        &self,
        new: &NewRelease,
        files: &[(&str, &[u8])],
    ) -> Result<Release, Error> {
        let github = self.kind() == Kind::GitHub;
        let existing = match self.find_release(new.tag_name)? {
            None if github => self.find_draft(new.tag_name)?,
            found => found,
        };
        let (method, path) = match &existing {
            None => ("POST", "/releases".to_owned()),
            Some(there) => ("PATCH", format!("/releases/{}", there.id)),
        };
        let request = ReleaseRequest {
            release: new,
            draft: (github && existing.is_none()).then_some(true),
        };
        let release: Release = self.send(method, &path, &request)?;
        for (name, content) in files {
            self.attach(&release, name, content)?;
        }
        if !release.draft {
            return Ok(release);
        }
        let publish = json!({ "draft": false });
        self.send("PATCH", &format!("/releases/{}", release.id), &publish)
    }

    /// The draft of a tag's release. GitHub finds drafts only in the list.
    fn find_draft(&self, tag: &str) -> Result<Option<Release>, Error> {
        let releases: Vec<Release> = self.list("/releases")?;
        let mut releases = releases.into_iter();
        Ok(releases.find(|release| release.draft && release.tag_name == tag))
    }

    /// Attaches a file to a release, in place of one of the same name with another content.
    fn attach(&self, release: &Release, name: &str, content: &[u8]) -> Result<(), Error> {
        let id = release.id;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(content)));
        let same = |asset: &Asset| asset.name == name && asset.digest.as_ref() == Some(&digest);
        if release.assets.iter().any(same) {
            return Ok(());
        }
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
