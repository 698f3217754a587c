//! The checkout that the lab is run from: what it needs from the host, and its copy inside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use devkit::delivery;
use devkit::git::{self, Git};
use devkit::process::{Run, command, find};
use devkit::progress::Progress;
use serde::Deserialize;

use super::host::own_program;
use super::layout::Layout;

/// The target of the static binary that goes into the image.
const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// The root of the repository that contains the working directory.
///
/// # Errors
/// When the working directory is not in a clone, or the repository has no `delivery.toml`.
pub fn root() -> Result<PathBuf> {
    let folder = std::env::current_dir().context("cannot find the working directory")?;
    let top = git::root(&folder).context("run `cargo lab` in a clone of the repository")?;
    if !top.join(delivery::FILE).is_file() {
        bail!(
            "{} has no {}, which names the environments; run `cargo lab` in a clone that has one",
            top.display(),
            delivery::FILE
        );
    }
    Ok(top)
}

/// Downloads all crates and adds the target of the static binary: jobs inside have no network.
///
/// # Errors
/// When the target cannot be added or a crate cannot be downloaded.
pub fn fetch_crates(checkout: &Path, progress: Progress) -> Result<()> {
    let library = command(
        "rustc",
        ["--print", "target-libdir", "--target", STATIC_TARGET],
    )
    .current_dir(checkout)
    .read()?;
    if !Path::new(&library).is_dir() {
        if find("rustup").is_none() {
            bail!(
                "the Rust toolchain lacks the target {STATIC_TARGET}, and rustup is not installed; \
                 add the target to the toolchain"
            );
        }
        progress.run(format!("Adding the Rust target {STATIC_TARGET}"), || {
            command("rustup", ["target", "add", STATIC_TARGET])
                .current_dir(checkout)
                .run_quietly()
        })?;
    }
    progress.run("Fetching crates", || {
        command("cargo", ["fetch", "--locked", "--quiet"])
            .current_dir(checkout)
            .run_quietly()
    })?;
    Ok(())
}

/// A message of `cargo build --message-format=json`. Source: The Cargo Book, "External tools".
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds the `pipeline` program and returns its file.
///
/// # Errors
/// When the build fails.
pub fn build_pipeline(checkout: &Path) -> Result<PathBuf> {
    let messages = command("cargo", ["build", "--quiet", "--locked"])
        .args([
            "--package",
            "pipeline",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(checkout)
        .read()?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .find_map(|message| message.executable)
        .context("cargo built the pipeline and did not print where its program is")
}

/// Copies this program, the pipeline and the checkout's HEAD into the state folder. Their own folders may be hidden
/// inside, and uncommitted changes must not be delivered.
///
/// # Errors
/// When a file cannot be copied.
pub fn copy_in(layout: &Layout, checkout: &Path, pipeline: &Path) -> Result<()> {
    let own = own_program()?;
    for (program, name) in [(own.as_path(), "lab"), (pipeline, "pipeline")] {
        let part = layout.state(format!("{name}.part"));
        fs::copy(program, &part).with_context(|| format!("cannot copy {}", program.display()))?;
        fs::rename(part, layout.state(name))?;
    }

    let changes = Git::new(checkout).read(&["status", "--porcelain"])?;
    if !changes.is_empty() {
        eprintln!(
            "! {} uncommitted changes are not delivered; commit them to deliver them",
            changes.lines().count()
        );
    }
    let copy = layout.state("checkout");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    // With the user's own configuration: a clone of another user's folder needs its `safe.directory`.
    command("git", ["clone", "--quiet"])
        .arg(checkout)
        .arg(copy)
        .run_quietly()?;
    Ok(())
}
