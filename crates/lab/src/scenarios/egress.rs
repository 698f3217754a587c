//! B1. The lab's network has no way out: no interface leads anywhere else, and packets to other addresses are not delivered.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devkit::process::{Run, command};
use serde::Deserialize;

use super::world::World;
use crate::cluster::kubectl::kubectl;

/// An interface, as `ip -details -json link` prints it.
#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    master: String,
    #[serde(default)]
    linkinfo: LinkInfo,
}

/// The kind of an interface; empty for a physical one and for loopback.
#[derive(Default, Deserialize)]
struct LinkInfo {
    #[serde(default)]
    info_kind: String,
}

impl Link {
    /// Whether it is loopback, a bridge of the lab, or the node's end of a pod's pair.
    fn stays_inside(&self) -> bool {
        match self.linkinfo.info_kind.as_str() {
            "" => self.ifname == "lo",
            "bridge" => matches!(self.ifname.as_str(), "node0" | "cni0"),
            "veth" => self.master == "cni0",
            _ => false,
        }
    }
}

/// Documentation addresses (RFC 5737): they belong to no one, so a packet that did leave would do no harm.
const OUTSIDE: &[&str] = &["192.0.2.1:443", "198.51.100.1:53", "203.0.113.1:80"];

pub(super) fn run(_world: &World) -> Result<()> {
    // Given that every interface is loopback, a bridge of the lab, or one end of a pair whose other end is a pod's,
    let links = command("ip", ["-details", "-json", "link"]).read()?;
    let links: Vec<Link> =
        serde_json::from_str(&links).context("the output of ip is not understood")?;
    for link in &links {
        ensure!(
            link.stays_inside(),
            "the lab has an interface that may lead out: {} ({})",
            link.ifname,
            link.linkinfo.info_kind
        );
    }
    // and that nothing is connected to the bridge that the default route leads to,
    ensure!(
        links.iter().all(|link| link.master != "node0"),
        "something is connected to node0, which the default route leads to"
    );

    // when a packet is sent to another address, then it is not delivered.
    for target in OUTSIDE {
        let address: SocketAddr = target.parse()?;
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(_) => bail!("a connection to {target} succeeded"),
            Err(error) => ensure!(
                matches!(
                    error.kind(),
                    ErrorKind::TimedOut
                        | ErrorKind::HostUnreachable
                        | ErrorKind::NetworkUnreachable
                ),
                "a connection to {target} was answered: {error}"
            ),
        }
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        // The kernel may refuse to send. What counts is that there is no answer.
        let _ = socket.send_to(b"anyone?", address);
        ensure!(
            socket.recv_from(&mut [0; 64]).is_err(),
            "a packet to {target} was answered"
        );
    }

    // The same is true for a pod, which has its own network.
    let refused = kubectl([
        "-n",
        "argocd",
        "exec",
        "deployment/argocd-repo-server",
        "-c",
        "argocd-repo-server",
        "--",
        "timeout",
        "2",
        "git",
        "ls-remote",
        "https://192.0.2.1/x.git",
    ])
    .read();
    ensure!(refused.is_err(), "a pod reached 192.0.2.1");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_may_lead_out_is_recognised() {
        let links: Vec<Link> = serde_json::from_str(
            r#"[
                {"ifname": "lo", "link_type": "loopback"},
                {"ifname": "node0", "linkinfo": {"info_kind": "bridge"}},
                {"ifname": "veth1", "master": "cni0", "linkinfo": {"info_kind": "veth"}},
                {"ifname": "eth0", "link_type": "ether"},
                {"ifname": "veth2", "master": "node0", "linkinfo": {"info_kind": "veth"}},
                {"ifname": "tun0", "linkinfo": {"info_kind": "tun"}}
            ]"#,
        )
        .unwrap();
        let inside: Vec<bool> = links.iter().map(Link::stays_inside).collect();
        assert_eq!(inside, [true, true, true, false, false, false]);
    }
}
