//! The number of pods: autoscaling, the disruption budget and the connections of the database.

use crate::helm::{chart, of_kind, one, render};
use crate::validation::refused;
use serde_json::json;

const POSTGRES: &str = "database.existingSecret.name=database";

#[test]
fn with_autoscaling_kubernetes_decides_the_number_of_pods() {
    let objects = render(&["--set", &format!("{POSTGRES},autoscaling.enabled=true")]);
    assert!(
        one(&objects, "Deployment")["spec"]
            .get("replicas")
            .is_none()
    );
    let scaler = &one(&objects, "HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], "waybill");
    assert_eq!([&scaler["minReplicas"], &scaler["maxReplicas"]], [2, 4]);
    assert_eq!(
        scaler["metrics"][0]["resource"]["target"],
        json!({"type": "AverageValue", "averageValue": "200m"})
    );
    let without = render(&["--set", POSTGRES]);
    assert!(of_kind(&without, "HorizontalPodAutoscaler").is_empty());
}

#[test]
fn the_disruption_budget_follows_the_smallest_number_of_pods() {
    for (values, expected) in [
        ("replicas=1", 0),
        ("replicas=2", 1),
        ("replicas=null", 0),
        ("autoscaling.enabled=true,autoscaling.minReplicas=1", 0),
        ("autoscaling.enabled=true,replicas=1", 1),
    ] {
        let objects = render(&["--set", &format!("{POSTGRES},{values}")]);
        assert_eq!(
            of_kind(&objects, "PodDisruptionBudget").len(),
            expected,
            "{values}"
        );
    }
}

#[test]
fn the_pods_must_fit_into_the_connections_of_the_database() {
    let sentence = |pods: &str, needed: &str, most: &str| {
        format!(
            "{pods} pods, and one more during a roll-out, may open {needed} database connections, but \
             database.maxConnections is {most} and PostgreSQL reserves 3 of them: use fewer pods, lower \
             config.WAYBILL_DATABASE_POOL_SIZE, or raise both limits."
        )
    };
    refused(
        &format!("{POSTGRES},replicas=12"),
        &sentence("12", "104", "100"),
    );
    refused(
        &format!("{POSTGRES},autoscaling.enabled=true,autoscaling.maxReplicas=20"),
        &sentence("20", "168", "100"),
    );
    refused(
        &format!(
            "{POSTGRES},replicas=2,config.WAYBILL_DATABASE_POOL_SIZE=null,database.maxConnections=26"
        ),
        &sentence("2", "24", "26"),
    );
    render(&["--set", &format!("{POSTGRES},replicas=11")]);
    render(&[
        "--set",
        &format!("{POSTGRES},replicas=12,database.maxConnections=107"),
    ]);
}

#[test]
fn autoscaling_that_cannot_work_is_refused() {
    let enabled = format!("{POSTGRES},autoscaling.enabled=true");
    refused(
        "autoscaling.enabled=true",
        "An SQLite file supports only one pod: set autoscaling.enabled to false, or use PostgreSQL by \
         database.existingSecret.name.",
    );
    refused(
        &format!("{enabled},autoscaling.minReplicas=5"),
        "autoscaling.minReplicas is 5; it must be at most autoscaling.maxReplicas, which is 4.",
    );
    refused(
        &format!("{enabled},autoscaling.averageCPU=1"),
        "autoscaling.averageCPU is 1; it must be at most resources.limits.cpu, which is 500m, or no pod is ever added.",
    );
}

#[test]
fn prod_may_double_its_pods_without_another_value() {
    let file = format!("{}/values-prod.yaml", chart("waybill"));
    render(&["--values", &file, "--set", "replicas=5"]);
}
