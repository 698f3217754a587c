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
///
/// All calls select the whole workspace and choose among its tests. Cargo gives the programs of another selection other
/// names, and the report would count the lines of both.
pub(super) fn test_runs<'a>(
    metadata: &'a Metadata,
    measured: &BTreeSet<String>,
) -> Vec<TestRun<'a>> {
    let ours = metadata
        .packages
        .iter()
        .filter(|package| measured.contains(package.name.as_str()));
    let mut tests: BTreeSet<&str> = ours.flat_map(tests_of).collect();
    let has_service_tests = tests.remove(SERVICE_TESTS);
    // Any change can break them: they check the links to files, for example.
    tests.insert(DOCS_TESTS);
    let mut words = vec!["--workspace"];
    if !measured.is_empty() {
        words.extend(["--lib", "--bins"]);
    }
    words.extend(tests.into_iter().flat_map(|name| ["--test", name]));
    let mut runs = vec![TestRun {
        words,
        failure: "tests must pass",
    }];
    if has_service_tests {
        runs.push(TestRun {
            words: vec!["--workspace", "--ignore-run-fail", "--test", SERVICE_TESTS],
            failure: "the tests of the service must compile",
        });
    }
    runs
}

/// The names of a package's integration tests.
fn tests_of(package: &Package) -> impl Iterator<Item = &str> {
    let targets = package.targets.iter();
    targets
        .filter(|target| target.kind.contains(&TargetKind::Test))
        .map(|target| target.name.as_str())
}
