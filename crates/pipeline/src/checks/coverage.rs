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
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    let parent = root.join(workflow::var("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let target = target(root, metadata, &parent)?;
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
    // Files of earlier runs would count in this one.
    llvm_cov(&["clean", "--profraw-only"]).run()?;
    copy_dependencies(metadata, &parent, &target).context("cannot copy compiled dependencies")?;
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

/// The folder of the programs that are built for coverage, in cargo's target folder.
///
/// All programs in a folder count, so programs with other names need another folder. The names may change with the
/// dependencies, the targets and the toolchain. One folder more is kept, so that the way back from such a change builds
/// almost nothing.
fn target(root: &Path, metadata: &Metadata, parent: &Path) -> Result<PathBuf> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let names = [
        // Another clone of the project gives its programs the same names.
        serde_json::to_string(metadata)?.replace(&*root.to_string_lossy(), ""),
        command("rustc", ["-vV"]).current_dir(root).read()?,
        lock,
    ];
    let mut key = hex::encode(Sha256::digest(names.concat()));
    key.truncate(KEY_LENGTH);
    let all = parent.join("coverage-build");
    let target = all.join(key);
    std::fs::create_dir_all(&target)
        .with_context(|| format!("cannot create {}", target.display()))?;
    use_again(&target)
        .and_then(|()| remove_others(&all, &target))
        .with_context(|| format!("cannot clean {}", all.display()))?;
    Ok(target)
}

/// The number of digits in the name of a folder of programs.
const KEY_LENGTH: usize = 12;

/// Marks a folder as the one that was used last.
fn use_again(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.set_modified(SystemTime::now())
}

/// Removes all folders of programs but one and the last that was used besides.
fn remove_others(all: &Path, target: &Path) -> std::io::Result<()> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir(all)? {
        let entry = entry?;
        if entry.path() != target {
            others.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    others.sort();
    others.pop();
    for (_, path) in others {
        match path.is_dir() {
            true => std::fs::remove_dir_all(path)?,
            false => std::fs::remove_file(path)?,
        }
    }
    Ok(())
}

/// Takes over the dependencies that other builds have compiled. Their flags are the same: cargo-llvm-cov adds flags only
/// for the packages of the workspace.
fn copy_dependencies(metadata: &Metadata, parent: &Path, target: &Path) -> std::io::Result<()> {
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
