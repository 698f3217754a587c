//! What the lab takes from Debian: the base system of its images. Packages on the machine are among devkit's tools.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command::{Run, command};
use crate::layout::Layout;
use crate::progress::Progress;

/// The Debian release of the packages above and of the base system.
const RELEASE: &str = "bookworm";

/// What the base system holds beside Debian's minimum: Argo CD runs `git` and `gpg`, the stand-in
/// for Redis is Debian's, and the stand-in for the Rust image needs a C toolchain.
const BASE_PACKAGES: &str = "ca-certificates,git,gpg,gpg-agent,openssh-client,tini,redis-server,gcc,libc6-dev,make,musl-tools,perl";

/// Keeps Debian from starting the servers that it installs, until it is dropped: the lab starts its own, inside.
/// Source: invoke-rc.d(8), "policy-rc.d".
pub struct NoServices(Option<PathBuf>);

impl NoServices {
    /// Does nothing where another policy exists, and for users who cannot install packages.
    ///
    /// # Errors
    /// When the policy cannot be written.
    pub fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        let is_debian = Path::new("/etc/debian_version").exists();
        if path.exists() || !is_debian || !nix::unistd::geteuid().is_root() {
            return Ok(Self(None));
        }
        fs::write(&path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// The base system as a tar file, made once with debootstrap.
///
/// # Errors
/// When debootstrap fails.
pub fn base_system(layout: &Layout, progress: Progress) -> Result<PathBuf> {
    let key = crate::images::key([RELEASE, BASE_PACKAGES]);
    let tar = layout.cache(format!("images/base-{key}.tar"));
    if tar.exists() {
        return Ok(tar);
    }
    progress.run("Making the base system of the lab's images", || {
        let work = layout.cache("build/base");
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work)?;
        fs::create_dir_all(layout.cache("images"))?;
        command("debootstrap", ["--variant=minbase"])
            .arg(format!("--include={BASE_PACKAGES}"))
            .arg(RELEASE)
            .arg(&work)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .run()?;
        let part = tar.with_extension("part");
        command(
            "tar",
            ["--create", "--one-file-system", "--numeric-owner", "--file"],
        )
        .arg(&part)
        .arg("--directory")
        .arg(&work)
        .args([
            "--exclude=./var/cache/apt",
            "--exclude=./var/lib/apt/lists",
            "--exclude=./usr/share/doc",
            "--exclude=./usr/share/man",
            "--exclude=./dev",
        ])
        .arg(".")
        .run()?;
        fs::remove_dir_all(&work)?;
        fs::rename(&part, &tar)?;
        Ok(tar.clone())
    })
}
