//! `cargo pipeline plan` from outside: which events build, on real repositories.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{commit, git, pipeline, succeeded};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const VALUES: &str = "charts/waybill/values-dev.yaml";
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A clone of a repository that has code and values on `develop`.
struct Clone {
    folder: TempDir,
}

impl Clone {
    fn new() -> Self {
        let clone = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        git(
            clone.folder.path(),
            &["init", "--quiet", "--bare", "forge.git"],
        );
        git(
            clone.folder.path(),
            &["clone", "--quiet", "forge.git", "clone"],
        );
        git(&clone.path(), &["checkout", "--quiet", "-b", "develop"]);
        clone.commit(VALUES, "a: 1\n");
        clone.commit("src/main.rs", "one");
        git(&clone.path(), &["push", "--quiet", "origin", "develop"]);
        clone
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn commit(&self, file: &str, text: &str) -> String {
        commit(&self.path(), file, text)
    }

    fn head(&self) -> String {
        git(&self.path(), &["rev-parse", "HEAD"])
    }

    /// What `plan` says, and the output it sets.
    fn plan(&self, event: &str, reference: &str, payload: &str) -> (bool, String) {
        let output = self.folder.path().join("output");
        let event_file = self.folder.path().join("event.json");
        fs::write(&output, "").unwrap();
        fs::write(&event_file, payload).unwrap();
        let mut plan = pipeline(&self.path(), &["plan"]);
        plan.env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_REF", reference)
            .env("GITHUB_SHA", self.head())
            .env("GITHUB_EVENT_PATH", event_file)
            .env("GITHUB_OUTPUT", &output);
        let said = succeeded(&plan.output().unwrap());
        let code = said.starts_with("code=true");
        // After develop nothing is built any more.
        let build = code && !matches!(reference, "refs/heads/staging" | "refs/heads/main");
        let outputs = fs::read_to_string(output).unwrap();
        assert_eq!(outputs, format!("code={code}\nbuild={build}\n"));
        assert!(
            said.starts_with(&format!("code={code} build={build}: ")),
            "{said}"
        );
        (code, said)
    }

    fn push(&self, branch: &str, before: &str) -> (bool, String) {
        let payload = format!(r#"{{"before": "{before}"}}"#);
        self.plan("push", &format!("refs/heads/{branch}"), &payload)
    }

    fn pull_request(&self, base: &str) -> (bool, String) {
        let payload = format!(r#"{{"pull_request": {{"base": {{"ref": "{base}"}}}}}}"#);
        self.plan("pull_request", "refs/pull/1/head", &payload)
    }
}

#[test]
fn a_push_of_nothing_but_values_builds_nothing() {
    let clone = Clone::new();
    let before = clone.head();
    clone.commit(VALUES, "a: 2\n");
    clone.commit("charts/waybill/values-prod.yaml", "a: 3\n");
    let (build, said) = clone.push("develop", &before);
    assert!(!build, "{said}");
    assert!(said.contains("only environment values changed"), "{said}");
}

#[test]
fn any_other_file_in_the_push_builds() {
    for file in [
        "src/main.rs",
        "charts/waybill/values.yaml",
        "charts/waybill/values-dev.yaml.orig",
        "ä b",
    ] {
        let clone = Clone::new();
        let before = clone.head();
        clone.commit(file, "two");
        clone.commit(VALUES, "a: 2\n");
        assert!(clone.push("develop", &before).0, "{file}");
    }
}

#[test]
fn values_renamed_from_code_or_to_code_build() {
    let clone = Clone::new();
    let before = clone.head();
    git(
        &clone.path(),
        &["mv", "src/main.rs", "charts/waybill/values-new.yaml"],
    );
    git(&clone.path(), &["commit", "--quiet", "--message", "Move"]);
    assert!(clone.push("develop", &before).0);
}

#[test]
fn in_doubt_it_builds() {
    let clone = Clone::new();
    let code = clone.head();
    let values = clone.commit(VALUES, "a: 2\n");
    // A new branch, a commit that isn't here, an event without one.
    for before in [
        NOTHING,
        "1234567890123456789012345678901234567890",
        "--all",
        "",
    ] {
        assert!(clone.push("develop", before).0, "{before}");
    }
    assert!(clone.plan("push", "refs/heads/develop", "{}").0);
    // An empty commit asks for a run.
    git(
        &clone.path(),
        &["commit", "--quiet", "--allow-empty", "--message", "Run"],
    );
    assert!(clone.push("develop", &values).0);
    // A rewritten branch: the old tip is here, but not in the new history.
    git(&clone.path(), &["reset", "--quiet", "--hard", &code]);
    clone.commit(VALUES, "a: 3\n");
    let (build, said) = clone.push("develop", &values);
    assert!(build && said.contains("rewritten"), "{said}");
}

#[test]
fn a_feature_branch_counts_as_a_whole() {
    let clone = Clone::new();
    git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
    clone.commit(VALUES, "a: 2\n");
    assert!(!clone.push("feature", NOTHING).0);
    // Its code must be tested with its last commit too, though that one changes values alone.
    let before = clone.commit("src/main.rs", "two");
    clone.commit(VALUES, "a: 3\n");
    assert!(clone.push("feature", &before).0);
}

#[test]
fn a_pull_request_is_compared_with_its_merge_base() {
    let clone = Clone::new();
    git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
    clone.commit(VALUES, "a: 2\n");
    // What others merged meanwhile is not part of it.
    git(&clone.path(), &["checkout", "--quiet", "develop"]);
    clone.commit("src/main.rs", "others");
    git(&clone.path(), &["push", "--quiet", "origin", "develop"]);
    git(&clone.path(), &["checkout", "--quiet", "feature"]);
    assert!(!clone.pull_request("develop").0);
    clone.commit("README.md", "two");
    assert!(clone.pull_request("develop").0);
    git(
        &clone.path(),
        &["update-ref", "-d", "refs/remotes/origin/develop"],
    );
    let (code, said) = clone.pull_request("develop");
    assert!(code && said.contains("does not have the branch"), "{said}");
}

#[test]
fn what_develop_has_tested_is_neither_tested_nor_built_again() {
    let clone = Clone::new();
    git(&clone.path(), &["branch", "staging"]);
    clone.commit("src/main.rs", "two");
    git(&clone.path(), &["push", "--quiet", "origin", "develop"]);
    git(&clone.path(), &["checkout", "--quiet", "staging"]);
    let before = clone.head();
    git(
        &clone.path(),
        &["merge", "--quiet", "--no-ff", "-m", "Merge", "develop"],
    );
    clone.commit("charts/waybill/values-staging.yaml", "a: 1\n");
    for branch in ["promote/staging", "staging", "main"] {
        let (code, said) = clone.push(branch, &before);
        assert!(!code, "{branch}: {said}");
    }
    assert!(!clone.pull_request("staging").0);
}

#[test]
fn code_that_never_was_on_develop_is_tested_and_not_built() {
    for branch in ["staging", "main"] {
        let clone = Clone::new();
        let before = clone.head();
        clone.commit("src/main.rs", "two");
        let (code, said) = clone.push(branch, &before);
        assert!(code && said.contains("build=false"), "{said}");
    }
}

#[test]
fn it_says_which_variable_is_missing() {
    let clone = Clone::new();
    let output = pipeline(&clone.path(), &["plan"]).output().unwrap();
    let said = common::failed(&output);
    assert!(said.contains("GITHUB_EVENT_NAME is not set"), "{said}");
}
