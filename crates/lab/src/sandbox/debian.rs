//! The Debian base system of the lab's images. Debian packages on the machine are among devkit's tools.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use devkit::cache::content_key;
use devkit::process::{Run, command};
use devkit::progress::Progress;

use super::layout::Layout;

/// The Debian release of the base system.
const RELEASE: &str = "bookworm";

/// The packages of the base system beside Debian's minimum: Argo CD runs `git` and `gpg`, Redis is Debian's, and the
/// replacement for the Rust image needs a C toolchain.
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

/// The file of [`base_system`].
pub fn base_archive(layout: &Layout) -> PathBuf {
    let key = content_key([RELEASE, BASE_PACKAGES]);
    layout.cache(format!("images/base-{key}.tar"))
}

/// The base system as a tar file, which debootstrap creates once.
///
/// # Errors
/// When debootstrap fails.
pub fn base_system(layout: &Layout, progress: Progress) -> Result<PathBuf> {
    let tar = base_archive(layout);
    if tar.exists() {
        return Ok(tar);
    }
    progress.run("Creating the base system of the lab's images", || {
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
            .run_quietly()?;
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
        .run_quietly()?;
        fs::remove_dir_all(&work)?;
        fs::rename(&part, &tar)?;
        Ok(tar.clone())
    })
}
