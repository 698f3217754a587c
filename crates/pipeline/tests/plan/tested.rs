//! A tree is tested once: which runs of pull requests count for the push that merges them.

use crate::common::git;
use crate::{Clone, NOTHING, Planned, VALUES};
use serde_json::{Value, json};
use std::fs;
use testkit::github::GitHub;

/// A merge of a pull request, as the forge knows it.
struct Merge {
    clone: Clone,
    before: String,
    head: String,
}

impl Merge {
    fn new() -> Self {
        let clone = Clone::new();
        let before = clone.head();
        git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
        let head = clone.commit("src/lib.rs", "// two");
        git(&clone.path(), &["checkout", "--quiet", "develop"]);
        Self {
            clone,
            before,
            head,
        }
    }

    fn merge(self) -> Self {
        git(
            &self.clone.path(),
            &["merge", "--quiet", "--no-ff", "-m", "Merge", "feature"],
        );
        self
    }

    /// What is planned for the push of the merge, with these runs on the forge.
    fn planned(&self, run: &Value, jobs: &Value) -> Planned {
        let (head, run, jobs) = (
            self.head.clone(),
            json!({ "workflow_runs": [run] }),
            json!({ "jobs": jobs }),
        );
        let forge = GitHub::start(move |request| {
            let target = request.target();
            assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
            if target.starts_with("/repos/acme/shop/actions/runs?") {
                let none = json!({ "workflow_runs": [] });
                let asked = target.contains(&format!("head_sha={head}"));
                return (200, if asked { run.clone() } else { none });
            }
            assert!(
                target.starts_with("/repos/acme/shop/actions/runs/7/jobs"),
                "{target}"
            );
            (200, jobs.clone())
        });
        let payload = format!(r#"{{"before": "{}"}}"#, self.before);
        let variables = [
            ("GITHUB_API_URL", forge.address.as_str()),
            ("GITHUB_TOKEN", "s3cret"),
        ];
        self.clone
            .planned("push", "refs/heads/develop", &payload, &variables)
    }

    /// A run of the pull request.
    fn run(&self) -> Value {
        json!({
            "id": 7, "run_number": 3, "event": "pull_request", "path": ".github/workflows/ci.yaml",
            "head_sha": self.head, "status": "completed", "conclusion": "success",
        })
    }
}

/// Jobs with their conclusions.
fn jobs(conclusions: &[(&str, &str)]) -> Value {
    let job = |(name, conclusion): &(&str, &str)| json!({"id": 1, "name": name, "status": "completed", "conclusion": conclusion});
    conclusions.iter().map(job).collect()
}

fn passed() -> Value {
    jobs(&[
        ("plan", "success"),
        ("lint", "success"),
        ("security", "success"),
        ("unit", "success"),
        ("integration (sqlite)", "success"),
        ("integration (postgresql)", "success"),
        ("image", "success"),
        ("required", "success"),
    ])
}

const DELIVERED: [&str; 3] = ["image", "deliver", "notify"];

#[test]
fn a_tree_is_tested_once() {
    let merge = Merge::new().merge();
    let planned = merge.planned(&merge.run(), &passed());
    assert_eq!(planned.jobs, DELIVERED, "{}", planned.said);
    let reason = format!("run 3 has tested the same tree at {}", &merge.head[..7]);
    assert!(planned.said.contains(&reason), "{}", planned.said);
    // A fast-forward brings the head itself.
    let merge = Merge::new();
    git(
        &merge.clone.path(),
        &["merge", "--quiet", "--ff-only", "feature"],
    );
    assert_eq!(merge.planned(&merge.run(), &passed()).jobs, DELIVERED);
}

#[test]
fn on_gitea_a_renewed_pull_request_counts_too() {
    let merge = Merge::new().merge();
    let mut run = merge.run();
    run["event"] = json!("pull_request_sync");
    run["path"] = json!("ci.yaml@refs/pull/1/head");
    assert_eq!(merge.planned(&run, &passed()).jobs, DELIVERED);
}

#[test]
fn a_job_that_did_not_pass_there_runs_here() {
    let merge = Merge::new().merge();
    let jobs = jobs(&[
        ("lint", "success"),
        ("security", "skipped"),
        ("integration (sqlite)", "success"),
        ("integration (postgresql)", "skipped"),
        ("required", "success"),
    ]);
    let planned = merge.planned(&merge.run(), &jobs);
    let expected = [&["security", "unit", "integration"], &DELIVERED[..]].concat();
    assert_eq!(planned.jobs, expected, "{}", planned.said);
}

/// Checks that everything is tested for the push of this merge.
fn is_tested_in_full(merge: &Merge, run: &Value, jobs: &Value, why: &str) {
    let planned = merge.planned(run, jobs);
    let tests = ["lint", "security", "unit", "integration"];
    let expected = [&tests[..], &DELIVERED].concat();
    assert_eq!(planned.jobs, expected, "{why}: {}", planned.said);
}

#[test]
fn a_run_that_does_not_prove_the_tree_does_not_count() {
    let merge = Merge::new().merge();
    for (key, value) in [
        ("event", "push"),
        ("event", "workflow_dispatch"),
        ("event", "pull_request_target"),
        ("path", ".github/workflows/other.yaml"),
        ("head_sha", NOTHING),
    ] {
        let mut run = merge.run();
        run[key] = json!(value);
        is_tested_in_full(&merge, &run, &passed(), value);
    }
    for conclusion in ["failure", "cancelled", "skipped"] {
        let jobs = jobs(&[("unit", "success"), ("required", conclusion)]);
        is_tested_in_full(&merge, &merge.run(), &jobs, conclusion);
    }
    is_tested_in_full(&merge, &merge.run(), &json!([]), "no job");
}

#[test]
fn a_branch_that_moved_is_tested_in_full() {
    let mut merge = Merge::new();
    merge.before = merge.clone.commit("README.md", "others");
    let merge = merge.merge();
    is_tested_in_full(&merge, &merge.run(), &passed(), "moved");
}

#[test]
fn after_a_write_back_only_lint_runs_again() {
    let mut merge = Merge::new();
    merge.clone.commit(VALUES, "a: 2\n");
    merge.before = merge.clone.commit(VALUES, "a: 3\n");
    let merge = merge.merge();
    let planned = merge.planned(&merge.run(), &passed());
    let expected = [&["lint"], &DELIVERED[..]].concat();
    assert_eq!(planned.jobs, expected, "{}", planned.said);
}

#[test]
fn a_branch_that_moved_by_more_than_values_is_tested_in_full() {
    // In one commit with the values, and by a merge.
    let mut merge = Merge::new();
    let folder = merge.clone.path();
    fs::write(folder.join("README.md"), "others").unwrap();
    merge.before = merge.clone.commit(VALUES, "a: 2\n");
    let merge = merge.merge();
    is_tested_in_full(&merge, &merge.run(), &passed(), "one commit");

    let mut merge = Merge::new();
    let folder = merge.clone.path();
    git(&folder, &["checkout", "--quiet", "-b", "other"]);
    merge.clone.commit("README.md", "others");
    git(&folder, &["checkout", "--quiet", "develop"]);
    merge.clone.commit(VALUES, "a: 2\n");
    git(
        &folder,
        &["merge", "--quiet", "--no-ff", "-m", "Merge", "other"],
    );
    merge.before = merge.clone.head();
    let merge = merge.merge();
    is_tested_in_full(&merge, &merge.run(), &passed(), "a merge");
}

#[test]
fn a_tree_that_returns_to_the_head_of_the_pull_request_is_tested_in_full() {
    // The run tested the head merged with a commit that was taken back later.
    let mut merge = Merge::new();
    merge.clone.commit("README.md", "others");
    merge.before = merge.clone.commit("README.md", "");
    let merge = merge.merge();
    is_tested_in_full(&merge, &merge.run(), &passed(), "returned");
}

#[test]
fn a_conflict_that_a_person_resolved_is_tested_in_full() {
    let merge = Merge::new().merge();
    let folder = merge.clone.path();
    fs::write(folder.join("src/lib.rs"), "// resolved").unwrap();
    git(
        &folder,
        &["commit", "--quiet", "--all", "--amend", "--no-edit"],
    );
    is_tested_in_full(&merge, &merge.run(), &passed(), "resolved");
}

#[test]
fn a_forge_that_does_not_answer_means_a_test_in_full() {
    let merge = Merge::new().merge();
    let payload = format!(r#"{{"before": "{}"}}"#, merge.before);
    let planned = merge
        .clone
        .planned("push", "refs/heads/develop", &payload, &[]);
    assert!(planned.has("unit"), "{}", planned.said);
    assert!(
        planned.said.contains("no earlier run was found"),
        "{}",
        planned.said
    );
}
