//! The pods of a namespace as a file of targets that Prometheus reads, because Debian's Prometheus does not find pods by
//! itself. Source: <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config>.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::prometheus::SERVICE_PORT;
use crate::cluster::api::Kubernetes;

/// The pause between two looks at the pods.
const PAUSE: Duration = Duration::from_secs(1);

/// A file that follows the pods until this value ends.
pub struct PodTargets {
    done: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl PodTargets {
    /// Starts to write the running pods of a namespace to a file.
    pub fn follow(kubernetes: Kubernetes, namespace: &'static str, file: PathBuf) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let worker = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // If the API server or the disk fails, the next look may succeed.
                let _ = write(&kubernetes, namespace, &file);
                thread::sleep(PAUSE);
            }
        });
        Self {
            done,
            worker: Some(worker),
        }
    }
}

impl Drop for PodTargets {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn write(kubernetes: &Kubernetes, namespace: &str, file: &Path) -> Result<()> {
    let pods: Vec<Pod> = kubernetes.list(namespace)?;
    let targets: Vec<Value> = pods.iter().filter_map(target).collect();
    // Prometheus must not read half a file.
    let part = file.with_extension("part");
    fs::write(&part, Value::from(targets).to_string())?;
    fs::rename(part, file)?;
    Ok(())
}

/// A pod that has an address, with the labels that the chart's PodMonitor gives.
fn target(pod: &Pod) -> Option<Value> {
    let address = pod.status.as_ref()?.pod_ip.as_ref()?;
    let metadata = &pod.metadata;
    let label = |name: &str| metadata.labels.as_ref()?.get(name);
    Some(json!({
        "targets": [format!("{address}:{SERVICE_PORT}")],
        "labels": {
            "namespace": metadata.namespace,
            "pod": metadata.name,
            "job": label("app.kubernetes.io/instance")?,
            "rollouts_pod_template_hash": label("rollouts-pod-template-hash")?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_with_an_address_is_a_target_with_the_labels_of_the_pod_monitor() {
        let pod = |status: Value| -> Pod {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "shop-1",
                    "namespace": "shop",
                    "labels": {
                        "app.kubernetes.io/instance": "shop",
                        "rollouts-pod-template-hash": "7b76",
                    },
                },
                "status": status,
            }))
            .unwrap()
        };
        assert_eq!(target(&pod(json!({"phase": "Pending"}))), None);
        let expected = json!({
            "targets": ["10.42.0.9:8080"],
            "labels": {
                "namespace": "shop",
                "pod": "shop-1",
                "job": "shop",
                "rollouts_pod_template_hash": "7b76",
            },
        });
        assert_eq!(target(&pod(json!({"podIP": "10.42.0.9"}))), Some(expected));
    }
}
