//! `cargo lab cache`

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use devkit::process::{Run, command};
use devkit::tools;

use crate::cluster::images;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;

/// The folders of the cache whose entries belong to one version each.
const VERSIONED: [&str; 2] = ["tools", "images"];

/// A file or folder of the cache.
#[derive(Debug, PartialEq)]
struct Entry {
    path: PathBuf,
    is_used: bool,
    bytes: u64,
}

/// Lists the cache, and removes from it what the checkout does not use.
pub(super) fn run(layout: &Layout, prune: bool) -> Result<()> {
    let mut used = tools::cached_folders(&layout.cache);
    // Without Argo CD's files, the names of the images are not known, and none is there.
    used.extend(images::archives(layout).unwrap_or_default());
    let entries = list(&layout.cache, &used)?;
    println!("{}", layout.cache.display());
    for entry in &entries {
        let name = entry.path.strip_prefix(&layout.cache);
        let name = name.unwrap_or(&entry.path).display().to_string();
        let note = if entry.is_used { "" } else { "not used" };
        let line = format!("  {name:<45} {:>10}  {note}", size(entry.bytes));
        println!("{}", line.trim_end());
    }
    let sum = |used: bool| -> u64 {
        let entries = entries.iter().filter(|entry| entry.is_used == used);
        entries.map(|entry| entry.bytes).sum()
    };
    let (kept, unused) = (sum(true), sum(false));
    println!("  used: {}, not used: {}", size(kept), size(unused));
    if !prune {
        if unused > 0 {
            println!("\n`cargo lab cache --prune` removes what this checkout does not use.");
        }
        return Ok(());
    }
    if namespaces::find(layout).is_some() {
        bail!(
            "the lab in {} may use parts of the cache; stop it with `cargo lab down` first",
            layout.state.display()
        );
    }
    let _lock = layout.lock()?;
    remove(&entries)?;
    println!("removed {}", size(unused));
    Ok(())
}

/// The entries of the cache: those of [`VERSIONED`] folders one by one, other folders as a whole.
fn list(cache: &Path, used: &BTreeSet<PathBuf>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for folder in children(cache)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if VERSIONED.contains(&&*name) {
            for path in children(&folder)? {
                let is_used = used.contains(&path);
                entries.push(entry(path, is_used)?);
            }
        } else {
            // Go builds a tool from sources and objects in `build`. A tool that is installed needs neither.
            let is_used = name != "build" || used.iter().any(|path| !path.exists());
            entries.push(entry(folder, is_used)?);
        }
    }
    Ok(entries)
}

fn entry(path: PathBuf, is_used: bool) -> Result<Entry> {
    Ok(Entry {
        bytes: bytes(&path)?,
        path,
        is_used,
    })
}

/// What a folder contains, sorted. Nothing, if it does not exist.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        paths.push(entry.path());
    }
    paths.sort();
    Ok(paths)
}

/// How much of the disk a file or folder takes.
fn bytes(path: &Path) -> Result<u64> {
    let printed = command("du", ["--summarize", "--block-size=1"])
        .arg(path)
        .read()?;
    let number = printed.split_whitespace().next().unwrap_or_default();
    let parsed = number.parse();
    parsed.with_context(|| format!("du printed {printed:?} for {}", path.display()))
}

fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn remove(entries: &[Entry]) -> Result<()> {
    for Entry { path, .. } in entries.iter().filter(|entry| !entry.is_used) {
        let removed = match path.is_dir() {
            // Go makes the files of modules read-only, which does not stop root.
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_and_the_sources_of_installed_tools_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        let path = |name: &str| cache.join(name);
        for name in [
            "tools/helm-v4",
            "tools/helm-v3",
            "build/modules",
            "jobs/target",
        ] {
            fs::create_dir_all(path(name)).unwrap();
            fs::write(path(name).join("file"), "content").unwrap();
        }
        let mut used = BTreeSet::from([path("tools/helm-v4")]);
        let unused = |used: &BTreeSet<PathBuf>| -> Vec<PathBuf> {
            let entries = list(cache, used).unwrap().into_iter();
            entries
                .filter(|entry| !entry.is_used)
                .map(|entry| entry.path)
                .collect()
        };
        assert_eq!(unused(&used), [path("build"), path("tools/helm-v3")]);
        // A tool that is missing will be built.
        used.insert(path("tools/cosign-v3"));
        assert_eq!(unused(&used), [path("tools/helm-v3")]);

        let entries = list(cache, &used).unwrap();
        assert!(entries.iter().all(|entry| entry.bytes > 0));
        remove(&entries).unwrap();
        assert!(!path("tools/helm-v3").exists());
        assert!(path("tools/helm-v4/file").exists() && path("jobs/target/file").exists());
        assert_eq!(unused(&used), [""; 0].map(PathBuf::from));
    }
}
