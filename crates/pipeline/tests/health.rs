//! What Argo CD reported decides whether an image is promoted: `cargo pipeline promote` and `verify --changed` from outside,
//! with a forge that keeps commit statuses in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{failed, git, succeeded};
use project::{DEV, Project, digest, values};
use std::process::Output;

const CONTEXT: &str = "argocd/waybill-dev";

/// A promotion to staging that was proposed without reports, and its commit.
fn proposed() -> (Project, String) {
    let project = Project::new();
    succeeded(&project.promote(&["--to", "staging"]));
    let head = project.read(&["rev-parse", "promote/staging"]);
    let clone = project.clone();
    git(&clone, &["fetch", "--quiet", "origin"]);
    git(&clone, &["checkout", "--quiet", "--detach", &head]);
    (project, head)
}

/// The check of the pull request in a workflow.
fn check(project: &Project, head: &str, account: &str) -> Output {
    let mut command = project.command(&["verify", "--changed"]);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_EVENT_NAME", "pull_request")
        .env("GITHUB_REF", "refs/pull/7/merge")
        .env("GITHUB_SHA", head)
        .env("GITHUB_BASE_REF", "staging")
        .env("ARGOCD_ACCOUNT", account)
        .output()
        .unwrap()
}

fn healthy(number: u32) -> String {
    format!("Healthy {}", digest(number))
}

#[test]
fn a_promotion_needs_a_report_by_argo_cds_own_account() {
    let (project, head) = proposed();
    let develop = project.read(&["rev-parse", "develop"]);
    let report = |by: &str, context: &str, state: &str, text: &str| {
        project.report(&develop, by, context, state, text);
    };
    let refused = |reason: &str| {
        let said = failed(&check(&project, &head, "argocd"));
        assert!(said.contains(reason), "{said}");
    };
    refused("dev has not reported that develop-1 is healthy: argocd sets the status");
    report("mallory", CONTEXT, "success", &healthy(1));
    refused("the status that mallory set does not count");
    report("argocd", "argocd/waybill-staging", "success", &healthy(1));
    refused("dev has not reported that develop-1 is healthy");
    report("argocd", CONTEXT, "success", &healthy(9));
    refused("dev has not reported that it runs");
    report("argocd", CONTEXT, "failure", "The version is degraded");
    report("mallory", CONTEXT, "success", &healthy(1));
    refused("dev is not healthy with develop-1");
    report("argocd", CONTEXT, "success", &healthy(1));
    let said = succeeded(&check(&project, &head, "argocd"));
    assert!(said.contains("which dev runs healthily"), "{said}");
}

#[test]
fn a_report_may_be_on_another_commit_with_the_same_image() {
    let (project, head) = proposed();
    // Argo CD deploys a later commit, which changes something else.
    let later = project.change("charts/waybill/values.yaml", "a: 1\n");
    project.change(DEV, &values("develop-2", &digest(2), ""));
    project.report(&later, "argocd", CONTEXT, "success", &healthy(1));
    git(
        &project.clone(),
        &["checkout", "--quiet", "--detach", &head],
    );
    succeeded(&check(&project, &head, "argocd"));
}

#[test]
fn without_an_account_nothing_is_promoted_unless_that_is_wanted() {
    let (project, head) = proposed();
    let said = failed(&check(&project, &head, ""));
    assert!(said.contains("set the variable ARGOCD_ACCOUNT"), "{said}");
    succeeded(&check(&project, &head, "none"));
}

#[test]
fn promote_does_not_propose_what_was_not_reported_healthy() {
    let project = Project::new();
    let promote = || {
        let mut command = project.command(&["promote", "--to", "staging"]);
        command.env("ARGOCD_ACCOUNT", "argocd").output().unwrap()
    };
    let said = failed(&promote());
    assert!(
        said.contains("dev has not reported that develop-1 is healthy"),
        "{said}"
    );
    assert!(project.changed().is_empty());
    let develop = project.read(&["rev-parse", "develop"]);
    project.report(&develop, "argocd", CONTEXT, "success", &healthy(1));
    succeeded(&promote());
}
