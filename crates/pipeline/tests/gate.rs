//! `cargo pipeline verify --changed` from outside: which changes of images pass. The repositories are real, and the
//! stand-in for cosign signs everything that a test does not exclude.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{failed, git, succeeded};
use project::{DEV, NONE, PROD, Project, STAGING, digest, values};
use std::process::{Command, Output};

const HOLD: &str = "hold:\n  reason: fair\n  by: ann\n  since: 2026-11-26\n";

/// The command in the clone at a commit of the forge.
fn at(project: &Project, commit: &str) -> Command {
    let clone = project.clone();
    git(&clone, &["fetch", "--quiet", "origin"]);
    git(&clone, &["checkout", "--quiet", "--detach", commit]);
    project.command(&["verify", "--changed"])
}

/// Of a pull request to a branch.
fn request(project: &Project, head: &str, base: &str) -> Output {
    as_request(&mut at(project, head), head, base)
}

fn as_request(command: &mut Command, head: &str, base: &str) -> Output {
    command
        .env("GITHUB_EVENT_NAME", "pull_request")
        .env("GITHUB_REF", "refs/pull/7/merge")
        .env("GITHUB_SHA", head)
        .env("GITHUB_BASE_REF", base)
        .output()
        .unwrap()
}

/// Of a push to a branch that had `before`.
fn push(project: &Project, branch: &str, before: &str) -> Output {
    let head = project.read(&["rev-parse", branch]);
    let event = project.folder.path().join("event.json");
    let payload = serde_json::json!({ "before": before });
    std::fs::write(&event, payload.to_string()).unwrap();
    at(project, &head)
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_REF", format!("refs/heads/{branch}"))
        .env("GITHUB_SHA", head)
        .env("GITHUB_EVENT_PATH", event)
        .output()
        .unwrap()
}

/// A commit on a branch of its own that begins at another branch.
fn proposed(project: &Project, base: &str, file: &str, text: &str) -> String {
    project.read(&["branch", "--force", "topic", base]);
    project.change_on("topic", file, text)
}

#[test]
fn a_change_of_other_values_needs_no_image() {
    let project = Project::new();
    let head = proposed(
        &project,
        "develop",
        DEV,
        &values("develop-1", &digest(1), "a: 1\n"),
    );
    let said = succeeded(&as_request(
        at(&project, &head).env("PATH", "/usr/bin:/bin"),
        &head,
        "develop",
    ));
    assert!(said.contains("no environment gets another image"), "{said}");
}

#[test]
fn the_bots_write_back_passes() {
    let project = Project::new();
    let said = succeeded(&push(&project, "develop", &project.built));
    assert!(said.contains("dev gets develop-1"), "{said}");
}

#[test]
fn a_promotion_passes_before_and_after_its_merge() {
    let project = Project::new();
    let before = project.read(&["rev-parse", "staging"]);
    succeeded(&project.promote(&["--to", "staging"]));
    let head = project.read(&["rev-parse", "promote/staging"]);
    // Dev moves on while people review.
    project.change(DEV, &values("develop-2", &digest(2), ""));
    let said = succeeded(&request(&project, &head, "staging"));
    assert!(said.contains("staging gets develop-1"), "{said}");
    succeeded(&push(&project, "promote/staging", &"0".repeat(40)));
    project.read(&["update-ref", "refs/heads/staging", &head]);
    succeeded(&push(&project, "staging", &before));
}

#[test]
fn a_version_passes_to_the_last_environment() {
    let project = Project::new();
    project.merged_to("staging");
    project.read(&["tag", "v1.2.0", "staging"]);
    succeeded(&project.promote(&["--version", "v1.2.0"]));
    let head = project.read(&["rev-parse", "release/v1.2.0"]);
    let said = succeeded(&request(&project, &head, "main"));
    assert!(said.contains("prod gets v1.2.0"), "{said}");
    assert!(
        said.contains("staging has develop-1 as on staging"),
        "{said}"
    );
    succeeded(&push(&project, "release/v1.2.0", &"0".repeat(40)));
}

/// A project whose staging had one image of dev, and has the next.
fn promoted_twice() -> Project {
    let project = Project::new();
    project.merged_to("staging");
    project.change(DEV, &values("develop-2", &digest(2), ""));
    succeeded(&project.promote(&["--to", "staging", "--refresh"]));
    project.read(&[
        "update-ref",
        "refs/heads/staging",
        "refs/heads/promote/staging",
    ]);
    project
}

#[test]
fn a_rollback_and_a_hold_pass() {
    let project = promoted_twice();
    succeeded(
        &project
            .command(&["rollback", "--env", "staging"])
            .output()
            .unwrap(),
    );
    let head = project.read(&["rev-parse", "rollback/staging"]);
    let said = succeeded(&request(&project, &head, "staging"));
    assert!(said.contains("which staging had before"), "{said}");
    succeeded(&push(&project, "rollback/staging", &"0".repeat(40)));

    let before = project.read(&["rev-parse", "develop"]);
    succeeded(
        &project
            .command(&["rollback", "--env", "dev"])
            .output()
            .unwrap(),
    );
    let said = succeeded(&push(&project, "develop", &before));
    assert!(said.contains("which dev had before"), "{said}");
    let before = project.read(&["rev-parse", "develop"]);
    succeeded(
        &project
            .command(&["release-hold", "--env", "dev"])
            .output()
            .unwrap(),
    );
    let said = succeeded(&push(&project, "develop", &before));
    assert!(said.contains("no environment gets another image"), "{said}");
}

/// A pull request is refused for a reason.
fn refused(project: &Project, base: &str, file: &str, text: &str, reason: &str) {
    let head = proposed(project, base, file, text);
    let said = failed(&request(project, &head, base));
    assert!(said.contains(reason), "{said}");
    assert!(said.contains(file), "{said}");
}

#[test]
fn a_digest_edited_by_hand_is_refused() {
    let project = Project::new();
    project.merged_to("staging");
    for file in [STAGING, PROD] {
        let edited = values("develop-9", &digest(9), "");
        refused(
            &project,
            "staging",
            file,
            &edited,
            "may only get the image that",
        );
    }
    // The right digest under another tag misleads the reviewers.
    let project = Project::new();
    succeeded(&project.promote(&["--to", "staging"]));
    project.read(&["branch", "mine", "promote/staging"]);
    let edited = values("develop-9", &digest(1), "");
    refused(
        &project,
        "mine",
        STAGING,
        &edited,
        "run `cargo pipeline promote`",
    );
}

#[test]
fn an_image_without_a_trusted_signature_is_refused() {
    let project = Project::new();
    let head = proposed(
        &project,
        "develop",
        DEV,
        &values("develop-9", &digest(9), ""),
    );
    let mut command = at(&project, &head);
    let said = failed(&as_request(
        command.env("FAKE_UNSIGNED", digest(9)),
        &head,
        "develop",
    ));
    assert!(said.contains("no signature that is trusted here"), "{said}");
}

#[test]
fn an_image_of_another_history_is_refused() {
    let mut project = Project::new();
    project.read(&["branch", "elsewhere", "develop"]);
    project.built = project.change_on("elsewhere", "src/main.rs", "two");
    let edited = values("develop-9", &digest(9), "");
    let reason = "which is not part of the history of this change";
    refused(&project, "develop", DEV, &edited, reason);
}

#[test]
fn nothing_else_of_the_image_may_change() {
    let project = Project::new();
    let edited = values("develop-2", &digest(2), "")
        .replace("image:\n", "image:\n  repository: evil.example/x\n");
    refused(
        &project,
        "develop",
        DEV,
        &edited,
        "may change only `image.tag` and `image.digest`",
    );
    let removed = values("unreleased", NONE, "");
    refused(
        &project,
        "develop",
        DEV,
        &removed,
        "removes the image of dev",
    );
    let no_digest = "image:\n  tag: develop-2\n";
    refused(&project, "develop", DEV, no_digest, "image.digest");
}

#[test]
fn going_back_needs_a_hold_and_a_hold_lets_nothing_new_in() {
    let project = promoted_twice();
    let back = values("develop-1", &digest(1), "");
    refused(
        &project,
        "staging",
        STAGING,
        &back,
        "`cargo pipeline rollback`",
    );
    let held = values("develop-3", &digest(3), HOLD);
    refused(&project, "staging", STAGING, &held, "never had develop-3");
}

/// A promotion that was opened before the hold may have an image from before too.
#[test]
fn on_hold_only_a_rollback_changes_the_image() {
    let project = promoted_twice();
    let held = values("develop-2", &digest(2), HOLD);
    project.change_on("staging", STAGING, &held);
    let earlier = values("develop-1", &digest(1), HOLD);
    let reason = "only `cargo pipeline rollback`";
    refused(&project, "staging", STAGING, &earlier, reason);

    let arguments = ["rollback", "--env", "staging", "--by", "ann"];
    succeeded(&project.command(&arguments).output().unwrap());
    let head = project.read(&["rev-parse", "rollback/staging"]);
    let said = succeeded(&request(&project, &head, "staging"));
    assert!(said.contains("which staging had before"), "{said}");
    let before = project.read(&["rev-parse", "staging"]);
    project.read(&["update-ref", "refs/heads/staging", &head]);
    let said = succeeded(&push(&project, "staging", &before));
    assert!(said.contains("which staging had before"), "{said}");
}

#[test]
fn a_push_past_the_pull_request_is_reported() {
    let project = Project::new();
    let before = project.read(&["rev-parse", "staging"]);
    project.change_on("staging", STAGING, &values("develop-9", &digest(9), ""));
    let said = failed(&push(&project, "staging", &before));
    assert!(
        said.contains("may only get the image that dev has"),
        "{said}"
    );
}

#[test]
fn a_new_branch_with_an_image_of_unknown_origin_is_refused() {
    let project = Project::new();
    project.read(&["update-ref", "-d", "refs/heads/staging"]);
    git(&project.clone(), &["fetch", "--quiet", "--prune", "origin"]);
    let head = proposed(
        &project,
        "develop",
        STAGING,
        &values("develop-9", &digest(9), ""),
    );
    project.read(&["update-ref", "refs/heads/staging", &head]);
    let said = failed(&push(&project, "staging", &"0".repeat(40)));
    assert!(said.contains("staging may only get"), "{said}");
}
