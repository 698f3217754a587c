//! Pull requests.

use super::{Account, Error, Forge, Kind, encoded, null_default};
use crate::text::{Markdown, Plain};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct Pull {
    /// The number that people know it by.
    pub number: u64,
    /// Whether it is open.
    #[serde(default)]
    pub state: PullState,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// What it proposes.
    pub head: PullEnd,
    /// What it is proposed to.
    pub base: PullEnd,
    /// Its page on the forge.
    #[serde(default)]
    pub html_url: String,
    /// Who opened it.
    #[serde(default, deserialize_with = "null_default")]
    pub user: Account,
    /// Whether it is merged. GitHub leaves it out in lists.
    pub merged: Option<bool>,
    /// Whether it can be merged without conflict. While the forge still checks, GitHub's is `None` and Gitea's false.
    pub mergeable: Option<bool>,
    /// The merge commit, once it is merged. (GitHub's lists have a trial merge here.)
    pub merge_commit_sha: Option<String>,
    /// Who merged it.
    pub merged_by: Option<Account>,
    /// When it was merged (RFC 3339).
    pub merged_at: Option<String>,
}

impl Pull {
    /// The merge commit of a pull request that is merged.
    pub fn merge_commit(&self) -> Option<&str> {
        let commit = self.merge_commit_sha.as_deref();
        commit.filter(|_| self.merged == Some(true))
    }

    /// Whether it comes from a branch of the repository itself. A fork may name a branch as it likes.
    pub fn is_from_this_repository(&self) -> bool {
        self.head.repo.is_some() && self.head.repo == self.base.repo
    }
}

/// A review of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct Review {
    /// Who reviewed it.
    #[serde(default, deserialize_with = "null_default")]
    pub user: Account,
    /// The reviewer's decision.
    pub state: ReviewState,
    /// When it was submitted (RFC 3339).
    pub submitted_at: Option<String>,
}

/// The decision of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ReviewState {
    /// The reviewer approved.
    #[serde(rename = "APPROVED")]
    Approved,
    /// Anything else: a comment, a request for changes, an approval that was dismissed.
    #[serde(other)]
    Other,
}

/// Whether a pull request is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullState {
    /// It waits for a decision.
    #[default]
    Open,
    /// It is merged or refused.
    Closed,
}

/// One end of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct PullEnd {
    /// The branch.
    #[serde(rename = "ref", default)]
    pub branch: String,
    /// The commit.
    #[serde(default)]
    pub sha: String,
    /// The repository; `None` where it is deleted.
    pub repo: Option<RepositoryName>,
}

/// A repository by its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RepositoryName {
    /// `owner/name`.
    pub full_name: String,
}

/// What a new pull request says.
#[derive(Clone, Debug, Serialize)]
pub struct NewPull<'a> {
    /// The branch that is proposed; `owner:branch` from a fork.
    pub head: &'a str,
    /// The branch that it is proposed to.
    pub base: &'a str,
    /// The title.
    pub title: &'a Plain,
    /// The description.
    pub body: &'a Markdown,
}

/// Title and description of a pull request.
#[derive(Clone, Debug, Serialize)]
pub struct PullText<'a> {
    /// The title.
    pub title: &'a Plain,
    /// The description.
    pub body: &'a Markdown,
}

/// A file that a pull request changes.
#[derive(Clone, Debug, Deserialize)]
pub struct ChangedFile {
    /// The path, from the top of the repository.
    pub filename: String,
}

impl Forge {
    /// The open pull requests, all or those to one branch.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn open_pulls(&self, base: Option<&str>) -> Result<Vec<Pull>, Error> {
        let word = match self.kind() {
            Kind::GitHub => "base",
            Kind::Gitea => "base_branch",
        };
        let filter = base.map(|base| format!("&{word}={}", encoded(base)));
        let filter = filter.unwrap_or_default();
        let mut pulls: Vec<Pull> = self.list(&format!("/pulls?state=open{filter}"))?;
        pulls.retain(|pull| base.is_none_or(|base| pull.base.branch == base));
        Ok(pulls)
    }

    /// The open pull request of a branch of this repository to another.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_open_pull(&self, head: &str, base: &str) -> Result<Option<Pull>, Error> {
        let pulls = self.open_pulls(Some(base))?;
        let mut pulls = pulls.into_iter();
        Ok(pulls.find(|pull| pull.head.branch == head && pull.is_from_this_repository()))
    }

    /// The pull request of a number.
    ///
    /// # Errors
    /// When there is none, or the forge refuses.
    pub fn pull(&self, number: u64) -> Result<Pull, Error> {
        self.get(&format!("/pulls/{number}"))
    }

    /// The pull request of a number; `None` if there is none.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn find_pull(&self, number: u64) -> Result<Option<Pull>, Error> {
        self.find(&format!("/pulls/{number}"))
    }

    /// The reviews of a pull request, the oldest first.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn reviews(&self, number: u64) -> Result<Vec<Review>, Error> {
        self.list(&format!("/pulls/{number}/reviews"))
    }

    /// Opens a pull request.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn create_pull(&self, new: &NewPull) -> Result<Pull, Error> {
        self.send("POST", "/pulls", new)
    }

    /// Gives a pull request another title and description.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn edit_pull(&self, number: u64, text: &PullText) -> Result<Pull, Error> {
        self.send("PATCH", &format!("/pulls/{number}"), text)
    }

    /// Closes a pull request without merging it.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn close_pull(&self, number: u64) -> Result<(), Error> {
        let closed = json!({"state": PullState::Closed});
        self.execute("PATCH", &format!("/pulls/{number}"), &closed)
    }

    /// Merges a pull request with a merge commit.
    ///
    /// # Errors
    /// When the forge refuses: a check is missing, or an approval.
    pub fn merge_pull(&self, number: u64) -> Result<(), Error> {
        let path = format!("/pulls/{number}/merge");
        match self.kind() {
            Kind::GitHub => self.execute("PUT", &path, &json!({"merge_method": "merge"})),
            Kind::Gitea => self.execute("POST", &path, &json!({"Do": "merge"})),
        }
    }

    /// Approves a pull request.
    ///
    /// # Errors
    /// When the forge refuses: no one may approve their own.
    pub fn approve_pull(&self, number: u64, comment: &Markdown) -> Result<(), Error> {
        let event = match self.kind() {
            Kind::GitHub => "APPROVE",
            Kind::Gitea => "APPROVED",
        };
        let review = json!({"event": event, "body": comment});
        self.execute("POST", &format!("/pulls/{number}/reviews"), &review)
    }

    /// The files that a pull request changes.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn pull_files(&self, number: u64) -> Result<Vec<ChangedFile>, Error> {
        self.list(&format!("/pulls/{number}/files"))
    }
}
