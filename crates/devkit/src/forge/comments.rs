//! Comments on pull requests and issues.

use super::{Account, Error, Forge, null_default};
use crate::text::Markdown;
use serde::Deserialize;
use serde_json::json;

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Comment {
    /// The number that the forge knows it by.
    pub id: u64,
    /// The text, in Markdown.
    #[serde(default, deserialize_with = "null_default")]
    pub body: String,
    /// Who wrote it.
    #[serde(default, deserialize_with = "null_default")]
    pub user: Account,
}

impl Forge {
    /// The comments on a pull request or issue, the oldest first.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn comments(&self, number: u64) -> Result<Vec<Comment>, Error> {
        self.list(&format!("/issues/{number}/comments"))
    }

    /// Comments on a pull request or issue.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn create_comment(&self, number: u64, body: &Markdown) -> Result<Comment, Error> {
        let path = format!("/issues/{number}/comments");
        self.send("POST", &path, &json!({ "body": body }))
    }

    /// Gives a comment another text.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn edit_comment(&self, id: u64, body: &Markdown) -> Result<(), Error> {
        let path = format!("/issues/comments/{id}");
        self.execute("PATCH", &path, &json!({ "body": body }))
    }

    /// The account of a job's own token, which the token cannot ask for.
    pub fn job_account(&self) -> &'static str {
        match self.kind() {
            super::Kind::GitHub => "github-actions[bot]",
            super::Kind::Gitea => "gitea-actions",
        }
    }
}
