//! Running other programs: output streams or is captured, and a failure names the command.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) use devkit::process::find;
use devkit::process::search_path;

/// A command with its arguments.
pub(crate) fn cmd<I, S>(program: &str, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args).env("PATH", search_path());
    for (name, _) in std::env::vars_os() {
        if names_this_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `cargo run` has set a variable to say which package it runs. A cargo that this program starts must not see
/// it: there are build scripts that look, ring's among them, and each new answer is half a minute of building.
fn names_this_package(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}

/// Runs with the output streaming; any exit code but 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs and returns what it printed, whatever its exit code.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| cannot_start(command))
}

/// Runs and returns its standard output as it is; any exit code but 0 is an error with what it said.
pub(crate) fn read_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = capture(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// As [`read_bytes`], as text without the line end.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let bytes = read_bytes(command)?;
    let text = String::from_utf8(bytes)
        .with_context(|| format!("`{}` printed something that isn't UTF-8", line(command)))?;
    Ok(text.trim_end().to_owned())
}

fn cannot_start(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    format!("cannot start `{program}`: is it installed and on PATH?")
}

/// The command as a person would type it. Secrets travel in the environment, so none can be in it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The root of the project: the nearest folder upwards that git knows as a work tree's top.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    here.ancestors()
        .find(|folder| folder.join(".git").exists())
        .map(Path::to_path_buf)
        .with_context(|| format!("{} is not inside a git repository", here.display()))
}
