//! Names and labels that YAML would read as numbers or truth values stay text.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use crate::helm::{REPO_URL, chart, helm, named, render_argocd, values_files};
use serde_json::Value;

/// Maps whose values are all text.
const MAPS: [&str; 5] = [
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "data",
];

/// Fields whose value is text.
const FIELDS: [&str; 14] = [
    "name",
    "namespace",
    "key",
    "secretKey",
    "value",
    "kind",
    "group",
    "claimName",
    "description",
    "ingressClassName",
    "priorityClassName",
    "serviceAccountName",
    "templateName",
    "canaryService",
];

/// The paths of values that must be text, and are not.
fn not_text(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let path = format!("{path}.{key}");
                let values: Vec<&Value> = match value {
                    Value::Object(entries) if MAPS.contains(&key.as_str()) => {
                        entries.values().collect()
                    }
                    // The selector of a Service is a map of labels.
                    Value::Object(entries)
                        if key == "selector" && !entries.contains_key("matchLabels") =>
                    {
                        entries.values().collect()
                    }
                    Value::Object(_) | Value::Array(_) => Vec::new(),
                    _ if FIELDS.contains(&key.as_str()) => vec![value],
                    _ => Vec::new(),
                };
                let wrong = values.iter().any(|value| !value.is_string());
                let mut found: Vec<String> = wrong.then(|| path.clone()).into_iter().collect();
                found.extend(not_text(value, &path));
                found
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .flat_map(|item| not_text(item, &format!("{path}[]")))
            .collect(),
        _ => Vec::new(),
    }
}

/// Kubernetes reads YAML 1.1, where these words are truth values as well.
fn is_truth_value(line: &str) -> bool {
    let value = line.rsplit(": ").next().unwrap_or_default().trim();
    ["y", "yes", "n", "no", "on", "off"].contains(&value.to_lowercase().as_str())
}

fn assert_text(args: &[&str]) {
    let text = helm(&[&["template"], args].concat()).unwrap_or_else(|e| panic!("{args:?}: {e}"));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("Helm prints YAML");
    for object in &objects {
        let kind = object["kind"].as_str().expect("a kind");
        let found = not_text(object, kind);
        assert!(found.is_empty(), "{args:?}: {found:?}");
    }
    let found: Vec<&str> = text.lines().filter(|line| is_truth_value(line)).collect();
    assert!(found.is_empty(), "{args:?}: {found:?}");
}

#[test]
fn names_that_look_like_other_types_stay_text_in_every_variant() {
    let chart = chart("waybill");
    let mut files = values_files();
    files.push(format!("{chart}/values.yaml"));
    for file in &files {
        let render = |release, values: &str| {
            assert_text(&[
                release,
                &chart,
                "--values",
                file,
                "--set-string",
                values,
                "--set",
                "smokeTest.enabled=true",
            ]);
        };
        render("waybill", "nameOverride=on,fullnameOverride=true");
        render("waybill", "nameOverride=null,fullnameOverride=e1");
        render("123", "fullnameOverride=shop,commonLabels.team=1");
    }
}

#[test]
fn every_further_name_stays_text() {
    let chart = chart("waybill");
    let canary = format!("{chart}/ci/canary-values.yaml");
    for value in ["123", "true", "on", "1e3"] {
        let values = [
            "rollout.canary.controllerNamespace",
            "priorityClassName",
            "ingress.className",
            "serviceAccount.name",
            "database.existingSecret.name",
            "database.existingSecret.key",
            "externalSecret.secretStoreRef.name",
            "externalSecret.remoteRef.key",
            "externalSecret.remoteRef.property",
            "httpRoute.parentRefs[0].name",
            "httpRoute.parentRefs[0].namespace",
            "podLabels.tier",
            "podAnnotations.tier",
            "nodeSelector.tier",
            "monitoring.rules.labels.release",
            "monitoring.podMonitor.labels.release",
            "monitoring.dashboard.labels.release",
        ]
        .map(|path| format!("{path}={value}"))
        .join(",");
        let enabled = "ingress.enabled=true,ingress.hosts[0]=a.example,httpRoute.enabled=true,\
                       externalSecret.enabled=true,monitoring.dashboard.enabled=true";
        let set = ["--set-string", &values, "--set", enabled];
        assert_text(&[&["waybill", &chart, "--values", &canary], &set[..]].concat());
        let claims = format!(
            "database.sqlite.existingClaim={value},database.sqlite.storageClassName={value}"
        );
        assert_text(&["waybill", &chart, "--set-string", &claims]);
        let class = format!("database.sqlite.storageClassName={value}");
        assert_text(&["waybill", &chart, "--set-string", &class]);
    }
}

/// Argo CD gives parameters to Helm as `--set`, which reads numbers.
#[test]
fn namespaces_of_argo_cd_stay_text() {
    let repository = format!("repoURL={REPO_URL}");
    for value in ["123", "true", "on"] {
        let namespaces = ["argocdNamespace", "environments.dev.namespace"]
            .map(|path| format!("{path}={value}"))
            .join(",");
        let set = ["--set", &repository, "--set-string", &namespaces];
        assert_text(&[&["argocd", &chart("argocd")], &set[..]].concat());
    }
    let objects = render_argocd(&[]);
    let source = &named(&objects, "Application", "waybill")["spec"]["source"];
    let parameters = source["helm"]["parameters"].as_array().expect("a list");
    for parameter in parameters {
        assert_eq!(parameter["forceString"], true, "{parameter}");
    }
}
