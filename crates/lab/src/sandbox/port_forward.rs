//! The way in from the host: listeners on loopback whose connections continue inside. There is no
//! route between the two; each connection is carried by hand.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use crate::command::command;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces::MARK;

/// One way in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    /// What is behind it: `forge`, `argocd` or an environment.
    pub name: String,
    /// The address on the host's loopback.
    pub listen: SocketAddr,
    /// The address inside.
    pub target: SocketAddr,
}

/// The port each door likes best; the next free one is taken where it is in use.
const PORTS: &[(&str, u16)] = &[
    ("dev", 18080),
    ("argocd", 18081),
    ("staging", 18082),
    ("prod", 18083),
    ("forge", 18443),
];

/// The doors of a running lab.
///
/// # Errors
/// When they can't be read.
pub fn doors(layout: &Layout) -> Result<Vec<Door>> {
    let path = layout.state("doors.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("could not read {}", path.display()))
}

/// Opens the doors to these targets that are not open yet; the others keep their addresses.
///
/// # Errors
/// When the forwarder does not start.
pub fn ensure(layout: &Layout, init: i32, targets: &[(&str, SocketAddr)]) -> Result<Vec<Door>> {
    let mut open = doors(layout)?;
    open.retain(|door| {
        targets.contains(&(door.name.as_str(), door.target))
            && TcpStream::connect(door.listen).is_ok()
    });
    let is_open = |name: &str| open.iter().any(|door| door.name == name);
    let missing = targets.iter().filter(|(name, _)| !is_open(name));
    let missing: Vec<&(&str, SocketAddr)> = missing.collect();
    if missing.is_empty() {
        return Ok(open);
    }
    fs::write(layout.state("targets.json"), serde_json::to_vec(&missing)?)?;
    fs::write(layout.state("doors.json"), serde_json::to_vec(&open)?)?;
    let log = File::create(layout.state("log/forward.log"))?;
    let own = crate::cli::up::own_program()?;
    let mut child = command("setsid", [own.as_os_str()])
        .args(["--state".as_ref(), layout.state.as_os_str()])
        .args(["forward", &init.to_string()])
        .env(MARK, &layout.state)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("could not start the forwarder")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let open = doors(layout).unwrap_or_default();
        if open.len() == targets.len() {
            return Ok(open);
        }
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            let said = fs::read_to_string(layout.state("log/forward.log")).unwrap_or_default();
            bail!("the forwarder did not start: {}", said.trim());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The forwarder itself: runs on the host until the lab ends.
///
/// # Errors
/// When a port can't be had, or the lab's network can't be entered.
pub fn run(layout: &Layout, init: i32) -> Result<()> {
    let text =
        fs::read_to_string(layout.state("targets.json")).context("the targets are not there")?;
    let targets: Vec<(String, SocketAddr)> = serde_json::from_str(&text)?;
    // Beside those that an earlier one holds.
    let mut open = doors(layout)?;
    for (name, target) in targets {
        let listener = listen(&name)?;
        let door = Door {
            name,
            listen: listener.local_addr()?,
            target,
        };
        let network =
            File::open(format!("/proc/{init}/ns/net")).context("the lab's network is not there")?;
        // A socket stays in the network it was made in; a thread may change to another. So the
        // listener is the host's, and what this thread opens from now on is the lab's.
        thread::spawn(move || match setns(&network, CloneFlags::CLONE_NEWNET) {
            Ok(()) => accept(&listener, target),
            Err(error) => eprintln!("could not enter the lab's network: {error}"),
        });
        open.push(door);
    }
    let path = layout.state("doors.json");
    let part = layout.state("doors.part");
    fs::write(&part, serde_json::to_vec_pretty(&open)?)?;
    fs::rename(part, path)?;
    while Path::new(&format!("/proc/{init}/ns/net")).exists() {
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn listen(name: &str) -> Result<TcpListener> {
    let wanted = PORTS
        .iter()
        .find(|(door, _)| *door == name)
        .map_or(0, |(_, port)| *port);
    for port in wanted..wanted.saturating_add(50) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error).with_context(|| format!("could not listen on port {port}"));
            }
        }
    }
    bail!("no port from {wanted} on is free for {name}")
}

fn accept(listener: &TcpListener, target: SocketAddr) {
    for client in listener.incoming().flatten() {
        thread::spawn(move || {
            if let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) {
                carry(client, server);
            }
        });
    }
}

/// Carries bytes both ways until both sides are done.
fn carry(client: TcpStream, server: TcpStream) {
    let (Ok(mut from_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone())
    else {
        return;
    };
    let (mut to_client, mut to_server) = (client, server);
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
}
