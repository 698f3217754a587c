//! How the host starts a lab's namespaces and runs programs in them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use devkit::process::{Run, command};
use devkit::progress::Progress;

use super::host::{Host, own_program};
use super::layout::Layout;
use super::{mounts, namespaces};

/// Starts a new lab after removing what an earlier one left. `programs` are the folders of the programs that the lab
/// needs. Returns the lab's first process.
///
/// # Errors
/// When an earlier lab cannot be removed, or the namespaces, mounts or network cannot be set up.
pub fn start(layout: &Layout, programs: &[PathBuf], progress: Progress) -> Result<i32> {
    namespaces::stop(layout).context("an earlier lab could not be removed")?;
    progress.run("Creating namespaces without access to the network", || {
        fs::create_dir_all(&layout.state)
            .with_context(|| format!("cannot create {}", layout.state.display()))?;
        let init = namespaces::start(layout)?;
        let host = describe_host(layout, programs)?;
        fs::write(layout.state("host.json"), serde_json::to_vec_pretty(&host)?)?;
        mounts::copy_index(&layout.state, &host.cargo_home)?;
        // Not `enter`: /run/lab does not exist yet.
        command("nsenter", [format!("--target={init}")])
            .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--"])
            .arg(own_program()?)
            .args(["inside", "prepare"])
            .args([&layout.state, &layout.cache, &host.cargo_home])
            .env_clear()
            .env("PATH", host.search_path())
            .run_quietly()?;
        fs::write(layout.state("prepared"), "")?;
        Ok(init)
    })
}

fn describe_host(layout: &Layout, programs: &[PathBuf]) -> Result<Host> {
    Ok(Host {
        cargo_home: folder_of("CARGO_HOME", ".cargo")?,
        rustup_home: folder_of("RUSTUP_HOME", ".rustup")
            .ok()
            .filter(|folder| folder.is_dir()),
        sysroot: command("rustc", ["--print", "sysroot"]).read()?.into(),
        path: path_inside(layout, programs),
        advisories: std::env::var_os("ADVISORY_DB")
            .map(fs::canonicalize)
            .transpose()
            .context("ADVISORY_DB does not name a folder")?,
        control_group: layout.id(),
    })
}

/// `PATH` inside: folders on the host's `PATH` keep their order, and those that it lacks come first.
fn path_inside(layout: &Layout, programs: &[PathBuf]) -> Vec<PathBuf> {
    let own: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .collect();
    let mut path = vec![Layout::inside().state("bin")];
    for folder in programs.iter().filter(|folder| !own.contains(folder)) {
        let folder = layout.seen_inside(folder);
        if !path.contains(&folder) {
            path.push(folder);
        }
    }
    path.extend(own);
    path
}

fn folder_of(variable: &str, default: &str) -> Result<PathBuf> {
    match std::env::var_os(variable) {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => {
            Ok(PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(default))
        }
    }
}

/// The first process of the running lab.
///
/// # Errors
/// When no lab is running.
pub fn running(layout: &Layout) -> Result<i32> {
    namespaces::find(layout).with_context(|| {
        format!(
            "no lab is running in {}; run `cargo lab up`",
            layout.state.display()
        )
    })
}

/// A command that runs inside, with the variables of the lab and the caller's terminal.
///
/// # Errors
/// When the facts about the host cannot be read.
pub fn enter(layout: &Layout, init: i32, argv: &[String]) -> Result<Command> {
    let mut variables = Host::read(layout)?.variables();
    variables.extend(
        std::env::var("TERM")
            .ok()
            .map(|term| ("TERM".to_owned(), term)),
    );
    Ok(namespaces::enter(init, &variables, argv))
}

/// This program's hidden command `inside`, run inside.
///
/// # Errors
/// As [`enter`].
pub fn enter_own(layout: &Layout, init: i32, args: &[&str]) -> Result<Command> {
    let mut argv = vec!["/run/lab/lab".to_owned(), "inside".to_owned()];
    argv.extend(args.iter().map(|arg| (*arg).to_owned()));
    enter(layout, init, &argv)
}
