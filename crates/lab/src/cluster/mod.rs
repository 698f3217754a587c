//! Kubernetes from its own programs: etcd, the control plane and one node.

pub mod api;
mod containerd;
mod control_plane;
pub mod database;
pub mod images;
pub mod kubectl;
mod node;
pub mod rollouts;
mod volumes;

use std::time::Duration;

use anyhow::Result;

use self::kubectl::{apply, wait_rolled_out};
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;

/// Starts the cluster and waits until its DNS server answers.
///
/// # Errors
/// When a part does not become ready, or the API server refuses a manifest.
pub fn start(layout: &Layout, host: &Host) -> Result<()> {
    control_plane::start(layout, host)?;
    containerd::start(layout, host)?;
    node::start(layout, host)?;
    apply_platform()?;
    volumes::create(layout)?;
    wait_rolled_out(
        "kube-system",
        &["deployment/coredns"],
        Duration::from_secs(180),
    )
}

/// Applies what a distribution of Kubernetes would bring: DNS, storage, and the API server's right to connect to the
/// kubelet.
fn apply_platform() -> Result<()> {
    let coredns = images::version("coredns")?;
    let dns = include_str!("../../platform/dns.yaml").replace("VERSION", &coredns);
    for manifests in [
        include_str!("../../platform/node.yaml"),
        &dns,
        include_str!("../../platform/storage.yaml"),
    ] {
        apply("kube-system", manifests)?;
    }
    Ok(())
}
