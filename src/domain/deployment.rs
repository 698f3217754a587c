use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Commit, ImageDigest, Name, Status, Version};

/// One version of one application put into one environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Deployment {
    /// UUIDv7, so a later deployment has a greater one.
    pub id: Uuid,
    /// What is deployed.
    pub application: Name,
    /// Where.
    pub environment: Name,
    /// In which version.
    pub version: Version,
    /// The commit the image was built from.
    pub commit: Commit,
    /// The image.
    pub image_digest: ImageDigest,
    /// Where it stands.
    pub status: Status,
    /// Who or what deploys.
    pub actor: Actor,
    /// When it was recorded.
    pub started_at: DateTime<Utc>,
    /// When its roll-out first came to an end, good or bad.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A deployment to record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of `Deployment`")]
pub struct NewDeployment {
    pub application: Name,
    pub environment: Name,
    pub version: Version,
    pub commit: Commit,
    pub image_digest: ImageDigest,
    /// `pending` or `progressing`.
    #[serde(default = "pending")]
    pub status: Status,
    pub actor: Actor,
}

/// What to change of a deployment; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// The next status.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// A correction, until the roll-out has ended.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub version: Option<Version>,
    /// A correction, until the roll-out has ended.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub commit: Option<Commit>,
    /// A correction, until the roll-out has ended.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub image_digest: Option<ImageDigest>,
    /// A correction, until the roll-out has ended.
    #[serde(deserialize_with = "present")]
    #[schema(nullable = false)]
    pub actor: Option<Actor>,
}

/// Why a deployment can't be recorded or changed as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Deployments don't begin in that status.
    #[error("a deployment begins as pending or progressing, not as {0}")]
    Beginning(Status),
    /// That status doesn't follow.
    #[error("a deployment that is {from} cannot become {to}; it can become {}", list(from.next()))]
    Transition {
        /// Where it stands.
        from: Status,
        /// What was asked.
        to: Status,
    },
    /// The record is history.
    #[error(
        "the roll-out has ended, so what was deployed can no longer be corrected; record a new deployment"
    )]
    Ended,
}

impl Deployment {
    /// Records that a deployment begins now.
    pub fn begin(new: NewDeployment) -> Result<Self, Refusal> {
        if !matches!(new.status, Status::Pending | Status::Progressing) {
            return Err(Refusal::Beginning(new.status));
        }
        Ok(Self {
            id: Uuid::now_v7(),
            application: new.application,
            environment: new.environment,
            version: new.version,
            commit: new.commit,
            image_digest: new.image_digest,
            status: new.status,
            actor: new.actor,
            started_at: now(),
            finished_at: None,
        })
    }

    /// The deployment after `change`. What already is as asked needs no permission, so a change can be repeated.
    pub fn changed(self, change: Change) -> Result<Self, Refusal> {
        let before = self.clone();
        let status = change.status.unwrap_or(self.status);
        let after = Self {
            version: change.version.unwrap_or(self.version),
            commit: change.commit.unwrap_or(self.commit),
            image_digest: change.image_digest.unwrap_or(self.image_digest),
            actor: change.actor.unwrap_or(self.actor),
            ..before.clone()
        };
        if after != before && before.finished_at.is_some() {
            return Err(Refusal::Ended);
        }
        if status != before.status && !before.status.next().contains(&status) {
            return Err(Refusal::Transition {
                from: before.status,
                to: status,
            });
        }
        let finished_at = before
            .finished_at
            // A clock may be set back, but nothing ends before it began.
            .or_else(|| status.ends_rollout().then(|| now().max(before.started_at)));
        Ok(Self {
            status,
            finished_at,
            ..after
        })
    }
}

/// To the millisecond: what every database keeps.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

fn pending() -> Status {
    Status::Pending
}

/// A value that may be absent but not `null`: nothing here can be taken away.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn list(statuses: &[Status]) -> String {
    match statuses {
        [] => "nothing else".to_owned(),
        _ => statuses
            .iter()
            .map(|status| status.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment() -> Deployment {
        let new = json!({
            "application": "shop",
            "environment": "dev",
            "version": "v1",
            "commit": "0f".repeat(20),
            "image_digest": format!("sha256:{}", "a1".repeat(32)),
            "actor": "bot",
        });
        Deployment::begin(serde_json::from_value(new).unwrap()).unwrap()
    }

    fn becoming(status: Status) -> Change {
        Change {
            status: Some(status),
            ..Change::default()
        }
    }

    fn version(text: &str) -> Change {
        Change {
            version: Some(Version::try_from(text.to_owned()).unwrap()),
            ..Change::default()
        }
    }

    #[test]
    fn begins_pending_and_unfinished() {
        let deployment = deployment();
        assert_eq!(deployment.status, Status::Pending);
        assert_eq!(deployment.finished_at, None);
        assert_eq!(deployment.id.get_version_num(), 7);
    }

    #[test]
    fn ends_once() {
        let healthy = deployment().changed(becoming(Status::Progressing)).unwrap();
        assert_eq!(healthy.finished_at, None);
        let healthy = healthy.changed(becoming(Status::Healthy)).unwrap();
        assert!(healthy.finished_at.is_some());
        let rolled_back = healthy
            .clone()
            .changed(becoming(Status::RolledBack))
            .unwrap();
        assert_eq!(rolled_back.finished_at, healthy.finished_at);
    }

    #[test]
    fn never_ends_before_it_began() {
        let mut deployment = deployment().changed(becoming(Status::Progressing)).unwrap();
        // As when the clock was set back since.
        deployment.started_at += chrono::TimeDelta::hours(1);
        let healthy = deployment.changed(becoming(Status::Healthy)).unwrap();
        assert_eq!(healthy.finished_at, Some(healthy.started_at));
    }

    #[test]
    fn skips_no_step() {
        let refusal = deployment().changed(becoming(Status::Healthy)).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::Transition {
                from: Status::Pending,
                to: Status::Healthy
            }
        );
        assert!(
            refusal
                .to_string()
                .ends_with("it can become progressing, failed"),
            "{refusal}"
        );
    }

    #[test]
    fn can_be_corrected_until_it_has_ended() {
        let failed = deployment()
            .changed(version("v2"))
            .unwrap()
            .changed(becoming(Status::Failed))
            .unwrap();
        assert_eq!(failed.clone().changed(version("v3")), Err(Refusal::Ended));
        assert_eq!(failed.clone().changed(version("v2")), Ok(failed));
    }

    #[test]
    fn a_change_names_only_what_it_has() {
        let parse = serde_json::from_value::<Change>;
        assert_eq!(parse(json!({})).unwrap(), Change::default());
        assert!(parse(json!({ "status": null })).is_err());
        assert!(parse(json!({ "environment": "prod" })).is_err());
    }
}
