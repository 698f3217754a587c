//! `cargo pipeline coverage` measures which lines the tests run.
//!
//! A line counts once, however many programs contain it. Tests inside source files do not count.

mod builds;
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
use lcov::line_counts;
use report::LCOV;
use selection::test_runs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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
    let target = builds::folder(root, metadata, &parent)?;
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
    builds::copy_dependencies(metadata, &parent, &target)
        .context("cannot copy compiled dependencies")?;
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
