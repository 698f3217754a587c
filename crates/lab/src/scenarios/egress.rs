//! B1. The lab's network has no way out: there is no interface that leads anywhere else, and what is
//! sent elsewhere is not delivered.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::World;
use crate::cluster::kubectl;
use crate::command::{Run, command};

/// Documentation addresses (RFC 5737): nobody's, so a packet that did leave would harm no one.
const ELSEWHERE: &[&str] = &["192.0.2.1:443", "198.51.100.1:53", "203.0.113.1:80"];

pub(super) fn run(_world: &World) -> Result<()> {
    // Given: every interface is loopback, a bridge of the lab, or one end of a pair whose other end is a pod's.
    let links: Value = serde_json::from_str(&command("ip", ["-details", "-json", "link"]).read()?)?;
    let links = links.as_array().context("ip lists no links")?;
    for link in links {
        let name = link["ifname"].as_str().unwrap_or_default();
        let kind = link["linkinfo"]["info_kind"].as_str().unwrap_or_default();
        let known = match kind {
            "" => name == "lo",
            "bridge" => matches!(name, "node0" | "cni0"),
            "veth" => link["master"] == "cni0",
            _ => false,
        };
        ensure!(
            known,
            "the lab has an interface that may lead out: {name} ({kind})"
        );
    }
    // Nothing is plugged into the bridge that the default route leads to.
    ensure!(
        links.iter().all(|link| link["master"] != "node0"),
        "something is plugged into node0, where packets to elsewhere go"
    );

    // When something is sent elsewhere, then it is not delivered.
    for target in ELSEWHERE {
        let address: SocketAddr = target.parse()?;
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(_) => bail!("a connection to {target} was made"),
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
        // Sending may be refused at once; what counts is that nobody answers.
        let _ = socket.send_to(b"anyone?", address);
        ensure!(
            socket.recv_from(&mut [0; 64]).is_err(),
            "a packet to {target} was answered"
        );
    }

    // The same from a pod, which has a network of its own.
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
