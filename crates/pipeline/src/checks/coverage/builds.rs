//! The folders of the programs that are built for coverage.

use anyhow::{Context, Result};
use cargo_metadata::Metadata;
use devkit::cache::content_key;
use devkit::process::{Run, command};
use devkit::units::{self, Libraries};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of the programs, in cargo's target folder.
///
/// All programs in a folder count, so programs with other names need another folder. The names may change with the
/// dependencies, the targets and the toolchain. One folder more is kept, so that the way back from such a change builds
/// almost nothing.
pub(super) fn folder(root: &Path, metadata: &Metadata, parent: &Path) -> Result<PathBuf> {
    let key = content_key([
        // Another clone of the project gives its programs the same names.
        serde_json::to_string(metadata)?.replace(&*root.to_string_lossy(), ""),
        command("rustc", ["-vV"]).current_dir(root).read()?,
        fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default(),
    ]);
    let all = parent.join("coverage-build");
    let folder = all.join(key);
    fs::create_dir_all(&folder)
        .and_then(|()| keep(&all, &folder))
        .with_context(|| format!("cannot use {}", folder.display()))?;
    Ok(folder)
}

/// Removes all folders but one and the last that was used besides.
fn keep(all: &Path, folder: &Path) -> io::Result<()> {
    let mut others = Vec::new();
    for entry in fs::read_dir(all)? {
        let entry = entry?;
        if entry.path() != folder {
            others.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    others.sort();
    others.pop();
    for (_, path) in others {
        match path.is_dir() {
            true => fs::remove_dir_all(path)?,
            false => fs::remove_file(path)?,
        }
    }
    // The order of use, for the next time.
    File::open(folder)?.set_modified(SystemTime::now())
}

/// Takes over the dependencies that other builds have compiled. Their flags are the same: cargo-llvm-cov adds flags only
/// for the packages of the workspace.
pub(super) fn copy_dependencies(
    metadata: &Metadata,
    parent: &Path,
    folder: &Path,
) -> io::Result<()> {
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let profile = parent.join("debug");
    let mut dependencies = units::list(&profile)?;
    dependencies.retain(|unit| !ours.contains(units::package(unit)));
    let copy = folder.join("debug");
    if units::differ(&dependencies, &profile, &copy)? {
        fs::remove_dir_all(&copy)?;
    }
    units::copy(&dependencies, &profile, &copy, Libraries::Link)
}
