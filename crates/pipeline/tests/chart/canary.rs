//! The Rollout of Argo Rollouts in place of the Deployment.

use crate::helm::{
    chart, config, containers, helm, named, of_kind, one, pod, render, values_files, workload,
};
use crate::validation::refused;
use serde_json::{Value, json};

const CANARY: &str = "rollout.strategy=canary,database.existingSecret.name=database";

fn canary(values: &str) -> Vec<Value> {
    let values = format!("{CANARY}{values}");
    render(&["--namespace", "ledger", "--set", &values])
}

#[test]
fn one_value_replaces_the_deployment_in_prod_and_staging() {
    for name in ["prod", "staging"] {
        let file = format!("{}/values-{name}.yaml", chart("waybill"));
        let rolling = render(&["--values", &file]);
        let canary = render(&["--values", &file, "--set", "rollout.strategy=canary"]);
        assert!(of_kind(&rolling, "Rollout").is_empty(), "{name}");
        assert!(of_kind(&rolling, "AnalysisTemplate").is_empty(), "{name}");
        assert!(of_kind(&canary, "Deployment").is_empty(), "{name}");
        let (old, new) = (
            &one(&rolling, "Deployment")["spec"],
            &one(&canary, "Rollout")["spec"],
        );
        for field in [
            "replicas",
            "minReadySeconds",
            "progressDeadlineSeconds",
            "selector",
        ] {
            assert_eq!(old[field], new[field], "{name}: {field}");
        }
        // The settings, the image, the migration and the probes are the same. Only the pods' hash has another label.
        let text = old["template"].to_string();
        let text = text.replace(
            "[\"pod-template-hash\"]",
            "[\"rollouts-pod-template-hash\"]",
        );
        assert_eq!(text, new["template"].to_string(), "{name}");
        assert_eq!(config(&rolling), config(&canary));
    }
}

#[test]
fn each_weight_is_analysed_before_the_next() {
    let objects = canary(",rollout.canary.weights={10,40}");
    let rollout = &one(&objects, "Rollout")["spec"];
    let steps = rollout["strategy"]["canary"]["steps"]
        .as_array()
        .expect("steps");
    let weights: Vec<&Value> = steps
        .iter()
        .step_by(2)
        .map(|step| &step["setWeight"])
        .collect();
    assert_eq!(weights, [10, 40]);
    let template = &one(&objects, "AnalysisTemplate")["metadata"]["name"];
    for step in steps.iter().skip(1).step_by(2) {
        assert_eq!(&step["analysis"]["templates"][0]["templateName"], template);
    }
    // A pause without a duration waits for a person: no sync with a hook would end.
    assert!(steps.iter().all(|step| step.get("pause").is_none()));
    let strategy = &rollout["strategy"]["canary"];
    assert_eq!([&strategy["maxUnavailable"], &strategy["maxSurge"]], [0, 1]);
}

#[test]
fn a_canary_that_makes_no_progress_goes_back_and_a_recent_version_returns_at_once() {
    let objects = canary("");
    let rollout = &one(&objects, "Rollout")["spec"];
    assert_eq!(rollout["progressDeadlineAbort"], true);
    let window = rollout["rollbackWindow"]["revisions"].as_u64();
    assert!(window < rollout["revisionHistoryLimit"].as_u64());
}

#[test]
fn the_analysis_asks_the_canary_alone_and_its_metrics_only_with_prometheus() {
    let metrics = |values: &str| {
        let objects = canary(values);
        let spec = &one(&objects, "AnalysisTemplate")["spec"];
        assert_eq!(spec["args"], json!([{"name": "latest-hash"}]));
        spec["metrics"].as_array().expect("metrics").clone()
    };
    let without = metrics("");
    assert_eq!(without.len(), 1);
    assert_eq!(
        without[0]["provider"]["web"]["url"],
        "http://waybill-canary.ledger.svc:80/api/v1/deployments?limit=1"
    );
    let with = metrics(",rollout.canary.prometheus=http://prometheus:9090");
    assert_eq!(with.len(), 2);
    assert_eq!(with[0], without[0]);
    assert_eq!(
        with[1]["provider"]["prometheus"]["address"],
        "http://prometheus:9090"
    );
    assert_eq!(with[1]["successCondition"], "result[0] <= 0.05");
    for metric in &with {
        assert!(metric["count"].is_u64(), "an analysis must end: {metric}");
    }
}

#[test]
fn only_the_second_service_is_the_canarys() {
    let objects = canary("");
    let rollout = one(&objects, "Rollout");
    let name = rollout["spec"]["strategy"]["canary"]["canaryService"].as_str();
    assert_eq!(name, Some("waybill-canary"));
    // The controller narrows the selector of the canary's Service.
    let selectors =
        ["waybill", "waybill-canary"].map(|name| named(&objects, "Service", name)["spec"].clone());
    assert_eq!(selectors[0], selectors[1]);
    assert_eq!(of_kind(&render(&[]), "Service").len(), 1);
    let policy = one(&objects, "NetworkPolicy");
    let peers = policy["spec"]["ingress"][0]["from"]
        .as_array()
        .expect("peers");
    let controller = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "argo-rollouts"}}});
    assert!(peers.contains(&controller), "{peers:?}");
}

#[test]
fn scaling_and_monitoring_follow_the_rollout() {
    let file = format!("{}/ci/canary-values.yaml", chart("waybill"));
    let objects = render(&["--values", &file]);
    assert!(workload(&objects)["spec"].get("replicas").is_none());
    assert_eq!(
        one(&objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"],
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "waybill"})
    );
    let monitor = &one(&objects, "PodMonitor")["spec"];
    assert_eq!(
        monitor["podTargetLabels"],
        json!(["rollouts-pod-template-hash"])
    );
    assert_eq!(containers(pod(&objects)).len(), 2);
}

#[test]
fn what_a_canary_cannot_do_is_refused() {
    refused(
        "rollout.strategy=canary",
        "A canary runs beside the previous version, and an SQLite file supports only one pod: set rollout.strategy to \
         rolling, or use PostgreSQL by database.existingSecret.name.",
    );
    refused(
        &format!("{CANARY},rollout.canary.weights={{20,20}}"),
        "rollout.canary.weights[1] is 20; it must be greater than the weight before it.",
    );
    for (values, place) in [
        ("rollout.strategy=blueGreen", "at '/rollout/strategy'"),
        (
            "rollout.canary.weights={100}",
            "at '/rollout/canary/weights/0'",
        ),
        (
            "rollout.canary.prometheus=prometheus:9090",
            "at '/rollout/canary/prometheus'",
        ),
    ] {
        let refusal = crate::helm::refusal(&["--set", values]);
        assert!(refusal.contains(place), "{values}: {refusal}");
    }
    let refusal = crate::helm::refusal(&["--set-json", "rollout.canary.weights=[]"]);
    assert!(
        refusal.contains("at '/rollout/canary/weights'"),
        "{refusal}"
    );
}

#[test]
fn no_environment_requires_the_controller() {
    for file in values_files()
        .iter()
        .filter(|file| file.contains("/values-"))
    {
        let text = helm(&["template", "waybill", &chart("waybill"), "--values", file]);
        assert!(
            !text.expect("it renders").contains("argoproj.io/v1alpha1"),
            "{file}"
        );
    }
}
