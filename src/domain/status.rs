use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The deployment is announced. The environment has not changed yet.
    Pending,
    /// The environment is being changed.
    Progressing,
    /// The deployed version works.
    Healthy,
    /// The deployed version runs with faults and may recover.
    Degraded,
    /// The roll-out failed.
    Failed,
    /// Another version replaced this one because of its faults.
    RolledBack,
}

impl Status {
    /// All statuses, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Progressing,
        Self::Healthy,
        Self::Degraded,
        Self::Failed,
        Self::RolledBack,
    ];

    /// The name of the status in the API and in the database.
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

    /// The statuses that can follow this one.
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

    /// Whether this status ends the roll-out, with or without success.
    pub fn ends_rollout(self) -> bool {
        matches!(self, Self::Healthy | Self::Failed | Self::RolledBack)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The status of a deployment when it is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialStatus {
    /// The deployment is announced. The environment has not changed yet.
    #[default]
    Pending,
    /// The environment is being changed.
    Progressing,
}

impl From<InitialStatus> for Status {
    fn from(status: InitialStatus) -> Self {
        match status {
            InitialStatus::Pending => Self::Pending,
            InitialStatus::Progressing => Self::Progressing,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use utoipa::PartialSchema;

    use super::*;

    /// Checks that `T` accepts exactly the statuses that its schema lists.
    fn assert_schema_matches<T: DeserializeOwned + PartialSchema>() {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let listed = schema["enum"].as_array().unwrap();
        for name in Status::ALL.map(Status::as_str) {
            let accepted = serde_json::from_value::<T>(name.into()).is_ok();
            assert_eq!(accepted, listed.contains(&name.into()), "{schema}: {name}");
        }
    }

    #[test]
    fn each_type_accepts_what_its_schema_allows() {
        assert_schema_matches::<Status>();
        assert_schema_matches::<InitialStatus>();
    }

    #[test]
    fn names_are_the_same_in_the_api_and_in_the_database() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn no_status_precedes_pending_or_follows_a_rollback() {
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
