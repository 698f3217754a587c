//! What an environment runs, and when a deployment is finished.

use std::time::Duration;

use anyhow::{Context, Result};
use devkit::git::short;
use devkit::reference::Digest;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use super::environment::Environment;
use crate::argocd::application::{HistoryEntry, OperationPhase, SyncStatus};
use crate::expect::{Verdict, eventually};
use crate::forge::Forge;

/// What must be true of a finished deployment.
pub struct Deployed {
    /// The Git commit that Argo CD has synced.
    pub revision: String,
    /// The digest of the image that every pod runs.
    pub digest: Digest,
    /// The commit that the service reports it was built from.
    pub commit: String,
}

/// One thing that must be true of a finished deployment.
type Check<'a> = fn(&Environment<'a>, &Deployed) -> Result<Verdict<()>>;

impl<'a> Environment<'a> {
    /// What was deployed last, and the number of its entry in Argo CD's history.
    ///
    /// # Errors
    /// When nothing was deployed yet, or the service does not answer.
    pub fn current(&self, forge: &Forge) -> Result<(i64, Deployed)> {
        let history = self.application()?.status.history;
        let HistoryEntry { id, revision } = history
            .into_iter()
            .next_back()
            .with_context(|| format!("{} was never synced", self.name()))?;
        let digest = forge.image(self.entry, &revision)?.digest;
        let commit = self
            .serving()
            .with_context(|| format!("the service in {} does not answer", self.name()))?;
        let deployed = Deployed {
            revision,
            digest,
            commit,
        };
        Ok((id, deployed))
    }

    /// The number of the last entry in Argo CD's history with another image than `digest`, its commit and its image.
    ///
    /// # Errors
    /// When there is none.
    pub fn previous(&self, forge: &Forge, digest: &Digest) -> Result<(i64, String, Digest)> {
        let history = self.application()?.status.history.into_iter().rev();
        let mut images = history.filter_map(|HistoryEntry { id, revision }| {
            let image = forge.image(self.entry, &revision).ok()?;
            Some((id, revision, image.digest))
        });
        images
            .find(|(_, _, other)| other != digest)
            .with_context(|| format!("{} has had one image only", self.name()))
    }

    /// Waits until a deployment is finished by every measure: the operation succeeded for this commit, nothing differs from
    /// it, the new ReplicaSet is available, every ready pod runs the image, and the service answers with the commit it was
    /// built from. Each of these may be true too early: a sync succeeds before pods start, and the health may be that of
    /// the previous pods.
    ///
    /// # Errors
    /// When the deployment fails or is not finished in time; the error has the cluster's reason.
    pub fn wait_deployed(&self, expected: &Deployed, limit: Duration) -> Result<()> {
        let what = format!("{} serves {}", self.name(), short(&expected.commit));
        eventually(&what, limit, || self.all(&Self::CHECKS, expected))
    }

    /// As [`Environment::wait_deployed`], for a commit that is no longer the branch's tip: after a rollback.
    ///
    /// # Errors
    /// As [`Environment::wait_deployed`].
    pub fn wait_rolled_back(&self, expected: &Deployed, limit: Duration) -> Result<()> {
        let what = format!("{} serves {} again", self.name(), short(&expected.commit));
        eventually(&what, limit, || self.all(&Self::CHECKS[..4], expected))
    }

    /// Waits until Argo CD has applied a commit that changes no image, and the pods run as the commit says. Returns the
    /// commit that the service reports it was built from.
    ///
    /// Argo CD starts no operation for a commit that leaves the manifests as they were.
    ///
    /// # Errors
    /// As [`Environment::wait_deployed`].
    pub fn wait_synced(&self, revision: &str, digest: &Digest, limit: Duration) -> Result<String> {
        let what = format!("{} runs {}", self.name(), short(revision));
        eventually(&what, limit, || {
            let Some(commit) = self.serving() else {
                return Ok(Verdict::Pending("the service does not answer".into()));
            };
            let expected = Deployed {
                revision: revision.to_owned(),
                digest: digest.clone(),
                commit,
            };
            let checks: [Check<'a>; 3] = [Self::synced, Self::rolled_out, Self::runs_image];
            Ok(match self.all(&checks, &expected)? {
                Verdict::Met(()) => Verdict::Met(expected.commit),
                Verdict::Pending(why) => Verdict::Pending(why),
                Verdict::Failed(why) => Verdict::Failed(why),
            })
        })
    }

    const CHECKS: [Check<'a>; 5] = [
        Self::operation_succeeded,
        Self::rolled_out,
        Self::runs_image,
        Self::answers,
        Self::synced,
    ];

    fn all(&self, checks: &[Check<'a>], expected: &Deployed) -> Result<Verdict<()>> {
        for check in checks {
            match check(self, expected)? {
                Verdict::Met(()) => {}
                other => return Ok(other),
            }
        }
        Ok(Verdict::Met(()))
    }

    /// Argo CD has finished the operation that applies the commit.
    fn operation_succeeded(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let operation = self.application()?.status.operation_state;
        let operation = operation.unwrap_or_default();
        let synced = operation.sync_result.unwrap_or_default().revision;
        if synced != expected.revision {
            return pending(format!(
                "Argo CD has synced {synced:?}, not {}",
                expected.revision
            ));
        }
        match operation.phase {
            OperationPhase::Succeeded => Ok(Verdict::Met(())),
            phase @ (OperationPhase::Failed | OperationPhase::Error) => Ok(Verdict::Failed(
                format!("the phase of the sync is {phase:?}: {}", operation.message),
            )),
            phase => pending(format!("the phase of the sync is {phase:?}")),
        }
    }

    /// Argo CD finds no difference to the commit, which is the branch's tip.
    fn synced(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let sync = self.application()?.status.sync;
        if sync.status != SyncStatus::Synced || sync.revision != expected.revision {
            return pending(format!("it is {:?} at {}", sync.status, sync.revision));
        }
        Ok(Verdict::Met(()))
    }

    /// The newest ReplicaSet is available, and the others have no pods.
    fn rolled_out(&self, _: &Deployed) -> Result<Verdict<()>> {
        let name = self.service();
        let deployment: Deployment = self
            .kubernetes
            .get(self.namespace(), name)?
            .with_context(|| format!("the Deployment {name} does not exist"))?;
        let status = deployment.status.unwrap_or_default();
        if status.observed_generation != deployment.metadata.generation {
            return pending("the controller has not observed the Deployment's change yet".into());
        }
        let progressing = status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .find(|condition| condition.type_.as_deref() == Some("Progressing"))
            .and_then(|condition| condition.reason);
        match progressing.as_deref() {
            Some("NewReplicaSetAvailable") => Ok(Verdict::Met(())),
            Some("ProgressDeadlineExceeded") => Ok(Verdict::Failed(format!(
                "the roll-out is stuck: {}",
                waiting_reasons(&self.pods()?)
            ))),
            reason => pending(format!(
                "the roll-out is at {reason:?}; {}",
                waiting_reasons(&self.pods()?)
            )),
        }
    }

    /// Every ready pod runs the image.
    fn runs_image(&self, expected: &Deployed) -> Result<Verdict<()>> {
        for pod in self.pods()? {
            let containers = pod.status.and_then(|status| status.container_statuses);
            let mut images = containers
                .into_iter()
                .flatten()
                .filter(|container| container.ready)
                .map(|container| container.image_id);
            if let Some(other) = images.find(|image| !image.ends_with(expected.digest.as_str())) {
                return pending(format!("a pod runs {other}"));
            }
        }
        Ok(Verdict::Met(()))
    }

    /// The service reports the commit.
    fn answers(&self, expected: &Deployed) -> Result<Verdict<()>> {
        let serving = self.serving();
        if serving.as_ref() != Some(&expected.commit) {
            return pending(format!("/version reports {serving:?}"));
        }
        Ok(Verdict::Met(()))
    }
}

fn pending(why: String) -> Result<Verdict<()>> {
    Ok(Verdict::Pending(why))
}

/// Why pods are not ready, in the cluster's words: `ImagePullBackOff: …`.
fn waiting_reasons(pods: &[Pod]) -> String {
    let reasons: Vec<String> = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        })
        .flat_map(reasons_of)
        .collect();
    if reasons.is_empty() {
        "pods are starting".into()
    } else {
        reasons.join("; ")
    }
}

fn reasons_of(container: &ContainerStatus) -> Vec<String> {
    let Some(ContainerState {
        waiting,
        terminated,
        ..
    }) = &container.state
    else {
        return Vec::new();
    };
    let waiting = waiting.iter().map(|state| (&state.reason, &state.message));
    let terminated = terminated
        .iter()
        .map(|state| (&state.reason, &state.message));
    waiting
        .chain(terminated)
        .filter_map(|(reason, message)| {
            let reason = reason.as_deref().unwrap_or_default();
            let is_normal = matches!(
                reason,
                "" | "PodInitializing" | "ContainerCreating" | "Completed"
            );
            (!is_normal).then(|| format!("{reason}: {}", message.as_deref().unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_that_waits_for_its_image_gives_the_reason() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "shop"},
            "status": {
                "initContainerStatuses": [{
                    "name": "migrate", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
                }],
                "containerStatuses": [{
                    "name": "shop", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": "PodInitializing"}},
                }],
            },
        }))
        .unwrap();
        assert_eq!(waiting_reasons(&[pod]), "ImagePullBackOff: not found");
        assert_eq!(waiting_reasons(&[]), "pods are starting");
    }
}
