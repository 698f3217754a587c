//! The container runtime of the node.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::process::{Run, command};

use super::images;
use crate::sandbox::host::Host;
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::service::Service;

/// Starts containerd and imports the lab's images.
///
/// # Errors
/// When containerd does not become ready, or an image cannot be imported.
pub(super) fn start(layout: &Layout, host: &Host) -> Result<()> {
    let registry = layout.delivery()?.registry;
    let registries = format!("containerd/certs.d/{registry}");
    for folder in [&registries, "cni"] {
        fs::create_dir_all(layout.state(folder))?;
    }
    let mirror = include_str!("../../platform/registry-mirror.toml");
    for (file, text) in [
        (
            "containerd/config.toml",
            include_str!("../../platform/containerd.toml"),
        ),
        (
            &format!("{registries}/hosts.toml"),
            &mirror.replace("@REGISTRY@", &registry),
        ),
        (
            "cni/10-pods.conflist",
            include_str!("../../platform/cni.json"),
        ),
    ] {
        fs::write(layout.state(file), text).with_context(|| format!("cannot write {file}"))?;
    }
    let containerd = Service::new(
        "containerd",
        &host.variables(),
        &[
            "containerd",
            "--config",
            &format!("{INSIDE}/containerd/config.toml"),
        ],
    );
    containerd.ensure(layout)?;
    containerd.wait(layout, Duration::from_secs(30), || {
        ctr().arg("version").run_quietly().is_ok()
    })?;

    let have = ctr().args(["images", "ls", "-q"]).read()?;
    if have.contains(images::PAUSE) {
        return Ok(());
    }
    // The pause image comes last: if it is there, the others are too.
    for name in images::CLUSTER.iter().rev() {
        import(name)?;
    }
    Ok(())
}

/// Imports an image of the lab. The node then does not pull it.
///
/// # Errors
/// When the image was not built, or containerd refuses it.
pub(super) fn import(name: &str) -> Result<()> {
    let archive = images::archive(&Layout::inside(), name)?;
    ctr()
        .args(["images", "import"])
        .arg(&archive)
        .run_quietly()?;
    Ok(())
}

fn ctr() -> Command {
    let socket = "/run/containerd/containerd.sock";
    command("ctr", ["--address", socket, "-n", "k8s.io"])
}
