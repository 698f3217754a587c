//! The workflows against the semantics that GitHub documents, for what this project relies on. actionlint checks the
//! syntax. Each test takes a fault that was there, puts it back into the file, and requires that the check finds it.
//!
//! This is reading, not running: no workflow was run on GitHub. The lab runs `ci.yaml`, `coverage.yaml`, `promote.yaml`,
//! `rollback.yaml` and `release.yaml` on Gitea.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't go on fails"
)]

mod artifacts;
mod caches;
mod contexts;
mod dockerfile;
mod environments;
mod events;
mod model;
mod notify;
mod permissions;
mod steps;

use model::Workflow;

/// Checks that a workflow has no faults, and has some after a change of its text.
fn finds(file: &str, check: impl Fn(&Workflow) -> Vec<String>, faults: &[(&str, &str)]) {
    let text = model::text(file);
    let found = |text: &str| {
        let workflow = Workflow::parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        check(&workflow)
    };
    assert_eq!(found(&text), [""; 0], "{file}");
    for (right, wrong) in faults {
        assert!(text.contains(right), "{file} does not contain {right:?}");
        let faulty = text.replace(right, wrong);
        assert_ne!(found(&faulty), [""; 0], "{file} with {wrong:?}");
    }
}
