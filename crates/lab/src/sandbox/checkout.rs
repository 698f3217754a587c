//! The checkout that the lab is run from: what it needs from the host, and its copy inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

    let changes = Git::new(checkout).changes()?;
    if !changes.is_empty() {
        eprintln!(
            "! {} uncommitted changes are not delivered; commit them to deliver them",
            changes.len()
        );
    }
    let copy = layout.state("checkout");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    Ok(clone(checkout, &copy).run_quietly()?)
}

/// Clones with the user's own configuration: a clone of another user's folder needs its `safe.directory`. Settings that
/// would change the copy do not count.
fn clone(checkout: &Path, copy: &Path) -> Command {
    let mut git = command("git", [""; 0]);
    git::without_variables(&mut git);
    for setting in [
        "clone.defaultRemoteName=origin",
        "clone.rejectShallow=false",
        "core.attributesFile=/dev/null",
        "core.autocrlf=false",
        "core.eol=native",
        "core.hooksPath=/dev/null",
        "init.templateDir=",
        "submodule.recurse=false",
    ] {
        git.args(["-c", setting]);
    }
    git.args(["clone", "--quiet"]).arg(checkout).arg(copy);
    git
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_configuration_does_not_change_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let checkout = path("checkout");
        fs::create_dir(&checkout).unwrap();
        let author = git::Identity {
            name: "ann".to_owned(),
            email: "ann@example.org".to_owned(),
        };
        let git = Git::new(&checkout).with_identity(author);
        git.read(&["init", "--quiet"]).unwrap();
        fs::write(checkout.join("file"), "a\nb\n").unwrap();
        let link = format!("160000,{},sub", "1".repeat(40));
        let modules = "[submodule \"sub\"]\n\tpath = sub\n\turl = http://127.0.0.1:1/sub.git\n";
        fs::write(checkout.join(".gitmodules"), modules).unwrap();
        git.read(&["add", "--all"]).unwrap();
        git.read(&["update-index", "--add", "--cacheinfo", &link])
            .unwrap();
        git.read(&["commit", "--quiet", "-m", "Begin"]).unwrap();

        let hooks = path("home/template/hooks");
        fs::create_dir_all(&hooks).unwrap();
        let hook = hooks.join("post-checkout");
        fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
        command("chmod", ["+x", hook.to_str().unwrap()])
            .run()
            .unwrap();
        let attributes = path("home/attributes");
        fs::write(&attributes, "* text eol=crlf\n").unwrap();
        let person = format!(
            "[clone]\n\tdefaultRemoteName = upstream\n[core]\n\tautocrlf = true\n\teol = crlf\n\tattributesFile = {}\n\thooksPath = {}\n\
             [init]\n\ttemplateDir = {}\n[submodule]\n\trecurse = true\n",
            attributes.display(),
            hooks.display(),
            path("home/template").display()
        );
        fs::write(path("home/.gitconfig"), person).unwrap();
        let mut clone = clone(&checkout, &path("copy"));
        clone
            .env("HOME", path("home"))
            .env_remove("XDG_CONFIG_HOME");
        clone.run_quietly().unwrap();

        let copy = Git::new(&path("copy"));
        assert_eq!(copy.read(&["remote"]).unwrap(), "origin");
        assert_eq!(fs::read(path("copy/file")).unwrap(), b"a\nb\n");
        assert!(!path("copy/.git/hooks/post-checkout").exists());
        assert_eq!(copy.head().unwrap(), git.head().unwrap());
    }
}
