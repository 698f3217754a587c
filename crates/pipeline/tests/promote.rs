//! `cargo pipeline promote` from outside, on real repositories and with a forge that keeps pull requests in memory. The
//! scenario `promotion` uses a real one.

mod common;
#[path = "common/project.rs"]
mod project;

use common::{DELIVERY, failed, succeeded};
use project::{DEV, NONE, PROD, Project, QA, STAGING, digest, pull, values};

/// The text of a delivery.toml with an environment `qa` between staging and prod.
fn with_qa() -> String {
    let qa = "[[environment]]\nname = \"qa\"\nbranch = \"qa\"\npromotion = \"pull-request\"\nsync = \"automatic\"\napprovals = 1\n\n";
    let prod = "[[environment]]\nname = \"prod\"";
    assert!(DELIVERY.contains(prod));
    DELIVERY.replace(prod, &format!("{qa}{prod}"))
}

#[test]
fn staging_is_offered_what_dev_runs_and_nothing_else() {
    let project = Project::new();
    let before = project.branches();

    succeeded(&project.promote(&["--to", "staging"]));

    let [request] = &project.changed()[..] else {
        panic!("one pull request")
    };
    let asked = request.json();
    assert_eq!(request.target(), "/repos/some/body/pulls");
    assert_eq!(asked["head"], "promote/staging");
    assert_eq!(asked["base"], "staging");
    assert_eq!(asked["title"], "Promote develop-1 to staging");
    let body = asked["body"].as_str().unwrap();
    for text in [digest(1).as_str(), &project.built, "Change src/main.rs"] {
        assert!(body.contains(text), "{text}: {body}");
    }

    // The tip of staging, a merge of develop, and the image's two values.
    let shown = project.read(&["show", &format!("promote/staging:{STAGING}")]);
    assert_eq!(shown + "\n", values("develop-1", &digest(1), ""));
    let differs = project.read(&["diff", "--name-only", "develop", "promote/staging"]);
    assert_eq!(differs, STAGING);
    let line = project.read(&[
        "log",
        "--first-parent",
        "--format=%s",
        "staging..promote/staging",
    ]);
    let develop = project.read(&["rev-parse", "--short=7", "develop"]);
    assert_eq!(
        line,
        format!("chore(deploy): staging develop-1\nMerge develop ({develop}) into staging")
    );
    let message = project.read(&["log", "-1", "--format=%B", "promote/staging"]);
    assert!(
        message.contains(&format!("Argocd-reference-commit-sha: {}", project.built)),
        "{message}"
    );
    // No other branch has moved.
    let after = project.branches();
    let others: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with("promote/"))
        .collect();
    assert_eq!(others.join("\n"), before);
}

#[test]
fn an_open_proposal_moves_only_when_asked() {
    let mut project = Project::new();
    succeeded(&project.promote(&["--to", "staging"]));
    let proposed = project.read(&["rev-parse", "promote/staging"]);
    project.changed();

    // Again, and after dev has moved on.
    let said = succeeded(&project.promote(&["--to", "staging"]));
    assert!(
        said.contains("pull request 7 is open and proposes develop-1"),
        "{said}"
    );
    assert!(!said.contains("--refresh"), "{said}");
    project.built = project.change("src/main.rs", "two");
    project.change(DEV, &values("develop-2", &digest(2), ""));
    let said = succeeded(&project.promote(&["--to", "staging"]));
    assert!(said.contains("`--refresh` makes it develop-2"), "{said}");
    assert_eq!(project.read(&["rev-parse", "promote/staging"]), proposed);
    assert!(project.changed().is_empty());

    succeeded(&project.promote(&["--to", "staging", "--refresh"]));
    let shown = project.read(&["show", &format!("promote/staging:{STAGING}")]);
    assert_eq!(shown + "\n", values("develop-2", &digest(2), ""));
    let [request] = &project.changed()[..] else {
        panic!("one change")
    };
    assert_eq!(
        (request.method(), request.target()),
        ("PATCH", "/repos/some/body/pulls/7")
    );
    assert_eq!(request.json()["title"], "Promote develop-2 to staging");
}

#[test]
fn a_forks_branch_of_the_same_name_is_not_ours() {
    let project = Project::new();
    let theirs = pull(3, "promote/staging", "staging", "some/fork");
    project.pulls.lock().unwrap().push(theirs);
    succeeded(&project.promote(&["--to", "staging", "--refresh"]));
    let changed = project.changed();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].method(), "POST");
}

#[test]
fn what_is_there_already_is_not_proposed() {
    let project = Project::new();
    project.merged_to("staging");
    project.pulls.lock().unwrap().clear();
    project.changed();
    let said = succeeded(&project.promote(&["--to", "staging"]));
    assert!(said.contains("staging already has develop-1"), "{said}");
    assert!(project.changed().is_empty());
}

#[test]
fn a_dry_run_shows_it_and_changes_nothing() {
    let project = Project::new();
    let before = project.branches();
    let said = succeeded(&project.promote(&["--to", "staging", "--dry-run"]));
    assert!(
        said.contains("Promote develop-1 to staging") && said.contains(&digest(1)),
        "{said}"
    );
    assert_eq!(project.branches(), before);
    assert!(
        project.seen.lock().unwrap().is_empty(),
        "the forge was asked"
    );
}

#[test]
fn a_hold_is_kept_and_no_failure() {
    let project = Project::new();
    let hold = "hold:\n  reason: fair\n  by: ann\n  since: 2026-11-26\n";
    project.change_on("staging", STAGING, &values("unreleased", NONE, hold));
    let before = project.branches();
    let output = project.promote(&["--to", "staging"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("fair (by ann, since 2026-11-26)"), "{said}");
    assert_eq!(project.branches(), before);
}

#[test]
fn subjects_of_others_have_no_effect_in_a_pull_request_and_its_commits() {
    let mut project = Project::new();
    let subject = "Fixes #12, thanks @ann <img src=x> **b** [skip ci] see https://example.org/a_b";
    project.built = project.change_with("src/main.rs", "two", subject);
    project.change_with("src/lib.rs", "x", &"closes #13 @bob ".repeat(4500));
    project.change(DEV, &values("develop-2", &digest(2), ""));
    succeeded(&project.promote(&["--to", "staging"]));
    let asked = project.changed()[0].json();
    let body = asked["body"].as_str().unwrap();
    let message = project.read(&["log", "-1", "--format=%B", "promote/staging"]);
    for text in ["@ann", "@bob", "Fixes #12", "closes #13", "[skip ci]"] {
        assert!(!body.contains(text), "{text}: {body}");
        assert!(!message.contains(text), "{text}: {message}");
    }
    for markup in [" <img", " **b", "`b`"] {
        assert!(!body.contains(markup), "{markup}: {body}");
    }
    assert!(body.contains(" <https://example.org/a_b>\n"), "{body}");
    assert!(body.len() < 2000, "{}", body.len());
    assert!(message.len() < 2000, "{}", message.len());
}

#[test]
fn a_subject_that_is_not_utf_8_is_listed() {
    let project = Project::new();
    project.change("src/lib.rs", "x");
    let clone = project.clone();
    let id = common::with_message(&clone, b"caf\xe9 bar\n");
    let target = format!("{id}:refs/heads/develop");
    common::git(&clone, &["push", "--quiet", "--force", "origin", &target]);
    succeeded(&project.promote(&["--to", "staging"]));
    let asked = project.changed()[0].json();
    let body = asked["body"].as_str().unwrap();
    assert!(body.contains("caf\u{fffd} bar"), "{body}");
}

/// It fails for a reason, and changes nothing.
fn refused(project: &Project, arguments: &[&str], reason: &str) {
    let branches = project.branches();
    let said = failed(&project.promote(arguments));
    assert!(said.contains(reason), "{arguments:?}: {said}");
    assert_eq!(project.branches(), branches, "{reason}");
    assert!(project.changed().is_empty(), "{reason}");
}

#[test]
fn arguments_that_make_no_sense_change_nothing() {
    let project = Project::new();
    for (arguments, reason) in [
        (
            &["--to", "dev"][..],
            "dev gets each build of develop without a promotion",
        ),
        (&["--to", "prod"], "add `--version vX.Y.Z`"),
        (
            &["--to", "production"],
            "no environment `production` in delivery.toml; it has dev, staging, prod",
        ),
        (&["--version", "v1.0.0-rc.1"], "is a prerelease"),
        (&[], "--to <NAME>"),
        (
            &["--to", "staging", "--version", "v1.0.0"],
            "`--version` is only for prod",
        ),
        (
            &["--to", "prod", "--version", "1.0"],
            "is not a release tag",
        ),
    ] {
        refused(&project, arguments, reason);
    }
}

#[test]
fn before_the_first_image_there_is_nothing_to_promote() {
    let project = Project::new();
    project.change(DEV, &values("unreleased", NONE, ""));
    refused(
        &project,
        &["--to", "staging"],
        "dev has no image at develop",
    );
}

#[test]
fn an_image_of_a_commit_that_is_not_merged_there_is_refused() {
    let mut project = Project::new();
    project.built = project.change_on("staging", "src/lib.rs", "x");
    refused(&project, &["--to", "staging"], "is not part of develop");
}

#[test]
fn a_conflict_names_the_files() {
    let project = Project::new();
    project.change(STAGING, &values("unreleased", NONE, "a: 1\n"));
    project.change_on("staging", STAGING, &values("unreleased", NONE, "a: 2\n"));
    refused(&project, &["--to", "staging"], STAGING);
}

#[test]
fn an_unsigned_image_is_not_proposed() {
    let project = Project::new();
    let before = project.branches();
    let said = failed(&project.promote_unless_unsigned(&["--to", "staging"], &digest(1)));
    assert!(said.contains("no signature that is trusted here"), "{said}");
    assert_eq!(project.branches(), before);
}

#[test]
fn prod_is_offered_what_a_version_on_staging_names() {
    let project = Project::new();
    project.merged_to("staging");
    project.read(&["tag", "v1.2.0", "staging"]);
    project.read(&["tag", "v1.3.0-rc.1", "staging"]);
    let elsewhere = project.change("src/main.rs", "two");
    project.read(&["tag", "v9.9.9", &elsewhere]);
    // What comes after the tag isn't in it.
    project.change_on("staging", STAGING, &values("develop-9", &digest(9), ""));
    project.changed();

    for (version, reason) in [
        ("v9.9.9", "is not on staging"),
        ("v1.3.0-rc.1", "is a prerelease"),
    ] {
        let said = failed(&project.promote(&["--to", "prod", "--version", version]));
        assert!(said.contains(reason), "{version}: {said}");
    }
    assert!(project.changed().is_empty());

    succeeded(&project.promote(&["--to", "prod", "--version", "v1.2.0"]));
    let shown = project.read(&["show", &format!("release/v1.2.0:{PROD}")]);
    assert_eq!(shown + "\n", values("v1.2.0", &digest(1), ""));
    let [request] = &project.changed()[..] else {
        panic!("one pull request")
    };
    assert_eq!(request.json()["head"], "release/v1.2.0");
    assert_eq!(request.json()["base"], "main");
}

#[test]
fn a_version_goes_to_the_last_environment_by_default() {
    let project = Project::new();
    project.merged_to("staging");
    project.read(&["tag", "v1.2.0", "staging"]);
    project.changed();
    let said = succeeded(&project.promote(&["--version", "v1.2.0"]));
    assert!(said.contains("pull request 7 gives prod v1.2.0"), "{said}");
    assert_eq!(project.changed()[0].json()["base"], "main");
}

/// An entry in delivery.toml, a branch and a values file are all that another environment needs.
#[test]
fn another_environment_needs_only_an_entry() {
    let project = Project::with(&with_qa());
    project.merged_to("staging");
    project.read(&["tag", "v1.1.0", "staging"]);
    project.changed();

    refused(&project, &["--version", "v1.1.0"], "is not on qa");

    project.merged_to("qa");
    let [request] = &project.changed()[..] else {
        panic!("one pull request")
    };
    assert_eq!(request.json()["head"], "promote/qa");
    assert_eq!(request.json()["base"], "qa");
    assert_eq!(request.json()["title"], "Promote develop-1 to qa");
    let body = request.json()["body"].to_string();
    assert!(body.contains("`develop-1`, which staging runs, goes to qa"));
    assert!(body.contains("Argo CD deploys it to qa"), "{body}");
    let shown = project.read(&["show", &format!("qa:{QA}")]);
    assert_eq!(shown + "\n", values("develop-1", &digest(1), ""));

    project.read(&["tag", "v1.2.0", "qa"]);
    succeeded(&project.promote(&["--version", "v1.2.0"]));
    let shown = project.read(&["show", &format!("release/v1.2.0:{PROD}")]);
    assert_eq!(shown + "\n", values("v1.2.0", &digest(1), ""));
    assert_eq!(project.changed()[0].json()["base"], "main");
}
