//! Volumes for environments that keep their data in a file: the lab has no provisioner.

use std::fs;
use std::os::unix::fs::chown;

use anyhow::Result;
use serde_json::json;

use super::kubectl::apply;
use crate::sandbox::layout::Layout;

/// The user and group that the service's image runs as.
const SERVICE_USER: u32 = 65532;

/// Creates a volume for each environment. A claim takes any of them.
///
/// # Errors
/// When a folder cannot be created, or the API server refuses.
pub(super) fn create(layout: &Layout) -> Result<()> {
    let mut volumes = Vec::new();
    for env in layout.delivery()?.environments() {
        let folder = layout.state("volumes").join(&env.name);
        fs::create_dir_all(&folder)?;
        // Kubernetes does not change the owner of a host folder.
        chown(&folder, Some(SERVICE_USER), Some(SERVICE_USER))?;
        volumes.push(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": env.name},
            "spec": {
                "storageClassName": "local-path",
                "capacity": {"storage": "10Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": folder, "type": "Directory"},
            },
        }));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": volumes});
    apply("kube-system", &list.to_string())
}
