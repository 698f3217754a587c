use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Commit, ImageDigest, InitialStatus, Name, Status, Version};

/// The deployment of one version of an application to one environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Deployment {
    /// The identifier of the deployment, a UUIDv7. Later deployments have greater identifiers.
    pub id: Uuid,
    /// The application that is deployed.
    pub application: Name,
    /// The environment that receives the application.
    pub environment: Name,
    /// The version that is deployed.
    pub version: Version,
    /// The Git commit that the image was built from.
    pub commit: Commit,
    /// The digest of the container image.
    pub image_digest: ImageDigest,
    /// The current status of the deployment.
    pub status: Status,
    /// The person or program that deploys.
    pub actor: Actor,
    /// The time at which the deployment was recorded.
    #[serde(serialize_with = "milliseconds")]
    pub started_at: DateTime<Utc>,
    /// The time at which the roll-out first ended, with or without success. It is `null` until then.
    #[serde(serialize_with = "milliseconds_or_null")]
    #[schema(required)]
    pub finished_at: Option<DateTime<Utc>>,
}

/// A deployment to record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeployment {
    /// The application that is deployed.
    pub application: Name,
    /// The environment that receives the application.
    pub environment: Name,
    /// The version that is deployed.
    pub version: Version,
    /// The Git commit that the image was built from.
    pub commit: Commit,
    /// The digest of the container image.
    pub image_digest: ImageDigest,
    /// The status to begin with. The default is `pending`.
    #[serde(default)]
    #[schema(default = "pending")]
    pub status: InitialStatus,
    /// The person or program that deploys.
    pub actor: Actor,
}

/// A change to a deployment. Fields that are absent keep their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The new status. The current status must allow it.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub status: Option<Status>,
    /// The corrected version. Corrections are possible until the roll-out ends.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub version: Option<Version>,
    /// The corrected commit. Corrections are possible until the roll-out ends.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub commit: Option<Commit>,
    /// The corrected image digest. Corrections are possible until the roll-out ends.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub image_digest: Option<ImageDigest>,
    /// The corrected actor. Corrections are possible until the roll-out ends.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    pub actor: Option<Actor>,
}

/// The reason why a deployment can't be changed as requested.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The requested status can't follow the current one.
    #[error("a deployment that is {from} cannot become {to}; it can become {}", list(from.next()))]
    Transition {
        /// The current status.
        from: Status,
        /// The requested status.
        to: Status,
    },
    /// The roll-out has ended, so the record can no longer be corrected.
    #[error(
        "the roll-out has ended, so the record can no longer be corrected; record a new deployment"
    )]
    Ended,
}

impl Deployment {
    /// A deployment that begins now.
    pub fn begin(new: NewDeployment) -> Self {
        Self {
            id: Uuid::now_v7(),
            application: new.application,
            environment: new.environment,
            version: new.version,
            commit: new.commit,
            image_digest: new.image_digest,
            status: new.status.into(),
            actor: new.actor,
            started_at: now(),
            finished_at: None,
        }
    }

    /// The deployment after `change`. A change that has already been made is accepted, so a client can repeat a
    /// request.
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
            // The clock may have been set back, but a deployment can't end before it began.
            .or_else(|| status.ends_rollout().then(|| now().max(before.started_at)));
        Ok(Self {
            status,
            finished_at,
            ..after
        })
    }
}

/// The current time, truncated to milliseconds, which both databases can store.
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// Writes a time with three decimals, also if they are zero, so that sorted texts are in the order of their times.
fn milliseconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

fn milliseconds_or_null<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => milliseconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Reads a field that may be absent but not `null`, because no field of a deployment can be removed.
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
        Deployment::begin(serde_json::from_value(new).unwrap())
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
    fn keeps_the_time_of_its_first_end() {
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
    fn sorted_texts_are_in_the_order_of_their_times() {
        let mut deployment = deployment();
        deployment.started_at = DateTime::UNIX_EPOCH;
        deployment.finished_at = Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::milliseconds(170));
        let written = serde_json::to_value(&deployment).unwrap();
        assert_eq!(written["started_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(written["finished_at"], "1970-01-01T00:00:00.170Z");
    }

    #[test]
    fn never_ends_before_it_began() {
        let mut deployment = deployment().changed(becoming(Status::Progressing)).unwrap();
        // This simulates a clock that was set back.
        deployment.started_at += chrono::TimeDelta::hours(1);
        let healthy = deployment.changed(becoming(Status::Healthy)).unwrap();
        assert_eq!(healthy.finished_at, Some(healthy.started_at));
    }

    #[test]
    fn rejects_a_status_that_cannot_follow() {
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
    fn can_be_corrected_until_the_rollout_ends() {
        let failed = deployment()
            .changed(version("v2"))
            .unwrap()
            .changed(becoming(Status::Failed))
            .unwrap();
        assert_eq!(failed.clone().changed(version("v3")), Err(Refusal::Ended));
        assert_eq!(failed.clone().changed(version("v2")), Ok(failed));
    }

    #[test]
    fn a_change_accepts_only_known_fields_with_values() {
        let parse = serde_json::from_value::<Change>;
        assert_eq!(parse(json!({})).unwrap(), Change::default());
        assert!(parse(json!({ "status": null })).is_err());
        assert!(parse(json!({ "environment": "prod" })).is_err());
    }
}
