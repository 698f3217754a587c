//! The lab's network, set up from inside its network namespace.

use std::fs;

use anyhow::{Context, Result};
use devkit::process::{Run, command};

/// The node's address: on a bridge without ports, so no packet can leave.
pub const NODE: &str = "10.10.0.1";

/// The forge's host name inside.
pub const FORGE: &str = "forge.lab.test";

/// Sets up loopback, and the node's address on a bridge without ports.
///
/// # Errors
/// When a command fails.
pub fn set_up() -> Result<()> {
    let address = format!("{NODE}/24");
    for line in [
        vec!["link", "set", "lo", "up"],
        vec!["link", "add", "node0", "type", "bridge"],
        vec!["address", "add", &address, "dev", "node0"],
        vec!["link", "set", "node0", "up"],
        // Pods' replies and kube-proxy need a default route; nothing is connected to this one.
        vec!["route", "add", "default", "dev", "node0"],
    ] {
        command("ip", line).run_quietly()?;
    }
    for (key, value) in [
        ("net/ipv4/ip_forward", "1"),
        // The forge listens on port 443 and does not run as root.
        ("net/ipv4/ip_unprivileged_port_start", "0"),
    ] {
        fs::write(format!("/proc/sys/{key}"), value)
            .with_context(|| format!("cannot set {key}"))?;
    }
    command("hostname", ["lab"]).run_quietly()?;
    fs::write(
        "/etc/hosts",
        format!("127.0.0.1 localhost\n{NODE} lab {FORGE}\n"),
    )?;
    // The cluster's DNS server, so that the forge can call Argo CD by its Service name.
    write_over(
        "/etc/resolv.conf",
        "nameserver 10.43.0.10\noptions timeout:1 attempts:2\n",
    )
}

/// Replaces a file that may be a symbolic link; the link's target stays as it is.
fn write_over(path: &str, text: &str) -> Result<()> {
    let _ = fs::remove_file(path);
    fs::write(path, text).with_context(|| format!("cannot write {path}"))
}
