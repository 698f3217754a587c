//! `cargo pipeline audit`, from outside, with a forge that has one merged pull request.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{commit, failed, git, succeeded};
use project::{Project, STAGING, digest, values};
use serde_json::{Value, json};
use std::process::Command;

const HOLD: &str = "hold:\n  reason: errors\n  by: eve\n  since: \"2026-01-02\"\n";

/// A project whose staging was promoted by the pull request 7, and then put on hold; and that merge.
fn promoted() -> (Project, String) {
    let project = Project::new();
    let clone = project.clone();
    git(&clone, &["fetch", "--quiet", "origin"]);
    git(
        &clone,
        &["checkout", "--quiet", "-B", "staging", "origin/staging"],
    );
    git(&clone, &["checkout", "--quiet", "-b", "proposal"]);
    commit(&clone, STAGING, &values("develop-1", &digest(1), ""));
    git(&clone, &["checkout", "--quiet", "staging"]);
    let message = "Merge pull request #7 from proposal (closes #6)";
    git(
        &clone,
        &["merge", "--quiet", "--no-ff", "-m", message, "proposal"],
    );
    let merge = git(&clone, &["rev-parse", "HEAD"]);
    git(&clone, &["push", "--quiet", "origin", "staging"]);
    project.change_on("staging", STAGING, &values("develop-1", &digest(1), HOLD));
    git(&clone, &["fetch", "--quiet", "origin"]);
    (project, merge)
}

/// A forge where `merge` is the merge of the pull request 7. The pull request 6 was merged elsewhere.
fn forge(merge: &str) -> String {
    let merge = merge.to_owned();
    testkit::server::serve(move |request| {
        let end = |branch: &str| json!({"ref": branch, "sha": merge, "repo": null});
        let pull = |number: u64, merge: &str| {
            json!({
                "number": number, "state": "closed", "title": "Promote\u{1b}[2K develop-1", "merged": true,
                "head": end("proposal"), "base": end("staging"), "merge_commit_sha": merge,
                "merged_by": {"login": "carl"}, "merged_at": "2026-01-02T10:00:00Z",
            })
        };
        let review = |login: &str, state: &str| json!({"user": {"login": login}, "state": state, "submitted_at": "2026-01-02T09:00:00Z"});
        let path = request.target().split('?').next().unwrap().to_owned();
        let (status, body) = match path.rsplit("/pulls/").next().unwrap() {
            "6" => (200, pull(6, "0000000000000000000000000000000000000000")),
            "7" => (200, pull(7, &merge)),
            "7/reviews" => (
                200,
                json!([
                    review("ann", "APPROVED"),
                    review("dan", "CHANGES_REQUESTED")
                ]),
            ),
            _ => (404, json!({"message": "Not Found"})),
        };
        (status, body.to_string())
    })
}

fn audit(project: &Project, merge: &str, arguments: &[&str]) -> Command {
    let mut command = project.command(&[&["audit", "--env", "staging"], arguments].concat());
    command.env("GITHUB_API_URL", forge(merge));
    command
}

#[test]
fn changes_approvals_and_syncs_are_in_one_list() {
    let (project, merge) = promoted();
    let applications = project.folder.path().join("applications.json");
    let history = json!([
        {"id": 0, "revision": merge, "deployedAt": "2026-01-02T11:00:00Z", "initiatedBy": {"username": "alice"}},
        {"id": 1, "revision": merge, "deployedAt": "2026-01-02T12:00:00Z", "initiatedBy": {"automated": true}},
    ]);
    let list = json!({"items": [
        {"metadata": {"name": "waybill-staging"}, "status": {"history": history}},
        {"metadata": {"name": "waybill-dev"}, "status": {"history": history}},
        {"metadata": {"name": "new"}},
    ]});
    std::fs::write(&applications, list.to_string()).unwrap();
    let file = applications.to_str().unwrap();

    let said = succeeded(
        &audit(&project, &merge, &["--argocd", file, "--json"])
            .output()
            .unwrap(),
    );
    let events: Vec<Value> = serde_json::from_str(&said).unwrap();
    let found: Vec<[&str; 3]> = events
        .iter()
        .map(|event| ["environment", "action", "who"].map(|key| event[key].as_str().unwrap()))
        .collect();
    for expected in [
        ["staging", "approved", "ann"],
        ["staging", "merged", "carl"],
        ["staging", "synced", "alice"],
        ["staging", "synced", "Argo CD"],
    ] {
        assert_eq!(
            found.iter().filter(|row| **row == expected).count(),
            1,
            "{found:?}"
        );
    }
    let actions = |name: &str| found.iter().filter(|row| row[1] == name).count();
    assert_eq!([actions("deployed"), actions("held")], [1, 1], "{found:?}");
    assert_eq!(found.len(), 6, "{found:?}");
    let times: Vec<&str> = events
        .iter()
        .map(|event| event["time"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_commit_without_a_valid_date_is_listed() {
    let (project, merge) = promoted();
    let clone = project.clone();
    for (number, date, expected) in [
        (2, " 1767225600 +51800", Some("2026-01-01T00:00:00Z")),
        (3, " 1767225600 +9999", Some("2026-01-01T00:00:00Z")),
        (4, " 1767225600 -1", Some("2026-01-01T00:00:00Z")),
        (5, " 99999999999999999999999 +0000", None),
        (6, "", None),
    ] {
        project.change_on(
            "staging",
            STAGING,
            &values(&format!("develop-{number}"), &digest(number), HOLD),
        );
        let commit = git(&clone, &["cat-file", "commit", "HEAD"]);
        let dated = |line: &str| match line.split_once("> ") {
            Some((person, _)) => format!("{person}>{date}\n"),
            None => format!("{line}\n"),
        };
        let raw: String = commit.lines().map(dated).collect();
        let file = clone.join(".git/raw");
        std::fs::write(&file, raw).unwrap();
        let store = [
            "hash-object",
            "-t",
            "commit",
            "-w",
            "--literally",
            file.to_str().unwrap(),
        ];
        let commit = git(&clone, &store);
        git(
            &clone,
            &["update-ref", "refs/remotes/origin/staging", &commit],
        );
        let said = succeeded(&audit(&project, &merge, &["--json"]).output().unwrap());
        let events: Vec<Value> = serde_json::from_str(&said).unwrap();
        let what = format!("develop-{number} {}", digest(number));
        let event = events.iter().find(|event| event["what"] == *what);
        assert_eq!(event.unwrap()["time"].as_str(), expected, "{date}");
        let table = succeeded(&audit(&project, &merge, &[]).output().unwrap());
        assert!(table.contains(&what), "{date}: {table}");
    }
}

#[test]
fn the_table_shows_no_control_characters_of_others() {
    let (project, merge) = promoted();
    let said = succeeded(&audit(&project, &merge, &[]).output().unwrap());
    assert!(
        said.contains("approved") && said.contains("#7 Promote [2K develop-1"),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn the_newest_changes_are_listed_and_a_missing_forge_is_named() {
    let (project, merge) = promoted();
    let output = audit(&project, &merge, &["--limit", "1"])
        .env("GITHUB_REPOSITORY", "")
        .output()
        .unwrap();
    let said = succeeded(&output);
    let rows: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("  staging  "))
        .collect();
    assert_eq!(rows.len(), 1, "{said}");
    assert!(
        rows[0].contains("held") && rows[0].contains("errors"),
        "{said}"
    );
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("approvals and merges are not listed"),
        "{note}"
    );
}

#[test]
fn a_file_that_is_no_list_of_applications_is_refused() {
    let (project, merge) = promoted();
    let file = project.clone().join("delivery.toml");
    let file = file.to_str().unwrap();
    let said = failed(
        &audit(&project, &merge, &["--argocd", file])
            .output()
            .unwrap(),
    );
    assert!(said.contains("kubectl get applications -o json"), "{said}");
}
