//! A push to the branch of a pull request plans no jobs, because the run of the pull request checks the commit.

use crate::common::git;
use crate::{Clone, NOTHING, Planned};
use serde_json::{Value, json};
use testkit::github::GitHub;

/// A branch with one commit.
struct Branch {
    clone: Clone,
    head: String,
}

impl Branch {
    fn new() -> Self {
        let clone = Clone::new();
        git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
        let head = clone.commit("src/lib.rs", "// two");
        Self { clone, head }
    }

    /// What is planned for the push of a branch. The forge has these pull requests, and one more of these runs each time
    /// that it is asked for them.
    fn planned(&self, branch: &str, pulls: &Value, runs: Vec<Value>) -> Planned {
        let (head, pulls) = (self.head.clone(), pulls.clone());
        let mut runs = runs.into_iter();
        let mut known = Vec::new();
        let forge = GitHub::start(move |request| {
            let target = request.target();
            assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
            if target.starts_with("/repos/acme/shop/pulls?state=open") {
                let first = !target.contains("page=")
                    || target.contains("page=1&")
                    || target.ends_with("page=1");
                return (200, if first { pulls.clone() } else { json!([]) });
            }
            assert!(target.contains(&format!("head_sha={head}")), "{target}");
            known.extend(runs.next());
            (200, json!({ "workflow_runs": known }))
        });
        let payload = format!(r#"{{"before": "{NOTHING}"}}"#);
        let variables = [
            ("GITHUB_API_URL", forge.address.as_str()),
            ("GITHUB_TOKEN", "s3cret"),
        ];
        let reference = format!("refs/heads/{branch}");
        self.clone.planned("push", &reference, &payload, &variables)
    }

    /// The branch's pull request, from this repository or a fork.
    fn pull(&self, repository: &str) -> Value {
        json!([{
            "number": 5, "state": "open",
            "head": {"ref": "feature", "sha": self.head, "repo": {"full_name": repository}},
            "base": {"ref": "develop", "sha": NOTHING, "repo": {"full_name": "acme/shop"}},
        }])
    }

    fn run(&self, event: &str, conclusion: Option<&str>) -> Value {
        json!({
            "id": 7, "run_number": 3, "event": event, "path": ".github/workflows/ci.yaml",
            "head_sha": self.head, "status": "in_progress", "conclusion": conclusion,
        })
    }
}

#[test]
fn the_run_of_the_pull_request_checks_the_commit() {
    let branch = Branch::new();
    for event in ["pull_request", "pull_request_sync"] {
        for conclusion in [None, Some("success"), Some("failure")] {
            let run = branch.run(event, conclusion);
            let planned = branch.planned("feature", &branch.pull("acme/shop"), vec![run]);
            assert_eq!(planned.jobs, [""; 0], "{event}: {}", planned.said);
            assert_eq!(
                (planned.packages.as_str(), planned.environment.as_str()),
                ("", "")
            );
            assert!(planned.said.contains("run 3 checks"), "{}", planned.said);
        }
    }
}

#[test]
fn a_run_that_starts_a_moment_later_is_found_too() {
    let branch = Branch::new();
    let runs = vec![branch.run("push", None), branch.run("pull_request", None)];
    let planned = branch.planned("feature", &branch.pull("acme/shop"), runs);
    assert_eq!(planned.jobs, [""; 0], "{}", planned.said);
}

#[test]
fn every_other_push_is_checked() {
    let branch = Branch::new();
    let none = json!([]);
    let cancelled = branch.run("pull_request", Some("cancelled"));
    for (why, pulls, run) in [
        ("no pull request", &none, branch.run("push", None)),
        (
            "a fork's branch of that name",
            &branch.pull("mallory/shop"),
            branch.run("push", None),
        ),
        ("a cancelled run", &none, cancelled),
        (
            "another event",
            &none,
            branch.run("pull_request_target", None),
        ),
    ] {
        let planned = branch.planned("feature", pulls, vec![run]);
        assert!(
            planned.has("unit") && planned.has("image"),
            "{why}: {}",
            planned.said
        );
    }
}

#[test]
fn the_branch_of_an_environment_is_checked_by_its_own_run() {
    let branch = Branch::new();
    let run = branch.run("pull_request", Some("success"));
    let planned = branch.planned("staging", &branch.pull("acme/shop"), vec![run]);
    assert!(
        planned.has("unit") && planned.has("notify"),
        "{}",
        planned.said
    );
}
