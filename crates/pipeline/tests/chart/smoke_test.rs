//! The checks after a roll-out: a hook of Helm and Argo CD, and `helm test`.

use crate::helm::{chart, of_kind, one, pod, render, variants};
use serde_json::{Value, json};

const ENABLED: &str = "smokeTest.enabled=true";

/// The pods of the smoke test and of `helm test`, as their metadata and specification.
fn checks(objects: &[Value]) -> Vec<(&Value, &Value)> {
    let jobs = of_kind(objects, "Job");
    let jobs = jobs.iter().map(|job| &job["spec"]["template"]);
    jobs.chain(of_kind(objects, "Pod"))
        .map(|pod| (&pod["metadata"], &pod["spec"]))
        .collect()
}

#[test]
fn both_ask_the_service_with_the_binary_of_the_image() {
    let objects = render(&[
        "--set",
        &format!("{ENABLED},service.port=8081,fullnameOverride=shop"),
    ]);
    let checks = checks(&objects);
    assert_eq!(checks.len(), 2);
    for (_, check) in checks {
        let container = &check["containers"][0];
        assert_eq!(container["image"], pod(&objects)["containers"][0]["image"]);
        assert!(container.get("command").is_none(), "there is no shell");
        assert_eq!(
            container["args"],
            json!(["healthcheck", "--url", "http://shop:8081/ready"])
        );
    }
}

/// Argo CD maps Helm's annotations onto its own hooks. It reads them per object only if the object has none of its
/// own, and its documentation says that one hook of Argo CD turns all hooks of Helm off. So no object has both.
#[test]
fn hooks_have_the_annotations_of_helm_alone() {
    for (variant, objects) in variants() {
        for object in objects {
            let annotations = &object["metadata"]["annotations"];
            assert!(
                annotations.get("argocd.argoproj.io/hook").is_none(),
                "{variant}: {object}"
            );
        }
    }
    let objects = render(&["--set", ENABLED]);
    let hook = |kind: &str| one(&objects, kind)["metadata"]["annotations"].clone();
    assert_eq!(
        hook("Job"),
        json!({
            "helm.sh/hook": "post-install,post-upgrade,post-rollback",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        })
    );
    assert_eq!(hook("Pod")["helm.sh/hook"], "test");
}

#[test]
fn no_selector_matches_a_check() {
    let long = format!("nameOverride={}", "n".repeat(63));
    for values in [ENABLED, &format!("{ENABLED},{long}")] {
        let objects = render(&["--set", values]);
        let selector = &one(&objects, "Service")["spec"]["selector"];
        let selector = selector.as_object().expect("labels");
        for (metadata, _) in checks(&objects) {
            let labels = metadata["labels"].as_object().expect("labels");
            assert!(
                selector
                    .iter()
                    .any(|(key, value)| labels.get(key) != Some(value)),
                "{labels:?}"
            );
            for value in labels.values() {
                assert!(value.as_str().is_some_and(|text| text.len() <= 63));
            }
        }
    }
}

#[test]
fn a_check_ends_and_is_restricted_and_bounded() {
    for (variant, objects) in variants() {
        for job in of_kind(objects, "Job") {
            assert!(job["spec"]["activeDeadlineSeconds"].is_u64(), "{variant}");
        }
        for (_, check) in checks(objects) {
            assert!(check["activeDeadlineSeconds"].is_u64(), "{variant}");
            assert_eq!(check["restartPolicy"], "Never");
            assert_eq!(check["automountServiceAccountToken"], false);
            assert_eq!(check["securityContext"], pod(objects)["securityContext"]);
            let container = &check["containers"][0];
            let service = &pod(objects)["containers"][0];
            for field in ["securityContext", "resources"] {
                assert_eq!(container[field], service[field], "{variant}");
            }
        }
    }
}

#[test]
fn a_policy_lets_the_checks_through() {
    let from = |values: &str| {
        let objects = render(&["--set-json", values]);
        one(&objects, "NetworkPolicy")["spec"]["ingress"][0]["from"].clone()
    };
    let own = json!({"podSelector": {}});
    assert_eq!(from(r#"smokeTest.enabled=true"#), json!([own]));
    let other = r#"networkPolicy.from=[{"namespaceSelector":{}}]"#;
    let checks = json!({"podSelector": {"matchLabels": {
        "app.kubernetes.io/name": "waybill-smoke-test",
        "app.kubernetes.io/instance": "waybill",
    }}});
    assert_eq!(from(other), json!([{"namespaceSelector": {}}, checks]));
}

/// A hook makes a sync go on until the pods are healthy. A person could not roll back before.
#[test]
fn only_an_environment_that_syncs_automatically_has_a_smoke_test() {
    for (name, expected) in [("dev", 1), ("staging", 0), ("prod", 0)] {
        let file = format!("{}/values-{name}.yaml", chart("waybill"));
        let objects = render(&["--values", &file]);
        assert_eq!(of_kind(&objects, "Job").len(), expected, "{name}");
    }
}

/// Configuration first, then the migration, then the service: each pod migrates before it serves. An object of a later
/// wave would make a manual sync wait for the pods.
#[test]
fn only_what_is_healthy_at_once_has_an_earlier_wave() {
    for (variant, objects) in variants() {
        for object in objects {
            let wave = &object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
            let expected = match object["kind"].as_str() {
                Some("ExternalSecret") => json!("-1"),
                _ => Value::Null,
            };
            assert_eq!(wave, &expected, "{variant}: {object}");
        }
        let first = &pod(objects)["initContainers"][0];
        assert_eq!(first["args"], json!(["migrate"]), "{variant}");
    }
}
