//! Which tests measure the coverage of which packages.

use crate::project::SERVICE_TESTS;
use cargo_metadata::{Metadata, Package, TargetKind};
use std::collections::BTreeSet;

/// Cargo's name for the tests of the documentation. Several packages have some.
const DOCS_TESTS: &str = "docs";

/// A call of `cargo llvm-cov`.
pub(super) struct TestRun<'a> {
    /// The arguments.
    pub(super) words: Vec<&'a str>,
    /// What it means when the call fails.
    pub(super) failure: &'static str,
}

/// The calls that run the tests of the measured packages, and the tests of the documentation of all packages.
pub(super) fn test_runs<'a>(
    metadata: &'a Metadata,
    measured: &BTreeSet<String>,
) -> Vec<TestRun<'a>> {
    let (ours, others): (Vec<_>, Vec<_>) = metadata
        .packages
        .iter()
        .partition(|package| measured.contains(package.name.as_str()));
    let mut runs = Vec::new();
    let mut add = |packages: &[&'a Package], options: Vec<&'a str>, failure| {
        let selection: Vec<&str> = match others.is_empty() {
            // Then all calls use what the first one compiled.
            true => vec!["--workspace"],
            false => {
                let names = packages.iter().map(|package| package.name.as_str());
                names.flat_map(|name| ["--package", name]).collect()
            }
        };
        if !packages.is_empty() {
            let words = [selection, options].concat();
            runs.push(TestRun { words, failure });
        }
    };
    let mut options = match ours.iter().any(|package| has(package, TargetKind::Lib)) {
        true => vec!["--lib", "--bins"],
        false => vec!["--bins"],
    };
    let tests: BTreeSet<&str> = ours.iter().copied().flat_map(tests_of).collect();
    for name in tests.into_iter().filter(|name| *name != SERVICE_TESTS) {
        options.extend(["--test", name]);
    }
    add(&ours, options, "tests must pass");
    // Any change can break them: they check the links to files, for example.
    let with = |packages: &[&'a Package], test: &str| -> Vec<&'a Package> {
        let packages = packages.iter().copied();
        packages
            .filter(|package| tests_of(package).any(|name| name == test))
            .collect()
    };
    add(
        &with(&others, DOCS_TESTS),
        vec!["--test", DOCS_TESTS],
        "tests must pass",
    );
    let options = vec!["--ignore-run-fail", "--test", SERVICE_TESTS];
    add(
        &with(&ours, SERVICE_TESTS),
        options,
        "the tests of the service must compile",
    );
    runs
}

fn has(package: &Package, kind: TargetKind) -> bool {
    let mut targets = package.targets.iter();
    targets.any(|target| target.kind.contains(&kind))
}

/// The names of a package's integration tests.
fn tests_of(package: &Package) -> impl Iterator<Item = &str> {
    let targets = package.targets.iter();
    targets
        .filter(|target| target.kind.contains(&TargetKind::Test))
        .map(|target| target.name.as_str())
}
