//! What Argo CD reports into Git.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::helm::{named, render_argocd, root};
use serde_json::Value;
use std::collections::BTreeSet;

/// The texts of `argocd/install` that are added to Argo CD's ConfigMap.
fn notifications(file: &str) -> serde_json::Map<String, Value> {
    let path = root().join("argocd/install").join(file);
    let text = std::fs::read_to_string(path).expect("a file");
    let manifest: Value = serde_saphyr::from_str(&text).expect("YAML");
    assert_eq!(manifest["metadata"]["name"], "argocd-notifications-cm");
    manifest["data"].as_object().expect("data").clone()
}

#[test]
fn each_environment_reports_to_the_forge_that_is_chosen() {
    let annotation = "notifications.argoproj.io/subscribe.commit-status";
    for (forge, values) in [
        ("github", &[][..]),
        ("gitea", &["--set", "commitStatus=gitea"]),
    ] {
        let argocd = render_argocd(values);
        let application = named(&argocd, "Application", "waybill-staging");
        let key = format!("{annotation}.{forge}");
        assert_eq!(application["metadata"]["annotations"][&key], "");
        let services = notifications(&format!("{forge}.yaml"));
        let name = services.keys().next().expect("a service");
        assert!(
            name.starts_with("service.") && name.ends_with(forge),
            "{name}"
        );
        // Credentials are references to a Secret.
        let service = services[name].as_str().expect("a text");
        for word in ["appID", "privateKey", "url", "value: token"] {
            let mut lines = service.lines().filter(|line| line.contains(word));
            assert!(
                lines.all(|line| line.contains(" $commit-status-")),
                "{service}"
            );
        }
    }
    let none = render_argocd(&["--set", "commitStatus="]);
    let application = named(&none, "Application", "waybill-staging");
    assert!(
        !application["metadata"]["annotations"]
            .to_string()
            .contains(annotation)
    );
}

#[test]
fn every_condition_of_the_reports_sends_a_template_with_the_commit_and_the_context() {
    let data = notifications("commit-status.yaml");
    let parse = |key: &str| -> Value {
        let text = data[key].as_str().expect("a text");
        serde_saphyr::from_str(text).expect("YAML")
    };
    let conditions = parse("trigger.commit-status");
    let conditions = conditions.as_array().expect("conditions");
    assert_eq!(conditions.len(), 3);
    let mut states = BTreeSet::new();
    for condition in conditions {
        // A rollback deploys a commit that was reported before.
        let once = condition["oncePer"].as_str().expect("a key");
        assert!(
            once.contains("app.status.operationState.startedAt"),
            "{once}"
        );
        let template = condition["send"][0].as_str().expect("a template");
        let template = parse(&format!("template.{template}"));
        let (github, gitea) = (&template["github"]["status"], &template["webhook"]["gitea"]);
        assert_eq!(github["label"], "argocd/{{ .app.metadata.name }}");
        let body = gitea["body"].as_str().expect("a body");
        let state = github["state"].as_str().expect("a state");
        assert!(body.contains(&format!("\"state\": \"{state}\"")), "{body}");
        assert!(
            body.contains("\"context\": \"argocd/{{ .app.metadata.name }}\""),
            "{body}"
        );
        let message = template["message"].as_str().expect("a message");
        assert!(
            body.contains(&format!("\"description\": \"{message}\"")),
            "{body}"
        );
        assert_eq!(
            message.contains(".app.status.summary.images"),
            state == "success"
        );
        let path = gitea["path"].as_str().expect("a path");
        assert!(path.ends_with("/statuses/{{ .app.status.operationState.syncResult.revision }}"));
        states.insert(state.to_owned());
    }
    assert_eq!(states.len(), 3);
}
