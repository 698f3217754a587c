//! Programs from npm whose package contains a binary for each platform.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, cargo};
use crate::cache;
use crate::process::{Run, command, find};
use crate::progress::Progress;

const PACKAGE: &str = include_str!("../../npm/package.json");
const LOCK: &str = include_str!("../../npm/package-lock.json");

/// The version of a package in package.json.
pub(super) fn version(name: &str) -> Option<&'static str> {
    let (_, rest) = PACKAGE.split_once(&format!("\"{name}\": \""))?;
    rest.split('"').next()
}

/// Installs a program unless it is in the cache, and returns its folder. Without npm, Cargo compiles the crate of the
/// same name and version.
pub(super) fn install(cache: &Path, name: &str, progress: Progress) -> Result<PathBuf, Error> {
    let version = version(name).unwrap_or_default();
    let folder = format!("{name}-{version}");
    if find("npm").is_none() && !cache.join("tools").join(&folder).is_dir() {
        return cargo::install(cache, name, version, progress);
    }
    let folder = cache::folder(cache, &folder, |part| {
        progress.run(format!("Installing {name} {version} from npm"), || {
            let write = |file: &str, text| {
                let path = part.join(file);
                let written = fs::write(&path, text);
                written.map_err(|source| Error::File {
                    action: "write",
                    path,
                    source,
                })
            };
            write("package.json", PACKAGE)?;
            write("package-lock.json", LOCK)?;
            command(
                "npm",
                [
                    "ci",
                    "--silent",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                ],
            )
            .current_dir(part)
            .run_quietly()?;
            keep_binary(part, name)
        })
    })?;
    Ok(folder.join("bin"))
}

/// Moves the binary from the package of this platform (`jscpd-linux-x64-gnu`) to `bin`.
fn keep_binary(part: &Path, name: &str) -> Result<(), Error> {
    let modules = part.join("node_modules");
    let bin = part.join("bin");
    let keep = || {
        fs::create_dir(&bin)?;
        for entry in fs::read_dir(&modules)? {
            let binary = entry?.path().join("bin").join(name);
            if binary.is_file() {
                fs::rename(binary, bin.join(name))?;
            }
        }
        fs::remove_dir_all(&modules)?;
        // An error when the package has no binary for this platform.
        fs::metadata(bin.join(name)).map(drop)
    };
    keep().map_err(|source| Error::File {
        action: "take the binary out of",
        path: modules.clone(),
        source,
    })
}
