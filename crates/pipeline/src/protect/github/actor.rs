//! Who may bypass a ruleset.

use serde::{Deserialize, Serialize};

/// Who may bypass a ruleset.
#[derive(Serialize, Deserialize)]
pub(super) struct Actor {
    actor_type: String,
    /// `None` for kinds of which there is only one, such as deploy keys.
    actor_id: Option<u64>,
    bypass_mode: String,
}

impl Actor {
    /// An actor who may always bypass the ruleset.
    pub(super) fn always(kind: &str, id: u64) -> Self {
        Self {
            actor_type: kind.to_owned(),
            actor_id: Some(id),
            bypass_mode: "always".to_owned(),
        }
    }

    /// The actor in words.
    pub(super) fn describe(&self) -> String {
        let id = self.actor_id.map(|id| format!(" {id}"));
        format!(
            "{}{} ({})",
            self.actor_type,
            id.unwrap_or_default(),
            self.bypass_mode
        )
    }
}
