//! Argo CD's Application and what its API returns about it. Only the fields that the lab reads.
//! Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/> and Argo CD's `/swagger-ui`.

use k8s_openapi::{NamespaceResourceScope, Resource};
use serde::Deserialize;

/// An Application, as the cluster's API returns it.
#[derive(Clone, Debug, Deserialize)]
pub struct Application {
    /// What is declared.
    pub spec: ApplicationSpec,
    /// What Argo CD reports.
    #[serde(default)]
    pub status: ApplicationStatus,
}

impl Resource for Application {
    const API_VERSION: &'static str = "argoproj.io/v1alpha1";
    const GROUP: &'static str = "argoproj.io";
    const KIND: &'static str = "Application";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "applications";
    type Scope = NamespaceResourceScope;
}

/// What an Application declares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationSpec {
    sync_policy: SyncPolicy,
}

impl ApplicationSpec {
    /// Whether Argo CD syncs it automatically.
    pub fn is_automatic(&self) -> bool {
        let automated = self.sync_policy.automated.as_ref();
        automated.is_some_and(|automated| automated.enabled)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SyncPolicy {
    automated: Option<Automated>,
}

#[derive(Clone, Debug, Deserialize)]
struct Automated {
    /// Argo CD takes a missing value as `true`.
    #[serde(default = "enabled")]
    enabled: bool,
}

fn enabled() -> bool {
    true
}

/// The status of an Application. All of it is missing until Argo CD has looked at the Application.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// How the cluster compares with git.
    pub sync: Comparison,
    /// The health of all objects together.
    pub health: Health,
    /// The last operation or the one that is running.
    pub operation_state: Option<OperationState>,
    /// The revisions that were synced, the newest last.
    pub history: Vec<HistoryEntry>,
    /// The objects that git declares.
    pub resources: Vec<DeclaredResource>,
    /// Errors and warnings of the Application itself.
    pub conditions: Vec<Condition>,
}

/// How the cluster compares with git.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// The result of the comparison.
    pub status: SyncStatus,
    /// The commit that the cluster was compared with.
    pub revision: String,
}

/// Whether the cluster is as git declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SyncStatus {
    /// The cluster is as git declares.
    Synced,
    /// Something differs.
    OutOfSync,
    /// Argo CD has not compared yet, or cannot.
    #[default]
    Unknown,
    /// A status that this program does not know.
    #[serde(untagged)]
    Other(String),
}

/// The health of an object or of an Application.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Health {
    /// How healthy it is.
    pub status: HealthStatus,
}

/// How healthy an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum HealthStatus {
    /// It works.
    Healthy,
    /// It is not healthy yet, and may become so.
    Progressing,
    /// It failed, or did not become healthy in time.
    Degraded,
    /// It is paused.
    Suspended,
    /// It does not exist.
    Missing,
    /// Argo CD cannot tell.
    #[default]
    Unknown,
    /// A status that this program does not know.
    #[serde(untagged)]
    Other(String),
}

/// An operation: a sync or a rollback.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OperationState {
    /// How far it is.
    pub phase: OperationPhase,
    /// Why it failed, or what it did.
    pub message: String,
    /// When it finished.
    pub finished_at: Option<jiff::Timestamp>,
    /// What was synced.
    pub sync_result: Option<SyncResult>,
}

/// How far an operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum OperationPhase {
    /// It is running.
    Running,
    /// It is being stopped.
    Terminating,
    /// It failed: an object could not be applied.
    Failed,
    /// It could not run.
    Error,
    /// It is done.
    Succeeded,
    /// Argo CD does not say.
    #[default]
    Unknown,
    /// A phase that this program does not know.
    #[serde(untagged)]
    Other(String),
}

/// What an operation synced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SyncResult {
    /// The commit.
    pub revision: String,
}

/// An entry of the history, which a rollback can name.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryEntry {
    /// Its number.
    pub id: i64,
    /// The commit that was synced.
    pub revision: String,
}

/// An object that git declares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeclaredResource {
    /// Its kind: `Deployment`.
    pub kind: String,
    /// Whether it is as git declares.
    pub status: SyncStatus,
}

/// An error or a warning of an Application.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its kind: `ComparisonError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong.
    pub message: String,
}

/// The objects of an Application and the objects that they own: what the web page draws as a tree.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceTree {
    /// All objects.
    pub nodes: Vec<TreeNode>,
}

/// An object of the tree.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TreeNode {
    /// Its kind: `Pod`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The cluster's unique id of it.
    pub uid: String,
    /// The objects that own it.
    pub parent_refs: Vec<ParentRef>,
    /// Its health, if Argo CD knows how to judge its kind.
    pub health: Option<Health>,
    /// What the web page shows beside it.
    pub info: Vec<Info>,
}

impl TreeNode {
    /// Whether a pod is waiting because its image cannot be pulled.
    pub fn cannot_pull(&self) -> bool {
        self.kind == "Pod"
            && self
                .info
                .iter()
                .any(|info| info.name == "Status Reason" && info.value.contains("ImagePull"))
    }
}

/// An object that owns another.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ParentRef {
    /// The cluster's unique id of it.
    pub uid: String,
}

/// A fact that the web page shows beside an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Its name: `Status Reason`.
    pub name: String,
    /// Its value: `Init:ImagePullBackOff`.
    pub value: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_new_application_has_no_status_yet() {
        let application: Application = serde_json::from_value(json!({"spec": {}})).unwrap();
        assert_eq!(application.status.sync.status, SyncStatus::Unknown);
        assert_eq!(application.status.health.status, HealthStatus::Unknown);
        assert!(application.status.operation_state.is_none());
        assert!(!application.spec.is_automatic());
    }

    #[test]
    fn an_automatic_sync_can_be_switched_off() {
        let automatic = |automated| {
            let text = json!({"spec": {"syncPolicy": {"automated": automated}}});
            let application: Application = serde_json::from_value(text).unwrap();
            application.spec.is_automatic()
        };
        assert!(automatic(json!({})) && automatic(json!({"enabled": true})));
        assert!(!automatic(json!({"enabled": false})) && !automatic(json!(null)));
    }

    #[test]
    fn a_status_is_read_as_argo_cd_writes_it() {
        let application: Application = serde_json::from_value(json!({
            "spec": {},
            "status": {
                "sync": {"status": "OutOfSync", "revision": "1f0c"},
                "health": {"status": "Degraded", "lastTransitionTime": "2026-11-26T12:00:00Z"},
                "history": [{"id": 3, "revision": "1f0c", "deployedAt": "2026-11-26T12:00:00Z"}],
                "operationState": {
                    "phase": "Succeeded",
                    "message": "successfully synced (all tasks run)",
                    "finishedAt": "2026-11-26T12:00:00Z",
                    "syncResult": {"revision": "1f0c"},
                },
                "resources": [{"kind": "Deployment", "status": "OutOfSync"}, {"kind": "Service"}],
                "conditions": [{"type": "ComparisonError", "message": "no such branch"}],
            },
        }))
        .unwrap();
        let status = application.status;
        assert_eq!(status.sync.status, SyncStatus::OutOfSync);
        assert_eq!(status.health.status, HealthStatus::Degraded);
        assert_eq!(status.history[0].id, 3);
        assert_eq!(status.resources[1].status, SyncStatus::Unknown);
        assert_eq!(status.conditions[0].kind, "ComparisonError");
        let operation = status.operation_state.unwrap();
        assert_eq!(operation.phase, OperationPhase::Succeeded);
        assert!(operation.finished_at.is_some());
    }

    #[test]
    fn a_status_of_a_later_version_keeps_its_text() {
        let health: Health = serde_json::from_value(json!({"status": "Hibernating"})).unwrap();
        assert_eq!(health.status, HealthStatus::Other("Hibernating".into()));
    }

    #[test]
    fn a_pod_that_cannot_pull_its_image_is_recognised() {
        let node: TreeNode = serde_json::from_value(json!({
            "kind": "Pod",
            "info": [{"name": "Status Reason", "value": "Init:ImagePullBackOff"}],
        }))
        .unwrap();
        assert!(node.cannot_pull());
    }
}
