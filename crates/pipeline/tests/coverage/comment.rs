//! `cargo pipeline comment`: the comment on a pull request, and the status of a push.

use crate::common::{failed, succeeded};
use crate::forge::{BASE, Forge, HEAD, MERGED, OLDER, OLDEST, pull};
use crate::project::{MARKER, Project};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_pull_request_has_one_comment_which_is_updated() {
    for forge in [Forge::github(), Forge::gitea()] {
        let project = Project::new();
        // There are more than one page, and two that only look like ours.
        for number in 0..60 {
            forge.add_comment("ada", &format!("comment {number}"));
        }
        forge.add_comment("mallory", &format!("{MARKER}\nnot yours"));
        forge.add_comment(forge.login, &format!("A quotation: {MARKER}"));
        let before = forge.comments();

        project.measure(931, 910);
        succeeded(&project.pull_request(&forge, &[]));
        let first = forge.comments();
        assert_eq!(first.len(), before.len() + 1);
        let ours = first.last().unwrap();
        for part in [
            MARKER,
            "## Coverage",
            "| `parcel`   |  93.1 % |",
            "| `pipeline` |  91.0 % |",
            "at aaaaaaa; the base branch has no coverage to compare with",
        ] {
            assert!(ours.contains(part), "{part} is not in {ours}");
        }

        // A second run changes nothing.
        succeeded(&project.pull_request(&forge, &[]));
        assert_eq!(forge.changes(), ["POST /issues/7/comments"]);

        project.measure(955, 910);
        succeeded(&project.pull_request(&forge, &[]));
        let second = forge.comments();
        assert_eq!(second.len(), first.len());
        assert!(second.last().unwrap().contains("95.5 %"), "{second:?}");
        assert_eq!(second[..before.len()], before);
        assert_eq!(forge.changes().len(), 2);
    }
}

#[test]
fn the_account_of_a_separate_token_must_be_named() {
    let project = Project::new();
    project.measure(1000, 1000);
    let mut forge = Forge::start("", "commentator");
    forge.settings = vec![("COMMENT_TOKEN", "s3cret")];
    let said = failed(&project.pull_request(&forge, &[]));
    assert!(
        said.contains("COMMENT_AUTHOR must name the account of the token"),
        "{said}"
    );
    assert_eq!(forge.changes(), [""; 0]);

    forge.settings.push(("COMMENT_AUTHOR", "commentator"));
    succeeded(&project.pull_request(&forge, &[]));
    succeeded(&project.pull_request(&forge, &[]));
    forge.comment();
}

#[test]
fn a_pull_request_is_compared_with_the_status_of_a_push() {
    let forge = Forge::gitea();
    let project = Project::new();
    project.measure(920, 915);
    succeeded(&project.comment(&forge, "push", &json!({}), &[]));
    let status = forge.remember(|memory| memory.statuses[&project.head()][0].clone());
    assert_eq!(status["context"], "coverage");
    assert_eq!(status["state"], "success");
    let description = "parcel 92.0 %, lab 0.0 %, pipeline 91.5 %";
    assert_eq!(status["description"], description);

    // The base's tip has only other statuses; the newest of the commit before counts.
    forge.add_status(BASE, "ci / lint", "parcel 1.0 %");
    forge.add_status(OLDER, "coverage", "parcel 1.0 %");
    forge.add_status(OLDER, "coverage", description);
    forge.add_status(OLDEST, "coverage", "parcel 2.0 %");
    project.measure(931, 904);
    succeeded(&project.pull_request(&forge, &[]));
    let comment = forge.comment();
    for part in [
        "| Package    | Covered |   Base | Change |",
        "| `parcel`   |  93.1 % | 92.0 % |   +1.1 |",
        "| `pipeline` |  90.4 % | 91.5 % |   -1.1 |",
        "compared with ccccccc.",
    ] {
        assert!(comment.contains(part), "{part} is not in {comment}");
    }
}

/// The merge of a pull request is not measured again, and a change need not affect every package.
#[test]
fn each_package_is_compared_with_its_newest_measurement() {
    let forge = Forge::github();
    let project = Project::new();
    forge.remember(|memory| memory.merged.push((OLDER, MERGED)));
    forge.add_status(MERGED, "coverage", "parcel 92.0 %");
    forge.add_status(OLDEST, "coverage", "parcel 1.0 %, pipeline 91.5 %");
    project.measure(931, 904);
    succeeded(&project.pull_request(&forge, &[]));
    let comment = forge.comment();
    for part in [
        "| `parcel`   |  93.1 % |  92.0 % |   +1.1 |",
        "| `pipeline` |  90.4 % |  91.5 % |   -1.1 |",
        "compared with eeeeeee.",
    ] {
        assert!(comment.contains(part), "{part} is not in {comment}");
    }
}

#[test]
fn a_push_below_the_floor_sets_a_failure() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(899, 1000);
    succeeded(&project.comment(&forge, "push", &json!({}), &[]));
    let status = forge.remember(|memory| memory.statuses[&project.head()][0].clone());
    assert_eq!(status["state"], "failure");
}

#[test]
fn a_status_in_another_format_is_ignored() {
    let forge = Forge::github();
    let project = Project::new();
    for description in [
        "",
        "parcel",
        "parcel 100.1 %",
        "parcel 1.23 %",
        "parcel -1.0 %",
        "<b> 1.0 %",
        "parcel 99999999999999999999.0 %",
        "parcel 1.0 % and [more](https://example.org)",
    ] {
        forge.remember(|memory| memory.statuses.clear());
        forge.add_status(BASE, "coverage", description);
        project.measure(1000, 1000);
        succeeded(&project.pull_request(&forge, &[]));
        let comment = forge.comment();
        assert!(
            comment.contains("no coverage to compare with"),
            "{description}: {comment}"
        );
    }
}

#[test]
fn the_pull_requests_files_are_listed_with_the_largest_drop_first() {
    let forge = Forge::github();
    let project = Project::new();
    let report = |app: usize, main: usize| {
        [
            project.file("src/app.rs", app, 100),
            project.file("src/main.rs", main, 100),
            project.file("crates/pipeline/src/main.rs", 50, 100),
            project.file("crates/pipeline/src/tags.rs", 100, 100),
            project.file("crates/lab/src/main.rs", 1, 100),
        ]
        .concat()
    };
    project.coverage(&report(98, 95));
    let base = project.path("base.json");
    fs::copy(project.path("clone/target/coverage/coverage.json"), &base).unwrap();
    project.coverage(&report(90, 80));
    for file in [
        "crates/pipeline/src/main.rs",
        "crates/pipeline/src/tags.rs",
        "src/app.rs",
        "src/main.rs",
        "README.md",
        "src/new`|<b>.rs",
    ] {
        forge.remember(|memory| memory.files.push(json!({"filename": file})));
    }
    let base = base.display().to_string();
    succeeded(&project.pull_request(&forge, &["--base", &base]));
    let comment = forge.comment();
    let expected = "\
| File                          | Covered |   Base | Change |   Missing |
|:------------------------------|--------:|-------:|-------:|----------:|
| `src/main.rs`                 |  80.0 % | 95.0 % |  -15.0 | 20 of 100 |
| `src/app.rs`                  |  90.0 % | 98.0 % |   -8.0 | 10 of 100 |
| `crates/pipeline/src/main.rs` |  50.0 % | 50.0 % |    0.0 | 50 of 100 |

";
    assert!(comment.contains(expected), "{comment}");
    assert!(
        comment.contains(&format!("compared with {}", &project.head()[..7])),
        "{comment}"
    );

    // Without the base, the files with the most missing lines come first.
    succeeded(&project.pull_request(&forge, &[]));
    let comment = forge.comment();
    let list = "| File                          | Covered |   Missing |\n|:";
    assert!(comment.contains(list), "{comment}");
    let place = |file: &str| comment.find(file).unwrap();
    assert!(
        place("`crates/pipeline/src/main.rs`") < place("`src/main.rs`"),
        "{comment}"
    );
    assert!(place("`src/main.rs`") < place("`src/app.rs`"), "{comment}");
    assert!(!comment.contains("crates/lab/src/main.rs"), "{comment}");
}

#[test]
fn a_workflow_run_comments_on_the_pull_request_it_measured() {
    let run = |event: &str, repository: Value| {
        json!({"workflow_run": {
            "event": event, "head_sha": HEAD, "head_repository": {"full_name": repository},
            // Ignored: they name only branches of the base repository, and are empty for a fork.
            "pull_requests": [{"number": 9}],
        }})
    };
    let forge = Forge::github();
    forge.remember(|memory| {
        memory.pulls = (100..160)
            .map(|number| pull(number, OLDER, "fork/body"))
            .collect();
        memory.pulls.push(pull(9, HEAD, "other/body"));
        memory.pulls.push(pull(8, HEAD, "fork/body"));
    });
    let project = Project::new();
    project.measure(1000, 1000);
    // The run belongs to another commit than this checkout.
    project.commit("src/app.rs", "fn later() {}\n");
    let payload = run("pull_request", json!("fork/body"));
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    let status = format!("POST /statuses/{HEAD}");
    assert_eq!(forge.changes(), ["POST /issues/8/comments", &status]);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    assert_eq!(forge.changes().len(), 2);

    for payload in [
        run("push", json!("fork/body")),
        run("pull_request", json!("third/body")),
    ] {
        let said = succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
        assert!(said.contains("no open pull request"), "{said}");
    }
    assert_eq!(forge.changes().len(), 2);

    // Gitea does not name the repository of the head, and has another event for an updated pull request.
    let forge = Forge::gitea();
    forge.remember(|memory| memory.pulls.push(pull(8, OLDER, "fork/body")));
    let payload = run("pull_request_sync", Value::Null);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    assert_eq!(forge.changes(), ["POST /issues/7/comments", &status]);
}

#[test]
fn a_pull_request_that_moved_on_is_left_to_its_newer_run() {
    let forge = Forge::github();
    forge.remember(|memory| memory.pulls = vec![pull(7, OLDER, "some/body")]);
    let project = Project::new();
    project.measure(1000, 1000);
    let said = succeeded(&project.pull_request(&forge, &[]));
    assert!(said.contains("pull request 7 has newer commits"), "{said}");
    assert_eq!(forge.changes(), [""; 0]);
}

#[test]
fn an_invalid_report_does_not_reach_the_forge() {
    let lines = r#"{"covered": 1, "total": 2}"#;
    let with = |file: &str, lines: &str| {
        let file = Value::from(file);
        format!(r#"{{"commit": "{HEAD}", "measured": [], "files": {{{file}: {lines}}}}}"#)
    };
    let mut hostile = vec![
        "not JSON".to_owned(),
        "[]".to_owned(),
        format!(r#"{{"commit": "{HEAD}", "measured": []}}"#),
        format!(r#"{{"commit": "{HEAD}", "files": {{}}}}"#),
        format!(r#"{{"commit": "{HEAD}", "measured": [], "files": []}}"#),
        format!(r#"{{"commit": "{HEAD}", "measured": ["<script>"], "files": {{}}}}"#),
        format!(r#"{{"commit": "HEAD", "measured": [], "files": {{"src/app.rs": {lines}}}}}"#),
        format!(
            r#"{{"commit": "{HEAD}", "measured": [], "files": {{}}, "pad": "{}"}}"#,
            "x".repeat(1_000_000)
        ),
    ];
    for file in [
        "",
        "src/`</td><script>.rs",
        "src/[a](https://example.org).rs",
        "src/@everybody.rs",
        "src/a\n::set-output.rs",
        "src/ä.rs",
        &"a".repeat(201),
    ] {
        hostile.push(with(file, lines));
    }
    for lines in [
        "1",
        r#"{"covered": 3, "total": 2}"#,
        r#"{"covered": -1, "total": 2}"#,
        r#"{"covered": 0.5, "total": 2}"#,
        r#"{"covered": "1", "total": 2}"#,
        r#"{"covered": 1}"#,
        r#"{"covered": 1, "total": 18446744073709551615}"#,
    ] {
        hostile.push(with("src/app.rs", lines));
    }
    let forge = Forge::github();
    let project = Project::new();
    let run = json!({"event": "pull_request", "head_sha": HEAD});
    let payload = json!({"workflow_run": run});
    for text in hostile {
        project.set_figures(&text);
        let words = ["--optional"];
        let output = project.comment(&forge, "workflow_run", &payload, &words);
        let said = failed(&output);
        assert!(
            said.contains("cannot use") && said.contains("as coverage figures"),
            "{said}"
        );
        assert!(!said.contains("<script>"), "{said}");
    }
    assert_eq!(forge.remember(|memory| memory.requests.clone()), [""; 0]);
    // Known fields are used, others are ignored.
    let more = format!(
        r#"{{"commit": "{HEAD}", "measured": ["parcel"], "files": {{"src/app.rs": {lines}}}, "packages": {{"<script>": 1}}, "body": "<b>"}}"#
    );
    project.set_figures(&more);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    let comment = forge.comment();
    assert!(
        comment.contains("50.0 %") && !comment.contains("<script>"),
        "{comment}"
    );
    assert!(!comment.contains("<b>"), "{comment}");
}

#[test]
fn a_report_of_another_commit_is_refused() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(1000, 1000);
    project.commit("src/app.rs", "fn later() {}\n");
    for event in ["push", "pull_request"] {
        let said = failed(&project.comment(&forge, event, &json!({}), &["--optional"]));
        assert!(
            said.contains("run `cargo pipeline coverage` first"),
            "{said}"
        );
    }
    assert_eq!(forge.changes(), [""; 0]);
}

#[test]
fn a_token_that_may_not_write_is_an_error_unless_that_was_expected() {
    let mut forge = Forge::github();
    forge.remember(|memory| memory.refuses = true);
    let project = Project::new();
    project.measure(931, 1000);
    let refused = "answered 403: Resource not accessible by integration";
    let output = project.pull_request(&forge, &[]);
    assert!(failed(&output).contains(refused));
    assert!(String::from_utf8_lossy(&output.stdout).contains("93.1 %"));

    forge.settings = vec![("GITHUB_ACTIONS", "true")];
    let said = succeeded(&project.pull_request(&forge, &["--optional"]));
    assert!(said.contains("93.1 %") && said.contains(refused), "{said}");
    assert!(
        said.contains("::notice::the coverage was not reported"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");

    forge.settings = vec![("GITHUB_TOKEN", "")];
    let said = failed(&project.pull_request(&forge, &[]));
    assert!(
        said.contains("neither COMMENT_TOKEN nor GITHUB_TOKEN is set"),
        "{said}"
    );
    succeeded(&project.pull_request(&forge, &["--optional"]));
}

#[test]
fn an_event_without_a_pull_request_is_an_error() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(1000, 1000);
    for (event, reason) in [
        (
            "schedule",
            "the event `schedule` has no commit or pull request",
        ),
        ("pull_request_target", "has no commit or pull request"),
        ("pull_request", "does not name its pull request"),
    ] {
        let said = failed(&project.comment(&forge, event, &json!({}), &[]));
        assert!(said.contains(reason), "{event}: {said}");
    }
    let run = json!({"event": "pull_request", "head_sha": "x"});
    let said = failed(&project.comment(&forge, "workflow_run", &json!({"workflow_run": run}), &[]));
    assert!(
        said.contains("does not name the commit that was measured"),
        "{said}"
    );
}
