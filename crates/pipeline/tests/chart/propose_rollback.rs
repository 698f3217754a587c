//! Argo CD starts the workflow `rollback` for a version that is Degraded.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::helm::{named, render_argocd, root, templated};
use serde_json::{Map, Value, json};
use std::fs;

const SUBSCRIPTION: &str = "notifications.argoproj.io/subscribe.rollback.rollback";

/// The keys that `argocd/install/rollback.yaml` adds to Argo CD's ConfigMap.
fn settings() -> Map<String, Value> {
    let text = fs::read_to_string(root().join("argocd/install/rollback.yaml")).expect("a file");
    let manifest: Value = serde_saphyr::from_str(&text).expect("YAML");
    manifest["data"].as_object().expect("data").clone()
}

fn parsed(key: &str) -> Value {
    let text = settings()[key].as_str().expect("a text").to_owned();
    serde_saphyr::from_str(&text).expect("YAML")
}

#[test]
fn only_environments_that_want_it_subscribe() {
    let argocd = render_argocd(&[
        "--set",
        "environments.qa.branch=qa,environments.qa.automated=true",
    ]);
    let subscribes = |name: &str| {
        let application = named(&argocd, "Application", name);
        !application["metadata"]["annotations"][SUBSCRIPTION].is_null()
    };
    assert!(subscribes("waybill-staging"));
    assert!(!subscribes("waybill-qa"));
}

#[test]
fn the_request_starts_the_workflow_for_the_environment_on_its_branch() {
    let argocd = render_argocd(&[]);
    let application = named(&argocd, "Application", "waybill-staging");
    let template = parsed("template.rollback");
    let webhook = &template["webhook"]["rollback"];
    assert_eq!(webhook["method"], "POST");
    let text = |name: &str| webhook[name].as_str().expect("a text");
    let variables = json!({"app": application});
    let rendered = templated(&[text("path"), text("body")], &variables);
    assert_eq!(
        rendered[0],
        "/repos/acme/parcel/actions/workflows/rollback.yaml/dispatches"
    );
    let body: Value = serde_json::from_str(&rendered[1]).expect("JSON");
    assert_eq!(body["ref"], "staging");

    // The workflow has these inputs.
    let workflow = fs::read_to_string(root().join(".github/workflows/rollback.yaml"));
    let workflow: Value = serde_saphyr::from_str(&workflow.expect("a file")).expect("YAML");
    let known = &workflow["on"]["workflow_dispatch"]["inputs"];
    let inputs = body["inputs"].as_object().expect("inputs");
    assert_eq!(inputs["environment"], "staging");
    for name in inputs.keys() {
        assert!(!known[name].is_null(), "the workflow has no input {name}");
    }
}

#[test]
fn a_version_proposes_one_rollback_with_credentials_of_the_secret() {
    let rule = &parsed("trigger.rollback")[0];
    assert_eq!(rule["oncePer"], "app.status.summary.images");
    assert_eq!(rule["send"], json!(["rollback"]));
    let service = parsed("service.webhook.rollback");
    assert_eq!(service["url"], "$rollback-url");
    assert_eq!(service["headers"][0]["value"], "Bearer $rollback-token");
}
