//! What the chart brings for Prometheus and Grafana. Alerts and dashboard use only metrics that exist.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::helm::{chart, of_kind, one, render, root, workload};
use crate::promql::names;
use crate::validation::refused;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const ALL: &str = "monitoring.podMonitor.enabled=true,monitoring.rules.enabled=true,\
                   monitoring.dashboard.enabled=true,networkPolicy.enabled=false,rollout.strategy=canary,\
                   database.existingSecret.name=database,rollout.canary.prometheus=http://prometheus:9090";

/// The objects in the namespace `ledger`, with everything for Prometheus and Grafana.
fn monitored() -> Vec<Value> {
    render(&["--namespace", "ledger", "--set", ALL])
}

fn groups(objects: &[Value]) -> Value {
    one(objects, "PrometheusRule")["spec"]["groups"].clone()
}

/// The alerts, each with its rule.
fn alerts(groups: &Value) -> BTreeMap<String, Value> {
    let groups = groups.as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules
        .map(|rule| {
            (
                rule["alert"].as_str().expect("a name").to_owned(),
                rule.clone(),
            )
        })
        .collect()
}

fn dashboard(objects: &[Value]) -> Value {
    let maps = of_kind(objects, "ConfigMap");
    let texts = maps
        .iter()
        .filter_map(|map| map["data"]["waybill.json"].as_str());
    let texts: Vec<_> = texts.collect();
    assert_eq!(texts.len(), 1);
    serde_json::from_str(texts[0]).expect("the dashboard is JSON")
}

/// All expressions of alerts and dashboard, each with a name for messages.
fn expressions() -> Vec<(String, String)> {
    let objects = monitored();
    let expr = |value: &Value| value.as_str().expect("an expression").to_owned();
    let mut all: Vec<_> = alerts(&groups(&objects))
        .into_iter()
        .map(|(name, rule)| (name, expr(&rule["expr"])))
        .collect();
    let analysis = &one(&objects, "AnalysisTemplate")["spec"]["metrics"][1];
    all.push((
        "analysis".to_owned(),
        expr(&analysis["provider"]["prometheus"]["query"]),
    ));
    let dashboard = dashboard(&objects);
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            all.push((panel["title"].to_string(), expr(&target["expr"])));
        }
    }
    for variable in dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
    {
        let query = variable["query"].as_str().expect("a query");
        if let Some((metric, label)) = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", "))
        {
            all.push((query.to_owned(), format!("count by ({label}) ({metric})")));
        }
    }
    assert!(all.len() > 20);
    all
}

/// The metrics that exist, each with its labels: the service's as documented, which a test of the service compares
/// with what it answers, and those of other programs.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a list of metrics");
    let service = read("docs/service.md");
    let mut known = BTreeMap::new();
    for line in service
        .lines()
        .filter(|line| line.starts_with("| `waybill_"))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let labels = cells[3]
            .split(',')
            .map(|label| label.trim().trim_matches('`').to_owned());
        let labels: BTreeSet<String> = labels.filter(|label| !label.is_empty()).collect();
        if cells[2] == "histogram" {
            let mut buckets = labels.clone();
            buckets.insert("le".to_owned());
            known.insert(format!("{name}_bucket"), buckets);
            known.insert(format!("{name}_sum"), labels.clone());
            known.insert(format!("{name}_count"), labels);
        } else {
            known.insert(name.to_owned(), labels);
        }
    }
    // The labels that the PodMonitor gives to the service's metrics, the last one to those of a Rollout's pods.
    for labels in known.values_mut() {
        let given = ["namespace", "job", "pod", "rollouts_pod_template_hash"];
        labels.extend(given.map(str::to_owned));
    }
    let others = read("crates/pipeline/tests/chart/other-metrics.txt");
    for line in others.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().expect("a name");
        known.insert(name, words.collect());
    }
    known
}

#[test]
fn alerts_and_dashboard_use_only_metrics_and_labels_that_exist() {
    let known = known();
    for (place, expression) in expressions() {
        let names = names(&expression);
        assert!(!names.metrics.is_empty(), "{place}: {expression}");
        let mut labels = BTreeSet::new();
        for (metric, selected) in &names.metrics {
            let existing = known
                .get(metric)
                .unwrap_or_else(|| panic!("{place}: no metric {metric}"));
            let missing: Vec<_> = selected.difference(existing).collect();
            assert!(missing.is_empty(), "{place}: {metric} has no {missing:?}");
            labels.extend(existing.iter().cloned());
        }
        let missing: Vec<_> = names.grouping.difference(&labels).collect();
        assert!(missing.is_empty(), "{place}: no metric has {missing:?}");
    }
}

/// Otherwise an alert of one environment or release would count the pods of another.
#[test]
fn every_expression_names_its_environment() {
    for (place, expression) in expressions() {
        for (metric, labels) in names(&expression).metrics {
            let environment: &[&str] = match metric.as_str() {
                "argocd_app_info" => &["dest_namespace"],
                // A join with `argocd_app_info` restricts it.
                "argocd_app_sync_total" => &[],
                _ if place.starts_with("label_values(") => &[],
                name if name.starts_with("waybill_") => &["namespace", "job"],
                _ => &["namespace", "name"],
            };
            for label in environment {
                assert!(labels.contains(*label), "{place}: {metric} without {label}");
            }
        }
    }
}

#[test]
fn promtool_finds_that_each_alert_fires_and_stays_silent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = json!({"groups": groups(&monitored())}).to_string();
    let tests =
        std::fs::read_to_string("tests/chart/alerts.yaml").expect("the tests of the alerts");
    // JSON is YAML.
    std::fs::write(folder.path().join("rules.yaml"), rules).expect("a file");
    std::fs::write(folder.path().join("alerts.yaml"), &tests).expect("a file");
    let output = Command::new("promtool")
        .args(["test", "rules", "alerts.yaml"])
        .current_dir(folder.path())
        .output()
        .expect("promtool runs; the Debian package `prometheus` has it");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{text}");

    let tests: Value = serde_saphyr::from_str(&tests).expect("YAML");
    let cases = tests["tests"].as_array().expect("tests").iter();
    let cases = cases.flat_map(|test| test["alert_rule_test"].as_array().expect("cases"));
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in cases {
        let name = case["alertname"].as_str().expect("a name").to_owned();
        match case["exp_alerts"].as_array() {
            Some(_) => firing.insert(name),
            None => silent.insert(name),
        };
    }
    let alerts: BTreeSet<_> = alerts(&groups(&monitored())).into_keys().collect();
    assert_eq!(firing, alerts);
    assert_eq!(silent, alerts);
}

#[test]
fn the_runbook_says_what_to_do_about_each_alert() {
    let runbook = std::fs::read_to_string(root().join("docs/runbook.md")).expect("the runbook");
    for (name, rule) in alerts(&groups(&monitored())) {
        assert!(runbook.contains(&format!("| `{name}` |")), "{name}");
        let severity = rule["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}");
        assert!(rule["annotations"]["summary"].is_string(), "{name}");
    }
}

#[test]
fn each_part_is_one_value_and_off() {
    let kinds = |values: &str| {
        let objects = render(&["--set", values]);
        let count = |kind: &str| of_kind(&objects, kind).len();
        // The other ConfigMap is the service's.
        [
            count("PodMonitor"),
            count("PrometheusRule"),
            count("ConfigMap") - 1,
        ]
    };
    let open = "networkPolicy.enabled=false";
    assert_eq!(kinds(open), [0, 0, 0]);
    let podmonitor = format!("{open},monitoring.podMonitor.enabled=true");
    assert_eq!(kinds(&podmonitor), [1, 0, 0]);
    assert_eq!(kinds("monitoring.rules.enabled=true"), [0, 1, 0]);
    assert_eq!(kinds("monitoring.dashboard.enabled=true"), [0, 0, 1]);
}

#[test]
fn prometheus_reads_the_pods_and_no_check() {
    let objects = monitored();
    let monitor = &one(&objects, "PodMonitor")["spec"];
    let deployment = &workload(&objects)["spec"];
    assert_eq!(
        monitor["selector"]["matchLabels"],
        deployment["selector"]["matchLabels"]
    );
    assert_eq!(
        monitor["podMetricsEndpoints"],
        json!([{"port": "http", "path": "/metrics", "interval": "30s"}])
    );
    let job = monitor["jobLabel"].as_str().expect("a label");
    assert_eq!(deployment["template"]["metadata"]["labels"][job], "waybill");
    refused(
        "monitoring.podMonitor.enabled=true",
        "networkPolicy.from allows only the same namespace: add the namespace of Prometheus, or it cannot read the metrics.",
    );
}

#[test]
fn labels_select_what_operators_and_sidecars_take() {
    let file = format!("{}/ci/extras-values.yaml", chart("waybill"));
    let objects = render(&["--values", &file]);
    for kind in ["PodMonitor", "PrometheusRule"] {
        let labels = &one(&objects, kind)["metadata"]["labels"];
        assert_eq!(labels["release"], "prometheus");
        assert_eq!(labels["app.kubernetes.io/name"], "waybill");
    }
    let boards = of_kind(&objects, "ConfigMap").into_iter();
    let labels = boards.map(|map| &map["metadata"]["labels"]["grafana_dashboard"]);
    assert_eq!(labels.filter(|label| *label == "1").count(), 1);
}
