//! The host machine as programs inside need to know it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::unistd::User;
use serde::{Deserialize, Serialize};

use super::layout::{INSIDE, KUBECONFIG, Layout};

/// Facts about the host that programs inside need.
#[derive(Debug, Serialize, Deserialize)]
pub struct Host {
    /// Cargo's folder. It has the same path inside, where writes go to the lab's own layer.
    pub cargo_home: PathBuf,
    /// Rustup's folder, if rustup is installed.
    pub rustup_home: Option<PathBuf>,
    /// The Rust toolchain's folder.
    pub sysroot: PathBuf,
    /// Folders with programs, first match first.
    pub path: Vec<PathBuf>,
    /// A folder with RustSec's advisories, if the host has one: jobs have no network to fetch them.
    pub advisories: Option<PathBuf>,
    /// The control group of the lab's pods.
    pub control_group: String,
}

impl Host {
    /// Reads the facts that `up` wrote when it started the lab.
    ///
    /// # Errors
    /// When the file is missing or cannot be read.
    pub fn read(layout: &Layout) -> Result<Self> {
        let path = layout.state("host.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; run `cargo lab up`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Finds a program on the `PATH` inside.
    ///
    /// # Errors
    /// When no folder of that `PATH` has it.
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

    /// The environment variables of all programs inside.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("PATH", self.search_path()),
            ("HOME", format!("{INSIDE}/home")),
            ("KUBECONFIG", KUBECONFIG.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TMPDIR", "/tmp".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// The numeric user and group of a user on this machine.
///
/// # Errors
/// When the machine has no such user.
pub fn ids(user: &str) -> Result<(u32, u32)> {
    let user =
        User::from_name(user)?.with_context(|| format!("this machine has no user {user}"))?;
    Ok((user.uid.as_raw(), user.gid.as_raw()))
}

/// The file of the running program. Cargo may have replaced it since the program started.
///
/// # Errors
/// When the operating system does not say which file it is.
pub fn own_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find the file of this program")?;
    let name = own.to_string_lossy();
    Ok(name
        .strip_suffix(" (deleted)")
        .map_or(own.clone(), PathBuf::from))
}
