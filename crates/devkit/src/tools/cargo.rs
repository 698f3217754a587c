//! Programs from crates.io.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use crate::cache;
use crate::process::{Run, command};
use crate::progress::Progress;

/// Compiles a crate's programs unless they are in the cache, and returns their folder.
pub(super) fn install(
    cache: &Path,
    name: &str,
    version: &str,
    progress: Progress,
) -> Result<PathBuf, Error> {
    let folder = cache::folder(cache, &format!("{name}-{version}"), |part| {
        progress.run(format!("Compiling {name} {version}"), || {
            let target = part.join("target");
            command("cargo", ["install", "--locked", "--quiet"])
                .args([name, "--version", version, "--root"])
                .arg(part)
                .arg("--target-dir")
                .arg(&target)
                .run_quietly()?;
            fs::remove_dir_all(&target).map_err(|source| Error::File {
                action: "delete",
                path: target,
                source,
            })
        })
    })?;
    Ok(folder.join("bin"))
}
