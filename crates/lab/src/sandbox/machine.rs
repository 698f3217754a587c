//! The lab's mounts and network, made from inside its namespaces.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::{Run, command};
use crate::sandbox::layout::{INSIDE, INSIDE_CACHE, Layout};

/// The node's address: on a bridge without ports, so there is nowhere a packet could leave.
pub const NODE: &str = "10.10.0.1";

/// The forge's name inside.
pub const FORGE: &str = "forge.waybill.test";

/// What the host knows and the inside needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Host {
    /// Cargo's folder: its crates are read by the jobs.
    pub cargo_home: PathBuf,
    /// Rustup's folder, where there is one.
    pub rustup_home: Option<PathBuf>,
    /// The Rust toolchain's folder.
    pub sysroot: PathBuf,
    /// Folders with programs, first match first.
    pub path: Vec<PathBuf>,
    /// RustSec's advisories as a folder, where there is one: jobs have no network to fetch them from.
    pub advisories: Option<PathBuf>,
    /// The control group of the lab's pods.
    pub control_group: String,
}

impl Host {
    /// As `up` left it.
    ///
    /// # Errors
    /// When `up` has not been here.
    pub fn read(layout: &Layout) -> Result<Self> {
        let path = layout.state("host.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}; run `cargo lab up`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("could not read {}", path.display()))
    }

    /// Where a program is that is run inside.
    ///
    /// # Errors
    /// When it is nowhere on `PATH`.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        std::env::split_paths(&self.search_path())
            .map(|folder| folder.join(name))
            .find(|file| file.is_file())
            .with_context(|| format!("{name} is not on the PATH inside"))
    }

    /// `PATH` for everything that runs inside.
    pub fn search_path(&self) -> String {
        let system = [
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ];
        self.path
            .iter()
            .map(|folder| folder.display().to_string())
            .chain(system.map(str::to_owned))
            .collect::<Vec<_>>()
            .join(":")
    }
}

/// Lays out the mounts: the machine's files can be read, but only the lab's own folders written.
///
/// # Errors
/// When a mount fails.
pub fn mount(state: &Path, cache: &Path, cargo_home: &Path) -> Result<()> {
    for folder in ["tmp", "layers", "cargo", "home", "log", "volumes/dev"] {
        fs::create_dir_all(state.join(folder))?;
    }
    // Kubernetes gives host folders to nobody; the service runs as this user.
    std::os::unix::fs::chown(state.join("volumes/dev"), Some(65532), Some(65532))?;
    fs::create_dir_all(cache.join("jobs"))?;
    overlay(state, "etc", Path::new("/etc"), Path::new("/etc"))?;
    overlay(state, "var", Path::new("/var"), Path::new("/var"))?;
    command(
        "mount",
        [
            "-t",
            "tmpfs",
            "-o",
            "mode=755,nosuid,nodev",
            "tmpfs",
            "/run",
        ],
    )
    .run()?;
    bind(&state.join("tmp"), Path::new("/tmp"))?;
    bind(&state.join("tmp"), Path::new("/var/tmp"))?;
    command("chmod", ["1777", "/tmp"]).run()?;
    // What image builds compiled is of use to the next lab too. Buildah keeps it in this folder.
    let compiled = cache.join("jobs/buildah-cache");
    fs::create_dir_all(&compiled)?;
    fs::create_dir_all("/tmp/buildah-cache")?;
    bind(&compiled, Path::new("/tmp/buildah-cache"))?;
    for (folder, target) in [(state, INSIDE), (cache, INSIDE_CACHE)] {
        fs::create_dir(target)?;
        bind(folder, Path::new(target))?;
    }
    let inside = Path::new(INSIDE);
    overlay(inside, "cargo", cargo_home, &inside.join("cargo"))?;
    // Last: from here on the machine's own files can't be written.
    command("mount", ["-o", "remount,bind,ro", "/"]).run()
}

fn bind(folder: &Path, target: &Path) -> Result<()> {
    command("mount", ["--bind"]).arg(folder).arg(target).run()
}

/// Shows `lower` at `target`, with writes going to the lab's own layer.
fn overlay(state: &Path, name: &str, lower: &Path, target: &Path) -> Result<()> {
    let layer = state.join("layers").join(name);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    command("mount", ["-t", "overlay", "overlay", "-o", &options])
        .arg(target)
        .run()
}

/// Brings the network up: loopback, and the node's address on a bridge that nothing is plugged into.
///
/// # Errors
/// When a command fails.
pub fn network() -> Result<()> {
    let address = format!("{NODE}/24");
    for line in [
        vec!["link", "set", "lo", "up"],
        vec!["link", "add", "node0", "type", "bridge"],
        vec!["address", "add", &address, "dev", "node0"],
        vec!["link", "set", "node0", "up"],
        // Pods' replies and kube-proxy want a default route; this one leads nowhere.
        vec!["route", "add", "default", "dev", "node0"],
    ] {
        command("ip", line).run()?;
    }
    for (key, value) in [
        ("net/ipv4/ip_forward", "1"),
        // The forge listens on 443 and is not root.
        ("net/ipv4/ip_unprivileged_port_start", "0"),
    ] {
        fs::write(format!("/proc/sys/{key}"), value)
            .with_context(|| format!("could not set {key}"))?;
    }
    command("hostname", ["lab"]).run()?;
    fs::write(
        "/etc/hosts",
        format!("127.0.0.1 localhost\n{NODE} lab {FORGE}\n"),
    )?;
    // The cluster's DNS, so that the forge finds Argo CD by its Service name.
    write_over(
        "/etc/resolv.conf",
        "nameserver 10.43.0.10\noptions timeout:1 attempts:2\n",
    )
}

/// Replaces a file that may be a link to somewhere else.
fn write_over(path: &str, text: &str) -> Result<()> {
    let _ = fs::remove_file(path);
    fs::write(path, text).with_context(|| format!("could not write {path}"))
}
