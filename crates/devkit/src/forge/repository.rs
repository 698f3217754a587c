//! Settings of the repository itself.

use super::{Error, Forge};
use serde::Serialize;
use serde_json::json;

/// Settings to change; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RepositoryEdit<'a> {
    /// The branch that pull requests go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<&'a str>,
    /// Whether workflows run. Only on Gitea.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_actions: Option<bool>,
}

impl Forge {
    /// Changes settings of the repository.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn edit_repository(&self, edit: &RepositoryEdit) -> Result<(), Error> {
        self.execute("PATCH", "", edit)
    }

    /// Lets an account push to the repository.
    ///
    /// # Errors
    /// When the forge refuses.
    pub fn add_writer(&self, account: &str) -> Result<(), Error> {
        let permission = match self.kind() {
            super::Kind::GitHub => "push",
            super::Kind::Gitea => "write",
        };
        let path = format!("/collaborators/{}", super::encoded(account));
        self.execute("PUT", &path, &json!({ "permission": permission }))
    }
}
