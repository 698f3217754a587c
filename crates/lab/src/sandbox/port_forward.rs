//! Port-forwards: listeners on the host's loopback whose connections continue inside the lab. The two networks have no
//! route to each other; a process on the host copies the bytes of each connection.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devkit::process::command;
use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};

use super::host::own_program;
use super::layout::Layout;
use super::namespaces::MARK;

/// A port of the host that leads to an address inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortForward {
    /// What it leads to: `forge`, `argocd` or an environment.
    pub name: String,
    /// The address on the host's loopback.
    pub listen: SocketAddr,
    /// The address inside.
    pub target: SocketAddr,
}

/// An address inside that a port of the host should lead to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What it is: `forge`, `argocd` or an environment.
    pub name: String,
    /// The preferred port of the host. If it is in use, the next free one is taken.
    pub port: u16,
    /// The address inside.
    pub address: SocketAddr,
}

impl PortForward {
    /// The URL of the server that it leads to.
    pub fn url(&self) -> String {
        let scheme = if self.name == "forge" {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.listen)
    }
}

/// The port-forwards of a running lab.
///
/// # Errors
/// When their file cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<PortForward>> {
    let path = layout.state("port-forwards.json");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// Opens the port-forwards to these targets that are not open yet. Those that are open keep their addresses.
///
/// # Errors
/// When the port-forward process does not start.
pub fn ensure(layout: &Layout, init: i32, targets: &[Target]) -> Result<Vec<PortForward>> {
    let mut open = list(layout)?;
    open.retain(|forward| {
        let is_wanted =
            |target: &Target| target.name == forward.name && target.address == forward.target;
        targets.iter().any(is_wanted) && TcpStream::connect(forward.listen).is_ok()
    });
    let is_open = |name: &str| open.iter().any(|forward| forward.name == name);
    let missing = targets.iter().filter(|target| !is_open(&target.name));
    let missing: Vec<&Target> = missing.collect();
    if missing.is_empty() {
        return Ok(open);
    }
    fs::write(
        layout.state("port-forward-targets.json"),
        serde_json::to_vec(&missing)?,
    )?;
    fs::write(
        layout.state("port-forwards.json"),
        serde_json::to_vec(&open)?,
    )?;
    let log = File::create(layout.state("log/port-forward.log"))?;
    let own = own_program()?;
    let mut child = command("setsid", [own.as_os_str()])
        .args(["--state".as_ref(), layout.state.as_os_str()])
        .args(["port-forward", &init.to_string()])
        .env(MARK, &layout.state)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start the port-forward process")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let open = list(layout).unwrap_or_default();
        if open.len() == targets.len() {
            return Ok(open);
        }
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            let said = fs::read_to_string(layout.state("log/port-forward.log")).unwrap_or_default();
            bail!("the port-forward process did not start: {}", said.trim());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The port-forward process itself: runs on the host until the lab ends.
///
/// # Errors
/// When no port is free, or the lab's network cannot be entered.
pub fn serve(layout: &Layout, init: i32) -> Result<()> {
    let text = fs::read_to_string(layout.state("port-forward-targets.json"))
        .context("cannot read the list of port-forwards to open")?;
    let targets: Vec<Target> = serde_json::from_str(&text)?;
    // An earlier process may still serve others.
    let mut open = list(layout)?;
    for target in targets {
        let listener = listen(&target)?;
        let address = target.address;
        let forward = PortForward {
            name: target.name,
            listen: listener.local_addr()?,
            target: address,
        };
        let network =
            File::open(format!("/proc/{init}/ns/net")).context("cannot open the lab's network")?;
        // A socket stays in the network it was created in, and a thread may change to another network. So the listener
        // belongs to the host's network, and what this thread opens from now on belongs to the lab's.
        thread::spawn(move || match setns(&network, CloneFlags::CLONE_NEWNET) {
            Ok(()) => accept(&listener, address),
            Err(error) => eprintln!("cannot enter the lab's network: {error}"),
        });
        open.push(forward);
    }
    let path = layout.state("port-forwards.json");
    let part = layout.state("port-forwards.part");
    fs::write(&part, serde_json::to_vec_pretty(&open)?)?;
    fs::rename(part, path)?;
    while Path::new(&format!("/proc/{init}/ns/net")).exists() {
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn listen(Target { name, port, .. }: &Target) -> Result<TcpListener> {
    let wanted = *port;
    for port in wanted..wanted.saturating_add(50) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on port {port}"));
            }
        }
    }
    bail!(
        "no port from {wanted} to {} is free for {name}; free one and run `cargo lab up` again",
        wanted.saturating_add(49)
    )
}

fn accept(listener: &TcpListener, target: SocketAddr) {
    for client in listener.incoming().flatten() {
        thread::spawn(move || {
            if let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) {
                copy_both_ways(client, server);
            }
        });
    }
}

/// Copies bytes in both directions until both sides have closed.
fn copy_both_ways(client: TcpStream, server: TcpStream) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn bytes_go_both_ways_until_both_sides_close() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let target = server.local_addr().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || accept(&listener, target));
        let echo = thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let mut request = String::new();
            // The client's end of writing must arrive here, and the answer must still reach the client.
            connection.read_to_string(&mut request).unwrap();
            connection
                .write_all(request.to_uppercase().as_bytes())
                .unwrap();
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        echo.join().unwrap();
    }
}
