use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Announced; nothing has changed in the environment yet.
    Pending,
    /// The environment is changing to it.
    Progressing,
    /// It runs as it should.
    Healthy,
    /// It runs, but not as it should; it may recover.
    Degraded,
    /// It will not come to run.
    Failed,
    /// Something else was put in its place because of it.
    RolledBack,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Progressing,
        Self::Healthy,
        Self::Degraded,
        Self::Failed,
        Self::RolledBack,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Progressing => "progressing",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The statuses that may follow this one.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Progressing, Self::Failed],
            Self::Progressing => &[
                Self::Healthy,
                Self::Degraded,
                Self::Failed,
                Self::RolledBack,
            ],
            Self::Healthy => &[Self::Degraded, Self::RolledBack],
            Self::Degraded => &[
                Self::Progressing,
                Self::Healthy,
                Self::Failed,
                Self::RolledBack,
            ],
            Self::Failed => &[Self::RolledBack],
            Self::RolledBack => &[],
        }
    }

    /// Whether the roll-out has come to its end, good or bad.
    pub fn ends_rollout(self) -> bool {
        matches!(self, Self::Healthy | Self::Failed | Self::RolledBack)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_the_api_and_in_the_database() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn nothing_goes_back_to_pending_and_nothing_follows_a_rollback() {
        assert!(
            Status::ALL
                .iter()
                .all(|status| !status.next().contains(&Status::Pending))
        );
        assert!(Status::RolledBack.next().is_empty());
    }

    #[test]
    fn every_status_can_be_reached_from_pending() {
        let mut reached = vec![Status::Pending];
        while let Some(next) = reached
            .iter()
            .flat_map(|status| status.next())
            .find(|next| !reached.contains(next))
        {
            reached.push(*next);
        }
        assert_eq!(reached.len(), Status::ALL.len());
    }
}
