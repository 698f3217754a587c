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
        clone.commit("delivery.toml", common::DELIVERY);
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

    /// Whether `plan` tests code, and what it prints.
    fn plan(&self, event: &str, reference: &str, payload: &str) -> (bool, String) {
        let (jobs, _, said) = self.planned(event, reference, payload, "https://forge.example");
        (jobs.contains(&"unit".to_owned()), said)
    }

    /// The planned jobs, the environment to deploy to, and what `plan` prints.
    fn planned(
        &self,
        event: &str,
        reference: &str,
        payload: &str,
        server: &str,
    ) -> (Vec<String>, String, String) {
        let output = self.folder.path().join("output");
        let event_file = self.folder.path().join("event.json");
        fs::write(&output, "").unwrap();
        fs::write(&event_file, payload).unwrap();
        let mut plan = pipeline(&self.path(), &["plan"]);
        plan.env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_REF", reference)
            .env("GITHUB_SHA", self.head())
            .env("GITHUB_EVENT_PATH", event_file)
            .env("GITHUB_SERVER_URL", server)
            .env("GITHUB_REPOSITORY", "acme/shop")
            .env("GITHUB_OUTPUT", &output);
        let said = succeeded(&plan.output().unwrap());
        let outputs = fs::read_to_string(output).unwrap();
        let (jobs, environment) = outputs.split_once('\n').unwrap();
        let jobs: Vec<String> = serde_json::from_str(jobs.strip_prefix("jobs=").unwrap()).unwrap();
        let environment = environment.strip_prefix("environment=").unwrap().trim_end();
        assert!(said.starts_with(&format!("{}: ", jobs.join(" "))), "{said}");
        (jobs, environment.to_owned(), said)
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
        assert!(code && !said.starts_with("image"), "{said}");
        assert!(!said.contains(" image"), "{said}");
    }
}

/// The jobs and the environment of an event after which a file differs.
fn jobs_of(event: &str, reference: &str, file: &str, server: &str) -> (Vec<String>, String) {
    let clone = Clone::new();
    let before = clone.head();
    clone.commit(file, "two");
    let payload = format!(
        r#"{{"before": "{before}", "pull_request": {{"head": {{"repo": {{"full_name": "acme/shop"}}}}}}}}"#
    );
    let (jobs, environment, _) = clone.planned(event, reference, &payload, server);
    (jobs, environment)
}

#[test]
fn each_event_has_its_jobs() {
    let tests = ["lint", "security", "unit", "integration"];
    for (event, reference, more, environment) in [
        (
            "push",
            "refs/heads/develop",
            &["image", "deliver", "notify"][..],
            "dev",
        ),
        ("push", "refs/heads/staging", &["notify"], ""),
        ("push", "refs/heads/main", &["retag", "notify"], ""),
        ("push", "refs/heads/feature/x", &["image"], ""),
        ("pull_request", "refs/pull/1/merge", &["image"], ""),
        ("workflow_dispatch", "refs/heads/develop", &["image"], ""),
    ] {
        let expected = [&tests[..], more].concat();
        let (jobs, deployed) = jobs_of(event, reference, "src/main.rs", "https://forge.example");
        assert_eq!(jobs, expected, "{event} {reference}");
        assert_eq!(deployed, environment, "{event} {reference}");
    }
}

#[test]
fn only_github_has_code_scanning_and_nix() {
    let on_github = |file| {
        let github = "https://github.com";
        jobs_of("pull_request", "refs/pull/1/merge", file, github).0
    };
    assert!(on_github("src/main.rs").contains(&"sarif".to_owned()));
    assert!(!on_github("src/main.rs").contains(&"nix".to_owned()));
    for file in ["flake.lock", "nix/rust.nix", "nixos-vm/default.nix"] {
        assert!(on_github(file).contains(&"nix".to_owned()), "{file}");
    }
}

#[test]
fn a_fork_sends_no_findings() {
    let clone = Clone::new();
    clone.commit("src/main.rs", "two");
    for repository in [r#"{"full_name": "mallory/shop"}"#, "null"] {
        let payload = format!(r#"{{"pull_request": {{"head": {{"repo": {repository}}}}}}}"#);
        let github = "https://github.com";
        let (jobs, _, _) = clone.planned("pull_request", "refs/pull/1/merge", &payload, github);
        assert!(!jobs.contains(&"sarif".to_owned()), "{repository}");
    }
}

#[test]
fn it_says_which_variable_is_missing() {
    let clone = Clone::new();
    let output = pipeline(&clone.path(), &["plan"]).output().unwrap();
    let said = common::failed(&output);
    assert!(said.contains("GITHUB_EVENT_NAME is not set"), "{said}");
}
