//! Argo Rollouts: its controller, which is built and installed only for the scenario that needs it, and its objects.
//! Only the fields that the lab reads. Source: <https://argo-rollouts.readthedocs.io/en/stable/features/specification/>.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use devkit::progress::Progress;
use devkit::tools;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ListableResource, NamespaceResourceScope, Resource};
use serde::Deserialize;
use serde_json::json;

use super::containerd;
use super::images::{self, ROLLOUTS, reference};
use super::kubectl::{apply, kubectl, wait_rolled_out};
use crate::sandbox::layout::Layout;

/// The namespace of the controller. Its own manifest names it in a ClusterRoleBinding.
const NAMESPACE: &str = "argo-rollouts";

/// The image in the controller's own manifest.
const LATEST: &str = "quay.io/argoproj/argo-rollouts:latest";

/// Builds the controller and its image on the host, if the cache does not have them.
///
/// # Errors
/// When a build fails.
pub fn build(layout: &Layout, progress: Progress) -> Result<()> {
    tools::install(&layout.cache, &[tools::named(ROLLOUTS)?], progress)?;
    images::ensure(layout, &[ROLLOUTS], progress)
}

/// Installs the controller from its own manifest, and waits until it is ready.
///
/// # Errors
/// When it was not built, the API server refuses a manifest, or it does not become ready.
pub fn install() -> Result<()> {
    containerd::import(ROLLOUTS)?;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    apply(NAMESPACE, &namespace.to_string())?;
    apply(NAMESPACE, &manifest()?)?;
    let limit = Duration::from_secs(120);
    wait_rolled_out(NAMESPACE, &["deployment/argo-rollouts"], limit)
}

/// Removes the controller, and with its CRDs all Rollouts.
///
/// # Errors
/// When the API server refuses.
pub fn remove() -> Result<()> {
    let words = ["delete", "--ignore-not-found", "-n", NAMESPACE, "-f", "-"];
    kubectl(words).read_with(manifest()?.as_bytes())?;
    kubectl(["delete", "namespace", NAMESPACE, "--ignore-not-found"]).run_quietly()?;
    Ok(())
}

/// The manifest of the module that the controller was built from.
fn manifest() -> Result<String> {
    let layout = Layout::inside();
    let path = tools::shared_file(&layout.cache, ROLLOUTS, "manifests/install.yaml")?;
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    tailored(&text, &reference(&layout, ROLLOUTS)?)
}

/// The manifest with the image that is on the node, which is not pulled.
fn tailored(manifest: &str, image: &str) -> Result<String> {
    ensure!(
        manifest.contains(LATEST),
        "the manifest of Argo Rollouts does not have the image {LATEST}"
    );
    let manifest = manifest.replace(LATEST, image);
    Ok(manifest.replace("imagePullPolicy: Always", "imagePullPolicy: IfNotPresent"))
}

/// A Rollout, which replaces its pods step by step.
#[derive(Clone, Debug, Deserialize)]
pub struct Rollout {
    metadata: ObjectMeta,
    /// What the controller reports.
    #[serde(default)]
    pub status: RolloutStatus,
}

impl Rollout {
    /// Whether the status is that of the current specification.
    pub fn is_observed(&self) -> bool {
        let generation = self.metadata.generation.map(|number| number.to_string());
        generation.as_ref() == Some(&self.status.observed_generation)
    }
}

impl Resource for Rollout {
    const API_VERSION: &'static str = "argoproj.io/v1alpha1";
    const GROUP: &'static str = "argoproj.io";
    const KIND: &'static str = "Rollout";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "rollouts";
    type Scope = NamespaceResourceScope;
}

/// The status of a Rollout.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RolloutStatus {
    observed_generation: String,
    /// How far the roll-out is.
    pub phase: RolloutPhase,
    /// Why it is at this phase.
    pub message: String,
    /// Whether the controller or a person ended the roll-out.
    pub abort: bool,
    /// The hash of the pods that the specification asks for.
    pub current_pod_hash: String,
    /// The hash of the pods that ran before, and that remain if the roll-out is aborted.
    #[serde(rename = "stableRS")]
    pub stable_pod_hash: String,
}

/// How far a roll-out is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum RolloutPhase {
    /// All pods run the current version.
    Healthy,
    /// It was aborted, or does not progress.
    Degraded,
    /// Pods are being replaced or analysed.
    Progressing,
    /// It waits for a person.
    Paused,
    /// The controller has not seen the Rollout yet.
    #[default]
    Unknown,
    /// A phase that this program does not know.
    #[serde(untagged)]
    Other(String),
}

/// One analysis of the pods of a new version.
#[derive(Clone, Debug, Deserialize)]
pub struct AnalysisRun {
    metadata: ObjectMeta,
    /// What the controller reports.
    #[serde(default)]
    pub status: AnalysisRunStatus,
}

impl AnalysisRun {
    /// Whether it analyses the pods with this hash.
    pub fn is_of(&self, pod_hash: &str) -> bool {
        let labels = self.metadata.labels.as_ref();
        let hash = labels.and_then(|labels| labels.get("rollouts-pod-template-hash"));
        hash.is_some_and(|hash| hash == pod_hash)
    }
}

impl Resource for AnalysisRun {
    const API_VERSION: &'static str = "argoproj.io/v1alpha1";
    const GROUP: &'static str = "argoproj.io";
    const KIND: &'static str = "AnalysisRun";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "analysisruns";
    type Scope = NamespaceResourceScope;
}

impl ListableResource for AnalysisRun {
    const LIST_KIND: &'static str = "AnalysisRunList";
}

/// The status of an analysis.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AnalysisRunStatus {
    /// The result of each metric.
    pub metric_results: Vec<MetricResult>,
}

/// The result of a metric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MetricResult {
    /// Its name in the AnalysisTemplate.
    pub name: String,
    /// The result of all measurements together.
    pub phase: AnalysisPhase,
}

/// The result of an analysis or of a part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AnalysisPhase {
    /// The new version is good.
    Successful,
    /// The new version is bad.
    Failed,
    /// A measurement was not possible.
    Error,
    /// It is measuring.
    Running,
    /// It has not begun.
    #[default]
    Pending,
    /// A phase that this program does not know.
    #[serde(untagged)]
    Other(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_gets_the_image_of_the_node() {
        let container = format!("- image: {LATEST}\n  imagePullPolicy: Always\n");
        let tailored = tailored(&container, "controller:v1").unwrap();
        assert_eq!(
            tailored,
            "- image: controller:v1\n  imagePullPolicy: IfNotPresent\n"
        );
        let error = super::tailored("- image: other\n", "controller:v1").unwrap_err();
        assert!(error.to_string().contains(LATEST), "{error}");
    }

    #[test]
    fn a_status_is_read_as_the_controller_writes_it() {
        let rollout: Rollout = serde_json::from_value(json!({
            "metadata": {"name": "shop", "generation": 3},
            "spec": {"replicas": 3},
            "status": {
                "abort": true,
                "abortedAt": "2026-11-26T12:00:00Z",
                "currentPodHash": "7b76",
                "message": "RolloutAborted: metric \"requests\" assessed Error",
                "observedGeneration": "3",
                "phase": "Degraded",
                "stableRS": "7789",
            },
        }))
        .unwrap();
        assert!(rollout.is_observed());
        let status = rollout.status;
        assert!(status.abort);
        assert_eq!(status.phase, RolloutPhase::Degraded);
        assert_eq!(status.current_pod_hash, "7b76");
        assert_eq!(status.stable_pod_hash, "7789");
    }

    #[test]
    fn a_new_rollout_has_no_status_yet() {
        let new = json!({"metadata": {"generation": 1}, "spec": {}});
        let rollout: Rollout = serde_json::from_value(new).unwrap();
        assert!(!rollout.is_observed());
        assert_eq!(rollout.status.phase, RolloutPhase::Unknown);
    }

    #[test]
    fn an_analysis_belongs_to_the_pods_that_it_names() {
        let run: AnalysisRun = serde_json::from_value(json!({
            "metadata": {"labels": {"rollouts-pod-template-hash": "7b76"}},
            "status": {"phase": "Running", "metricResults": [
                {"name": "requests", "phase": "Successful", "count": 5, "measurements": []},
                {"name": "errors", "phase": "Running"},
            ]},
        }))
        .unwrap();
        assert!(run.is_of("7b76") && !run.is_of("7789"));
        let phases = run.status.metric_results.iter().map(|metric| &metric.phase);
        let phases: Vec<_> = phases.collect();
        assert_eq!(
            phases,
            [&AnalysisPhase::Successful, &AnalysisPhase::Running]
        );
    }
}
