//! How the host starts a lab's namespaces and runs programs in them.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use devkit::process::{Run, command};
use devkit::progress::Progress;

use super::host::{Host, own_program};
use super::layout::Layout;
use super::{mounts, namespaces};

/// Starts a lab: with the data of the last one if that was stopped completely, otherwise a new one. `programs` are the
/// folders of the programs that the lab needs. Returns the lab's first process.
///
/// # Errors
/// When an earlier lab cannot be removed, or the namespaces, mounts or network cannot be set up.
pub fn start(layout: &Layout, programs: &[PathBuf], progress: Progress) -> Result<i32> {
    if namespaces::is_stopped(layout) {
        namespaces::resume(layout)?;
    } else {
        namespaces::remove(layout).context("an earlier lab could not be removed")?;
    }
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
        path: path_inside(
            layout,
            programs,
            &std::env::var_os("PATH").unwrap_or_default(),
        ),
        advisories: std::env::var_os("ADVISORY_DB")
            .map(fs::canonicalize)
            .transpose()
            .context("ADVISORY_DB does not name a folder")?,
        control_group: layout.id(),
    })
}

/// `PATH` inside: `own`, the folders on the host's `PATH`, keep their order, and those that it lacks come first.
/// Folders in the cache get the path that the cache has inside, since an unprivileged user may not enter the home
/// folder that they are in.
fn path_inside(layout: &Layout, programs: &[PathBuf], own: &OsStr) -> Vec<PathBuf> {
    let own: Vec<PathBuf> = std::env::split_paths(own)
        .filter(|folder| folder.is_absolute())
        .collect();
    let missing = programs.iter().filter(|folder| !own.contains(folder));
    let mut path = vec![Layout::inside().state("bin")];
    for folder in missing.chain(&own) {
        let folder = layout.seen_inside(folder);
        if !path.contains(&folder) {
            path.push(folder);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(programs: &[&str], own: &str) -> Vec<PathBuf> {
        let layout = Layout {
            state: "/home/user/state".into(),
            cache: "/home/user/cache".into(),
        };
        let programs: Vec<PathBuf> = programs.iter().map(PathBuf::from).collect();
        path_inside(&layout, &programs, own.as_ref())
    }

    #[test]
    fn programs_that_are_not_on_the_hosts_path_come_first() {
        let path = inside(&["/opt/go/bin", "/usr/bin"], "/usr/local/bin:/usr/bin");
        let expected = ["/run/lab/bin", "/opt/go/bin", "/usr/local/bin", "/usr/bin"];
        assert_eq!(path, expected.map(PathBuf::from));
    }

    #[test]
    fn a_folder_in_the_cache_has_its_path_inside_wherever_it_was_found() {
        let expected = ["/run/lab/bin", "/run/lab-cache/tools/gitea/bin", "/usr/bin"];
        let gitea = "/home/user/cache/tools/gitea/bin";
        assert_eq!(inside(&[gitea], "/usr/bin"), expected.map(PathBuf::from));
        let found = inside(&[gitea], "/home/user/cache/tools/gitea/bin:/usr/bin");
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
