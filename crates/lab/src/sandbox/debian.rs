//! What the lab takes from Debian: packages on the machine, and the base system of its images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::layout::{Layout, content_key};
use crate::progress::Progress;
use devkit::process::{Run, command, find};

/// A program the lab calls and the package that brings it.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/bin/etcd", "etcd-server"),
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/bin/buildah", "buildah"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/bin/tini", "tini"),
    ("/usr/bin/musl-gcc", "musl-tools"),
    ("/usr/bin/git", "git"),
    ("/usr/bin/gcc", "gcc"),
    ("/usr/bin/make", "make"),
    ("/usr/bin/perl", "perl"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/shellcheck", "shellcheck"),
    ("/usr/lib/postgresql/15/bin/postgres", "postgresql-15"),
];

/// The Debian release of the packages above and of the base system.
const RELEASE: &str = "bookworm";

/// What the base system holds beside Debian's minimum: Argo CD runs `git` and `gpg`, the stand-in
/// for Redis is Debian's, and the stand-in for the Rust image needs a C toolchain.
const BASE_PACKAGES: &str = "ca-certificates,git,gpg,gpg-agent,openssh-client,tini,redis-server,gcc,libc6-dev,make,musl-tools,perl";

/// Installs the packages that are missing.
///
/// # Errors
/// When packages are missing and can't be installed here.
pub fn ensure_packages(progress: Progress) -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(path, _)| {
            let name = path.rsplit('/').next().unwrap_or(path);
            !Path::new(path).exists() && find(name).is_none()
        })
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        bail!(
            "these Debian packages, or their like, are missing: {list}; install them, or enter `nix develop`"
        );
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "these packages are missing and only root may install them: {list}; run `apt-get install {list}`"
        );
    }
    progress.run(format!("Installing {list}"), || {
        // Debian starts the servers it installs; the lab starts its own, inside.
        let quiet = NoServices::new()?;
        command("apt-get", ["update", "-qq"]).run_quietly()?;
        command(
            "apt-get",
            ["install", "-y", "-qq", "--no-install-recommends"],
        )
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run_quietly()?;
        drop(quiet);
        Ok(())
    })
}

/// Keeps package installation from starting services, for as long as it lives.
/// Source: invoke-rc.d(8), "policy-rc.d".
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
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
    let key = content_key([RELEASE, BASE_PACKAGES]);
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
