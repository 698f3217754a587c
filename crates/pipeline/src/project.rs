//! The layout of the project that the commands work on: its root, its files and its chart.

use anyhow::{Context, Result, ensure};
use cargo_metadata::Metadata;
use devkit::git::Git;
use devkit::process::{Run, command};
use std::ffi::OsStr;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Helm chart of the service.
pub(crate) const CHART: &str = "charts/waybill";

/// Cargo's name for the integration tests of the service. They run against a binary, with a real database.
pub(crate) const SERVICE_TESTS: &str = "api";

/// How many of the service's integration tests run at the same time, for each processor. Most of the time they wait: for
/// a time-out, a database or the end of a process.
const TESTS_PER_PROCESSOR: usize = 4;

/// Lets a command that runs the service's integration tests run more of them than there are processors, unless
/// `RUST_TEST_THREADS` says how many.
pub(crate) fn with_test_threads(command: &mut Command) -> &mut Command {
    const VARIABLE: &str = "RUST_TEST_THREADS";
    if std::env::var_os(VARIABLE).is_none() {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        command.env(VARIABLE, (TESTS_PER_PROCESSOR * processors).to_string());
    }
    command
}

/// The root of the project: the nearest folder, from the current one upwards, that has a `.git`.
pub(crate) fn root() -> Result<PathBuf> {
    let current = std::env::current_dir().context("cannot find the current folder")?;
    current
        .ancestors()
        .find(|folder| folder.join(".git").exists())
        .map(Path::to_path_buf)
        .with_context(|| {
            format!(
                "{} is not inside a Git repository: run this command in a clone of the project",
                current.display()
            )
        })
}

/// What cargo knows of the packages and their targets.
pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let text = command("cargo", ["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root)
        .read()?;
    serde_json::from_str(&text).context("`cargo metadata` printed something unexpected")
}

/// The files that match one of the patterns and that git tracks or would add.
pub(crate) fn tracked(root: &Path, patterns: &[&str]) -> Result<Vec<PathBuf>> {
    let mut args = vec!["ls-files", "-z", "--cached", "--others"];
    args.extend(["--exclude-standard", "--"]);
    args.extend(patterns);
    let list = Git::new(root).read_bytes(&args)?;
    Ok(paths(&list)
        .filter(|file| root.join(file).is_file())
        .collect())
}

/// The paths that a Git command with `-z` listed. A path is bytes, not text.
pub(crate) fn paths(list: &[u8]) -> impl Iterator<Item = PathBuf> {
    list.split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| OsStr::from_bytes(path).into())
}

/// The values files that the chart must work with: those of the environments, and those in `ci/`.
pub(crate) fn values_files(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for (folder, prefix) in [(CHART.to_owned(), "values-"), (format!("{CHART}/ci"), "")] {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let values = names.filter(|name| name.starts_with(prefix) && name.ends_with(".yaml"));
        files.extend(values.map(|name| format!("{folder}/{name}")));
    }
    ensure!(!files.is_empty(), "{CHART} has no values-<env>.yaml");
    files.sort();
    Ok(files)
}
