//! What Argo CD's notifications say, rendered by Helm, which has the same template language and functions.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use crate::helm::{of_kind, render_argocd, root, templated};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const EVENTS: [&str; 5] = [
    "degraded",
    "deployed",
    "promotion-waiting",
    "rolled-back",
    "sync-failed",
];

/// The keys of Argo CD's ConfigMap that these files add.
fn settings() -> Map<String, Value> {
    let mut all = Map::new();
    for name in ["notifications", "slack", "webhook"] {
        let path = root().join(format!("argocd/install/{name}.yaml"));
        let text = fs::read_to_string(path).expect("a patch");
        let patch: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(patch["metadata"]["name"], "argocd-notifications-cm");
        all.extend(patch["data"].as_object().expect("data").clone());
    }
    all
}

/// The values of the keys that begin with a prefix, parsed, by the rest of the key.
fn parsed(prefix: &str) -> BTreeMap<String, Value> {
    let settings = settings();
    let found = settings.iter().filter_map(|(key, text)| {
        let text = text.as_str().expect("text");
        Some((key.strip_prefix(prefix)?.to_owned(), text))
    });
    found
        .map(|(key, text)| (key, serde_saphyr::from_str(text).expect("YAML")))
        .collect()
}

/// An Application after a rollback, as Argo CD 3.6 writes it.
fn application() -> Value {
    json!({
        "metadata": {"name": "waybill-staging"},
        "spec": {
            "destination": {"namespace": "waybill-staging"},
            "syncPolicy": {"automated": {"enabled": false}},
        },
        "status": {
            "reconciledAt": "2026-11-26T10:01:00Z",
            "health": {"status": "Healthy", "lastTransitionTime": "2026-11-26T10:00:30Z"},
            "sync": {"status": "OutOfSync", "revision": "b".repeat(40)},
            "summary": {"images": ["registry/waybill:v1@sha256:00"]},
            "operationState": {
                "phase": "Succeeded",
                "message": "successfully \"synced\"",
                "startedAt": "2026-11-26T10:00:00Z",
                "finishedAt": "2026-11-26T10:00:10Z",
                "operation": {"sync": {"revision": "a".repeat(40), "syncStrategy": {"apply": {}}}},
                "syncResult": {"revision": "a".repeat(40)},
            },
        },
    })
}

/// The texts of some templates for an Application: the message, and Slack's and the webhook's JSON.
fn rendered(
    events: &[&str],
    application: &Value,
    context: &Value,
) -> BTreeMap<String, (String, Value, Value)> {
    let mut templates = parsed("template.");
    templates.retain(|event, _| events.contains(&event.as_str()));
    let variables = json!({"app": application, "context": context});
    let parse = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let render = |template: &Value| {
        let texts = [
            &template["message"],
            &template["slack"]["attachments"],
            &template["webhook"]["delivery"]["body"],
        ];
        let texts = texts.map(|text| text.as_str().expect("a text"));
        let rendered = templated(&texts, &variables);
        (
            rendered[0].clone(),
            parse(&rendered[1]),
            parse(&rendered[2]),
        )
    };
    templates
        .into_iter()
        .map(|(event, template)| (event, render(&template)))
        .collect()
}

#[test]
fn each_event_has_a_trigger_a_message_and_a_body() {
    let context = json!({"argocdUrl": "https://argocd.example"});
    let texts = rendered(&EVENTS, &application(), &context);
    assert_eq!(texts.keys().collect::<Vec<_>>(), EVENTS);
    for (event, (_, slack, body)) in &texts {
        let revision = match event.as_str() {
            "deployed" | "rolled-back" => "a".repeat(40),
            _ => "b".repeat(40),
        };
        assert_eq!(
            body,
            &json!({
                "event": event,
                "application": "waybill-staging",
                "namespace": "waybill-staging",
                "commit": revision,
                "images": ["registry/waybill:v1@sha256:00"],
                "sync": "OutOfSync",
                "health": "Healthy",
                "message": "successfully \"synced\"",
            })
        );
        let attachment = &slack[0];
        assert_eq!(
            attachment["title_link"],
            "https://argocd.example/applications/waybill-staging"
        );
        assert_eq!(attachment["text"], "OutOfSync, Healthy");
    }
    let message = |event: &str| texts[event].0.as_str();
    assert_eq!(message("deployed"), "waybill-staging: deployed aaaaaaa");
    assert_eq!(
        message("rolled-back"),
        "waybill-staging: rolled back to aaaaaaa. Git still asks for bbbbbbb: run the workflow rollback"
    );
    assert_eq!(
        message("promotion-waiting"),
        "waybill-staging: bbbbbbb is merged and waits for a sync"
    );
    assert_eq!(
        message("sync-failed"),
        "waybill-staging: the sync failed: successfully \"synced\""
    );
}

/// A new environment waits for its first sync, and an Argo CD without `url` has no address.
#[test]
fn an_application_that_was_never_synced_can_be_reported() {
    let mut application = application();
    let status = application["status"].as_object_mut().expect("a status");
    status.remove("operationState");
    status.insert("summary".to_owned(), json!({}));
    // The triggers of the other texts need an operation.
    let texts = rendered(&["promotion-waiting"], &application, &json!({}));
    let (message, _, body) = &texts["promotion-waiting"];
    assert_eq!(
        message,
        "waybill-staging: bbbbbbb is merged and waits for a sync"
    );
    assert_eq!(
        [&body["images"], &body["message"]],
        [&json!([]), &json!("")]
    );
}

/// The paths of fields of the Application in a condition, without the marks of optional fields.
fn paths(condition: &str) -> Vec<String> {
    let belongs = |c: char| c.is_alphanumeric() || c == '.' || c == '?';
    condition
        .split(|c| !belongs(c))
        .filter(|word| word.starts_with("app."))
        .map(|path| path.replace('?', ""))
        .collect()
}

#[test]
fn a_trigger_uses_only_fields_that_exist_and_sends_a_template_that_exists() {
    let triggers = parsed("trigger.");
    assert_eq!(triggers.keys().collect::<Vec<_>>(), EVENTS);
    let root = json!({"app": application()});
    for (event, rules) in &triggers {
        for rule in rules.as_array().expect("rules") {
            assert_eq!(rule["send"], json!([event]));
            let condition = rule["when"].as_str().expect("a condition");
            let key = rule["oncePer"].as_str();
            let paths = paths(&format!("{condition} {}", key.unwrap_or_default()));
            assert!(!paths.is_empty());
            for path in paths {
                let pointer = format!("/{}", path.replace('.', "/"));
                assert!(root.pointer(&pointer).is_some(), "{event}: {path}");
            }
            // A sync that deploys an earlier revision again has the same revision, so it would be silent.
            if event == "deployed" || event == "rolled-back" {
                assert_eq!(key, Some("app.status.operationState.startedAt"));
            }
        }
    }
    let default: Vec<String> =
        serde_saphyr::from_str(settings()["defaultTriggers"].as_str().expect("text"))
            .expect("YAML");
    assert_eq!(
        default.iter().collect::<BTreeSet<_>>(),
        triggers.keys().collect()
    );
}

#[test]
fn addresses_and_tokens_come_from_the_secret() {
    let services = parsed("service.");
    assert_eq!(services["slack"]["token"], "$slack-token");
    let webhook = &services["webhook.delivery"];
    assert_eq!(webhook["url"], "$delivery-url");
    assert_eq!(webhook["headers"][1]["value"], "Bearer $delivery-token");
}

#[test]
fn a_value_subscribes_the_environments() {
    let subscriptions = |args: &[&str]| -> Vec<(String, Value)> {
        let argocd = render_argocd(args);
        let applications = of_kind(&argocd, "Application").into_iter();
        let annotations = applications.flat_map(|application| {
            application["metadata"]["annotations"]
                .as_object()
                .expect("annotations")
        });
        // Other values subscribe commit statuses and rollbacks.
        let others = ["subscribe.commit-status.", "subscribe.rollback."];
        let found = annotations.filter(|(key, _)| {
            key.starts_with("notifications.") && !others.iter().any(|other| key.contains(other))
        });
        found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    assert_eq!(subscriptions(&[]), []);
    let values = "notifications.slack=deploys;oncall,notifications.webhook=true";
    let all = subscriptions(&["--set", values]);
    assert_eq!(all.len(), 6, "three environments, twice each");
    for expected in [
        ("subscribe.delivery", json!("")),
        ("subscribe.slack", json!("deploys;oncall")),
    ] {
        let key = format!("notifications.argoproj.io/{}", expected.0);
        assert!(all.contains(&(key, expected.1)), "{all:?}");
    }
}
