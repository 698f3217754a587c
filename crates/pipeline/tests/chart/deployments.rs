//! The deployments that Argo CD records on GitHub.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::helm::{named, render_argocd, root, templated};
use serde_json::{Map, Value, json};
use std::fs;

const LINK: &str = "link.argocd.argoproj.io/external-link";
const URL: &str = "https://staging.example.org";

/// The keys that a file of `argocd/install` adds to Argo CD's ConfigMap, parsed.
fn install(file: &str) -> Map<String, Value> {
    let path = root().join("argocd/install").join(file);
    let text = fs::read_to_string(path).expect("a file");
    let patch: Value = serde_saphyr::from_str(&text).expect("YAML");
    let data = patch["data"].as_object().expect("data").clone();
    data.into_iter()
        .map(|(key, text)| {
            let text = text.as_str().expect("text");
            (key, serde_saphyr::from_str(text).expect("YAML"))
        })
        .collect()
}

#[test]
fn a_deployment_is_recorded_when_its_health_is_reported() {
    let deployments = install("deployments.yaml");
    let statuses = install("commit-status.yaml");
    let ours = deployments["trigger.deployment"]
        .as_array()
        .expect("a list");
    let theirs = statuses["trigger.commit-status"]
        .as_array()
        .expect("a list");
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours["when"], theirs["when"]);
        assert_eq!(ours["oncePer"], theirs["oncePer"]);
        let state = |data: &Map<String, Value>, condition: &Value, kind: &str| {
            let name = condition["send"][0].as_str().expect("a template");
            data[&format!("template.{name}")]["github"][kind]["state"].clone()
        };
        assert_eq!(
            state(&deployments, ours, "deployment"),
            state(&statuses, theirs, "status")
        );
    }
}

#[test]
fn a_deployment_names_the_environment_and_leads_to_it() {
    let mut templates = install("deployments.yaml");
    templates.retain(|key, _| key.starts_with("template."));
    assert_eq!(templates.len(), 3);
    let argocd = render_argocd(&["--set", &format!("environments.staging.url={URL}")]);
    for (name, url) in [("staging", URL), ("prod", "")] {
        let application = named(&argocd, "Application", &format!("waybill-{name}"));
        let variables = json!({"app": application, "context": {"argocdUrl": "https://argocd"}});
        let log = format!("https://argocd/applications/waybill-{name}");
        for (template, texts) in &templates {
            let deployment = &texts["github"]["deployment"];
            // GitHub merges the default branch into the commit, and waits for checks, unless told otherwise.
            assert_eq!(deployment["requiredContexts"], json!([]), "{template}");
            assert_eq!(deployment["autoMerge"], false, "{template}");
            let keys = ["environment", "environmentURL", "logURL"];
            let texts = keys.map(|key| deployment[key].as_str().expect("a text"));
            let found = templated(&texts, &variables);
            assert_eq!(found, [name, url, &log], "{template}");
        }
    }
}

#[test]
fn values_subscribe_the_environments_and_link_to_them() {
    let subscription = "notifications.argoproj.io/subscribe.deployment.github";
    let annotations = |args: &[&str]| {
        let argocd = render_argocd(args);
        let application = named(&argocd, "Application", "waybill-staging");
        application["metadata"]["annotations"].clone()
    };
    let none = annotations(&[]);
    assert_eq!((none.get(subscription), none.get(LINK)), (None, None));
    let url = format!("environments.staging.url={URL}");
    let all = annotations(&["--set", "deployments=true", "--set", &url]);
    assert_eq!(all[subscription], "");
    assert_eq!(all[LINK], URL);
}
