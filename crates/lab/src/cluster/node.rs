//! The only node: kubelet and kube-proxy.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::http::get_text;
use k8s_openapi::api::core::v1::Node;

use super::api::Kubernetes;
use crate::expect::{Verdict, eventually};
use crate::sandbox::host::Host;
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::NODE;
use crate::sandbox::service::Service;

/// How long the node may take to start.
const LIMIT: Duration = Duration::from_secs(180);

/// Where kubelet says that it runs: its default.
const HEALTH: &str = "http://127.0.0.1:10248/healthz";

/// Starts kubelet and kube-proxy.
///
/// # Errors
/// When the node does not become ready.
pub(super) fn start(layout: &Layout, host: &Host) -> Result<()> {
    let variables = host.variables();
    create_control_groups(host)?;
    fs::write(
        layout.state("kubelet.yaml"),
        include_str!("../../platform/kubelet.yaml"),
    )?;
    let kubelet = Service::new(
        "kubelet",
        &variables,
        &[
            "kubelet",
            &format!("--config={INSIDE}/kubelet.yaml"),
            &format!("--kubeconfig={INSIDE}/kubeconfig/kubelet"),
            &format!("--cgroup-root=/{}", host.control_group),
            "--hostname-override=lab",
            &format!("--node-ip={NODE}"),
        ],
    );
    // containerd answers `ctr` before it answers kubelet, which then ends. What a stopped lab knows of the node is old.
    eventually("kubelet runs", LIMIT, || {
        kubelet.ensure(layout)?;
        Ok(match get_text(HEALTH) {
            Some(_) => Verdict::Met(()),
            None => Verdict::Pending(kubelet.tail(layout)),
        })
    })?;
    Service::new(
        "kube-proxy",
        &variables,
        &[
            "kube-proxy",
            &format!("--kubeconfig={INSIDE}/kubeconfig/kube-proxy"),
            "--proxy-mode=nftables",
            "--cluster-cidr=10.42.0.0/24",
            "--hostname-override=lab",
            // The lab must not change the machine's limits of connection tracking.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ],
    )
    .ensure(layout)?;
    let kubernetes = Kubernetes::new(layout)?;
    kubelet.wait(layout, LIMIT, || node_ready(&kubernetes))
}

/// Creates the lab's control group in each hierarchy that the machine has mounted.
fn create_control_groups(host: &Host) -> Result<()> {
    for hierarchy in fs::read_dir("/sys/fs/cgroup")
        .context("cannot list control groups")?
        .flatten()
    {
        let kind = hierarchy
            .file_type()
            .context("cannot read a control group")?;
        if kind.is_dir() && hierarchy.path().join("cgroup.procs").exists() {
            let folder = hierarchy.path().join(&host.control_group);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
    }
    // In cgroup v1 a process cannot join a cpuset that has no processors.
    let cpuset = Path::new("/sys/fs/cgroup/cpuset");
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let target = cpuset.join(&host.control_group).join(file);
        if target.exists() {
            fs::write(&target, fs::read_to_string(cpuset.join(file))?)?;
        }
    }
    Ok(())
}

fn node_ready(kubernetes: &Kubernetes) -> bool {
    let Ok(Some(node)) = kubernetes.get_cluster_object::<Node>("lab") else {
        return false;
    };
    let conditions = node.status.and_then(|status| status.conditions);
    conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
