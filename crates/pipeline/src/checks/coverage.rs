//! `cargo pipeline coverage` measures which lines the tests run.
//!
//! A line counts once, however many programs contain it. Tests inside source files do not count.

mod lcov;
mod packages;
mod report;
mod selection;

pub(crate) use packages::Package;
pub(crate) use report::{CoverageReport, LineCount, REPORT, change, percent};

use super::thresholds::Thresholds;
use crate::check::explained;
use crate::project::{SERVICE_TESTS, metadata, root, with_test_threads};
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Metadata;
use devkit::git::Git;
use devkit::markdown;
use devkit::process::{Run, command, find};
use devkit::units::{self, Libraries};
use lcov::line_counts;
use report::LCOV;
use selection::test_runs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measure which lines the tests run.
///
/// All tests must pass, except the integration tests of the service: they run only for their coverage. Whether they
/// pass is checked by `cargo pipeline test --only integration`, for each database. Fails if the coverage is below the
/// floor in quality.toml. Writes target/coverage/coverage.json and lcov.info.
#[derive(clap::Args)]
pub(crate) struct Coverage {
    /// Test and measure only these packages, separated by spaces, and run the tests of the documentation [default: all]
    #[arg(long, value_name = "NAMES")]
    packages: Option<String>,
}

impl Coverage {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        // Before the tests, which take a while.
        let commit = Git::new(&root).head()?;
        let floor = Thresholds::read(&root)?.coverage.floor;
        ensure!(
            find("cargo-llvm-cov").is_some(),
            "cargo-llvm-cov is not on PATH: `cargo pipeline tools coverage` installs it"
        );
        let metadata = metadata(&root)?;
        let packages = Package::from_metadata(&metadata)?;
        let measured = self.measured(&packages)?;
        measure(&root, &metadata, &measured)?;
        let mut files = BTreeMap::new();
        if !measured.is_empty() {
            let lcov = std::fs::read_to_string(root.join(LCOV))
                .with_context(|| format!("cargo-llvm-cov wrote no {LCOV}"))?;
            files = line_counts(&root, &packages, &lcov)?;
        }
        // The tests of a package also run lines of those that it depends on, but do not test them.
        files.retain(|file, _| {
            let mut owners = packages.iter().filter(|package| package.has(file));
            owners.any(|package| measured.contains(&package.name))
        });
        let report = CoverageReport {
            commit,
            measured,
            files,
        };
        let tables = markdown!(
            "{}\n{}",
            report.table(&packages, floor, None),
            report.worst_files(&packages)
        );
        print!("\n{}", tables.as_str());
        workflow::summary(&markdown!("## Coverage\n\n{}", tables))?;
        report.write(&packages, &root.join(REPORT))?;
        report.check(&packages, floor)
    }
}

impl Coverage {
    /// The names of the packages to measure.
    fn measured(&self, packages: &[Package]) -> Result<BTreeSet<String>> {
        let all = packages.iter().map(|package| package.name.clone());
        let all: BTreeSet<String> = all.collect();
        let Some(names) = &self.packages else {
            return Ok(all);
        };
        let names: BTreeSet<String> = names.split_whitespace().map(str::to_owned).collect();
        if let Some(unknown) = names.difference(&all).next() {
            let all = packages.iter().map(|package| package.name.as_str());
            let all = all.collect::<Vec<_>>().join(", ");
            bail!("there is no package {unknown}; the packages are {all}");
        }
        Ok(names)
    }
}

/// Runs the tests of the packages, and writes their coverage to [`LCOV`].
fn measure(root: &Path, metadata: &Metadata, measured: &BTreeSet<String>) -> Result<()> {
    let target = target(root)?;
    let llvm_cov = |words: &[&str]| {
        let mut command = command("cargo", [&["llvm-cov"], words].concat());
        // A separate target folder: coverage needs other compiler flags, and a shared folder would rebuild everything.
        command
            .current_dir(root)
            .env("CARGO_LLVM_COV_TARGET_DIR", &target);
        command
    };
    std::fs::create_dir_all(root.join("target/coverage"))
        .context("cannot create target/coverage")?;
    clean(root, metadata, &target, &llvm_cov)?;
    copy_dependencies(metadata, &target).context("cannot copy compiled dependencies")?;
    for run in test_runs(metadata, measured) {
        let words = [&["--no-report", "--locked"], &run.words[..]].concat();
        let mut tests = llvm_cov(&words);
        if run.words.contains(&SERVICE_TESTS) {
            with_test_threads(&mut tests);
        }
        explained("tests", || tests.run().context(run.failure))?;
    }
    if measured.is_empty() {
        return Ok(());
    }
    let report = ["report", "--workspace", "--lcov", "--output-path", LCOV];
    Ok(llvm_cov(&report).run()?)
}

/// The folder of the programs that are built for coverage.
fn target(root: &Path) -> Result<PathBuf> {
    let target = workflow::var("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = root.join(target).join("coverage-build");
    std::fs::create_dir_all(&target)
        .with_context(|| format!("cannot create {}", target.display()))?;
    Ok(target)
}

/// Removes files of earlier runs that would count in this one.
///
/// Profiles are always removed. Programs are removed only if their names may have changed, which happens with the
/// dependencies, the targets and the toolchain. Otherwise cargo replaces them, and a second run builds almost nothing.
fn clean(
    root: &Path,
    metadata: &Metadata,
    target: &Path,
    llvm_cov: &dyn Fn(&[&str]) -> Command,
) -> Result<()> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let names = [
        // Another clone of the project gives its programs the same names.
        serde_json::to_string(metadata)?.replace(&*root.to_string_lossy(), ""),
        command("rustc", ["-vV"]).current_dir(root).read()?,
        lock,
    ]
    .concat();
    let stamp = target.join("names");
    if std::fs::read_to_string(&stamp).is_ok_and(|last| last == names) {
        return Ok(llvm_cov(&["clean", "--profraw-only"]).run()?);
    }
    llvm_cov(&["clean", "--workspace"]).run()?;
    std::fs::write(&stamp, names).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Takes over the dependencies that other builds have compiled. Their flags are the same: cargo-llvm-cov adds flags only
/// for the packages of the workspace.
fn copy_dependencies(metadata: &Metadata, target: &Path) -> std::io::Result<()> {
    let Some(parent) = target.parent() else {
        return Ok(());
    };
    let ours: BTreeSet<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let profile = parent.join("debug");
    let mut dependencies = units::list(&profile)?;
    dependencies.retain(|unit| !ours.contains(units::package(unit)));
    let copy = target.join("debug");
    if units::differ(&dependencies, &profile, &copy)? {
        std::fs::remove_dir_all(&copy)?;
    }
    units::copy(&dependencies, &profile, &copy, Libraries::Link)
}
