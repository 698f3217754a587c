//! The lab's file systems, set up from inside its mount namespace.

use std::fs;
use std::path::Path;

use anyhow::Result;
use devkit::process::{Run, command};

use super::layout::{INSIDE, INSIDE_CACHE};

/// The registry index in CARGO_HOME.
const INDEX: &str = "registry/index";

/// The lab's own copy of the index, in the state folder.
const INDEX_COPY: &str = "cargo-index";

/// Brings the lab's copy of the registry index up to date. Without it, jobs would not find a crate that the checkout
/// began to use.
///
/// # Errors
/// When the files cannot be copied.
pub fn copy_index(state: &Path, cargo_home: &Path) -> Result<()> {
    let copy = state.join(INDEX_COPY);
    fs::create_dir_all(&copy)?;
    let index = cargo_home.join(INDEX);
    if index.is_dir() {
        command("cp", ["--archive", "--update"])
            .arg(index.join("."))
            .arg(&copy)
            .run_quietly()?;
    }
    Ok(())
}

/// Sets up the mounts: programs inside can read the machine's files, and write only the lab's own folders.
///
/// # Errors
/// When a mount fails.
pub fn mount(state: &Path, cache: &Path, cargo_home: &Path) -> Result<()> {
    for folder in ["tmp", "layers", "cargo", "home", "log"] {
        fs::create_dir_all(state.join(folder))?;
    }
    fs::create_dir_all(cache.join("jobs"))?;
    // Before the mounts that may hide it.
    let cargo = state.join("cargo");
    overlay(state, "cargo", cargo_home, &cargo)?;
    overlay(state, "etc", Path::new("/etc"), Path::new("/etc"))?;
    overlay(state, "var", Path::new("/var"), Path::new("/var"))?;
    in_memory("755", "/run")?;
    // Tests have databases there, which must not outlive the lab.
    in_memory("1777", "/dev/shm")?;
    // Tests create thousands of repositories there, and ext4 looks for a free inode for each of their files.
    in_memory("1777", "/tmp")?;
    bind(&state.join("tmp"), Path::new("/var/tmp"))?;
    command("chmod", ["1777", "/var/tmp"]).run_quietly()?;
    // The next lab can reuse what image builds compiled. Buildah keeps it in this folder.
    let compiled = cache.join("jobs/buildah-cache");
    fs::create_dir_all(&compiled)?;
    fs::create_dir_all("/tmp/buildah-cache")?;
    bind(&compiled, Path::new("/tmp/buildah-cache"))?;
    for (folder, target) in [(state, INSIDE), (cache, INSIDE_CACHE)] {
        fs::create_dir(target)?;
        bind(folder, Path::new(target))?;
    }
    // At the same path as on the host: cargo compiles a package again when the path of its sources differs.
    fs::create_dir_all(cargo_home)?;
    bind(&cargo, cargo_home)?;
    // Cargo on the host replaces files of the index while the lab runs, which an overlay must not see.
    let index = cargo_home.join(INDEX);
    if index.is_dir() {
        bind(&Path::new(INSIDE).join(INDEX_COPY), &index)?;
    }
    // This must come last: from now on the machine's own files are read-only.
    command("mount", ["-o", "remount,bind,ro", "/"]).run_quietly()?;
    Ok(())
}

fn bind(folder: &Path, target: &Path) -> Result<()> {
    command("mount", ["--bind"])
        .arg(folder)
        .arg(target)
        .run_quietly()?;
    Ok(())
}

/// Mounts `lower` at `target`; writes go to the lab's own layer.
fn overlay(state: &Path, name: &str, lower: &Path, target: &Path) -> Result<()> {
    let layer = state.join("layers").join(name);
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    command("mount", ["-t", "overlay", "overlay", "-o", &options])
        .arg(target)
        .run_quietly()?;
    Ok(())
}

/// Mounts an empty file system in memory.
fn in_memory(mode: &str, target: &str) -> Result<()> {
    let options = format!("mode={mode},nosuid,nodev");
    let words = ["-t", "tmpfs", "-o", &options, "tmpfs", target];
    Ok(command("mount", words).run_quietly()?)
}
