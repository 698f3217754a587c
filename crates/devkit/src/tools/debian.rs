//! Programs from Debian packages.

use std::path::{Path, PathBuf};

use super::Error;
use crate::env;
use crate::process::{Run, command, find};
use crate::progress::Progress;

pub(super) fn is_installed(program: &str) -> bool {
    let elsewhere = || folders().iter().any(|bin| bin.join(program).is_file());
    find(program).is_some() || elsewhere()
}

/// Where Debian puts programs that are not on every user's PATH: PostgreSQL's servers have a folder for each major
/// version.
fn folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    folders.extend(["/usr/sbin", "/usr/lib/cni"].map(PathBuf::from));
    folders
}

pub(super) fn install(packages: &[&str], progress: Progress) -> Result<(), Error> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let cannot = |reason| Error::Packages {
        reason,
        packages: list.clone(),
    };
    if !Path::new("/etc/debian_version").exists() {
        return Err(cannot("Debian packages are missing and this is not Debian"));
    }
    let is_root = command("id", ["-u"]).read()? == "0";
    let is_ci = env::var("CI").is_some();
    // A CI machine is there to be changed; on a person's machine, sudo is their decision.
    let prefix: &[&str] = match (is_root, is_ci) {
        (true, _) => &[],
        (false, true) => &["sudo", "--non-interactive"],
        (false, false) => {
            return Err(cannot(
                "Debian packages are missing and only root can install them",
            ));
        }
    };
    let apt = |args: &[&str]| {
        let quiet = [
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "--quiet",
        ];
        let words = [prefix, &quiet, args].concat();
        command(words[0], &words[1..]).run_quietly()
    };
    progress.run(format!("Installing {list}"), || {
        apt(&["update"])?;
        apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())?;
        Ok(())
    })
}
