//! Commits, their statuses, branches, tags, and files at a commit.

use super::{Account, Error, Forge, Kind, encoded, encoded_path, null_default};
use crate::text::Plain;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawCommit")]
pub struct Commit {
    /// The full id.
    pub sha: String,
    /// The whole message.
    pub message: String,
    /// The committer's date (RFC 3339).
    pub date: Option<String>,
    /// The ids of its parents.
    pub parents: Vec<String>,
}

/// GitHub has message and dates at the top when asked for one commit, and below `commit` in lists; Gitea always below.
#[derive(Deserialize)]
struct RawCommit {
    sha: String,
    message: Option<String>,
    committer: Option<Dated>,
    commit: Option<RawInner>,
    #[serde(default, deserialize_with = "null_default")]
    parents: Vec<Parent>,
}

#[derive(Deserialize)]
struct RawInner {
    message: Option<String>,
    committer: Option<Dated>,
}

#[derive(Deserialize)]
struct Dated {
    date: Option<String>,
}

#[derive(Deserialize)]
struct Parent {
    sha: String,
}

impl From<RawCommit> for Commit {
    fn from(raw: RawCommit) -> Self {
        let inner = raw.commit.unwrap_or(RawInner {
            message: None,
            committer: None,
        });
        let date = |dated: Option<Dated>| dated.and_then(|dated| dated.date);
        Self {
            sha: raw.sha,
            message: inner.message.or(raw.message).unwrap_or_default(),
            date: date(inner.committer).or_else(|| date(raw.committer)),
            parents: raw.parents.into_iter().map(|parent| parent.sha).collect(),
        }
    }
}

/// What someone says about a commit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Newer statuses have greater numbers.
    #[serde(default)]
    pub id: u64,
    /// The name.
    pub context: String,
    /// The result. Gitea's word is `status`.
    #[serde(alias = "status", default)]
    pub state: StatusState,
    /// A line for people.
    #[serde(default, deserialize_with = "null_default")]
    pub description: String,
    /// Where to read more.
    #[serde(default, deserialize_with = "null_default")]
    pub target_url: String,
    /// The name of the account that set it; empty where the account is gone. Everybody who may write can set any status.
    #[serde(default, deserialize_with = "login")]
    pub creator: String,
}

/// Reads an account as its name.
fn login<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let account: Option<Account> = Option::deserialize(deserializer)?;
    Ok(account.map_or(String::new(), |account| account.login))
}

/// The result that a status tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// There is no result yet.
    Pending,
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// There is no result, because of another fault.
    Error,
    /// A word that this program does not know, such as Gitea's `warning`.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A status to set.
#[derive(Clone, Debug, Serialize)]
pub struct NewStatus<'a> {
    /// The name.
    pub context: &'a str,
    /// The result.
    pub state: StatusState,
    /// A line for people.
    pub description: &'a Plain,
}

/// A commit to make. The owner of the token is its author.
#[derive(Clone, Debug, Serialize)]
pub struct NewCommit<'a> {
    /// The whole message.
    pub message: &'a Plain,
    /// The id of its tree, which the forge has.
    pub tree: &'a str,
    /// The ids of its parents, which the forge has.
    pub parents: &'a [String],
}

/// A commit that the forge made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MadeCommit {
    /// The full id.
    pub sha: String,
    /// The signature of the forge.
    pub verification: Verification,
}

/// The signature of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Verification {
    /// Whether the forge takes it for good.
    pub verified: bool,
    /// The signature, armoured.
    pub signature: Option<String>,
    /// What is signed: the commit without the signature.
    pub payload: Option<String>,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawBranch")]
pub struct Branch {
    /// The name.
    pub name: String,
    /// The id of its newest commit.
    pub tip: String,
    /// The name of the protection in force. Only on Gitea.
    pub effective_protection: Option<String>,
}

#[derive(Deserialize)]
struct RawBranch {
    name: String,
    commit: RawTip,
    effective_branch_protection_name: Option<String>,
}

#[derive(Deserialize)]
struct RawTip {
    /// Gitea's word is `id`.
    #[serde(alias = "id")]
    sha: String,
}

impl From<RawBranch> for Branch {
    fn from(raw: RawBranch) -> Self {
        Self {
            name: raw.name,
            tip: raw.commit.sha,
            effective_protection: raw.effective_branch_protection_name,
        }
    }
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

impl Forge {
    /// A commit by its id.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_commit(&self, sha: &str) -> Result<Option<Commit>, Error> {
        self.find(&format!("/git/commits/{}", encoded(sha)))
    }

    /// The newest commits of a branch, at most 50.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn newest_commits(&self, branch: &str) -> Result<Vec<Commit>, Error> {
        let details = match self.kind() {
            Kind::GitHub => "",
            Kind::Gitea => "&stat=false&files=false",
        };
        let (branch, size) = (encoded(branch), self.page_size());
        self.get(&format!("/commits?sha={branch}&{size}{details}"))
    }

    /// Makes a commit that no branch has yet. GitHub signs it for an App, which it names as the author. Only on GitHub.
    ///
    /// # Errors
    /// When the forge refuses, or lacks the tree or a parent.
    pub fn make_commit(&self, new: &NewCommit) -> Result<MadeCommit, Error> {
        self.send("POST", "/git/commits", new)
    }

    /// The statuses of a commit.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn statuses(&self, commit: &str) -> Result<Vec<Status>, Error> {
        let statuses = self.find_list(&format!("/commits/{}/statuses", encoded(commit)))?;
        Ok(statuses.unwrap_or_default())
    }

    /// Sets a status of a commit.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn set_status(&self, commit: &str, status: &NewStatus) -> Result<(), Error> {
        self.execute("POST", &format!("/statuses/{}", encoded(commit)), status)
    }

    /// A branch by its name.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_branch(&self, name: &str) -> Result<Option<Branch>, Error> {
        self.find(&format!("/branches/{}", encoded_path(name)))
    }

    /// The newest commit of a branch.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn tip(&self, branch: &str) -> Result<Option<String>, Error> {
        Ok(self.find_branch(branch)?.map(|branch| branch.tip))
    }

    /// The names of the tags.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn tags(&self) -> Result<Vec<String>, Error> {
        let tags: Vec<Named> = self.list("/tags")?;
        Ok(tags.into_iter().map(|tag| tag.name).collect())
    }

    /// The text of a file at a branch, tag or commit, up to a megabyte.
    ///
    /// # Errors
    /// When the forge refuses, or the file is not text.
    pub fn find_file(&self, path: &str, reference: &str) -> Result<Option<String>, Error> {
        let place = format!(
            "/contents/{}?ref={}",
            encoded_path(path),
            encoded(reference)
        );
        let Some(file) = self.find::<Content>(&place)? else {
            return Ok(None);
        };
        let bare: String = file.content.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(bare).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Some).ok_or_else(|| Error::Unexpected {
            url: self.api().url(&self.path(&place)),
            reason: "the file is not text in base64".to_owned(),
        })
    }
}
