//! The objects of the service: how its pods run, restart and roll out.

use crate::helm::{
    chart, config, containers, named, objects, of_kind, one, pod, render, values_files, variants,
    workload,
};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn every_container_is_restricted_bounded_and_pinned() {
    for (variant, objects) in variants() {
        let pod = pod(objects);
        assert_eq!(pod["automountServiceAccountToken"], false, "{variant}");
        assert_eq!(pod["enableServiceLinks"], false, "{variant}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{variant}");
        // This variant is for clusters that assign users and leave out limits.
        let assigned = variant.ends_with("/extras-values.yaml");
        if !assigned {
            assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{variant}");
        }
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault",
            "{variant}"
        );
        let containers = containers(pod);
        for container in &containers {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{variant}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{variant}");
            assert_eq!(
                context["capabilities"],
                json!({"drop": ["ALL"]}),
                "{variant}"
            );
            for bound in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    if assigned && (bound, resource) == ("limits", "cpu") {
                        continue;
                    }
                    assert!(
                        container["resources"][bound][resource].is_string(),
                        "{variant}: {bound} of {resource}"
                    );
                }
            }
            let image = container["image"].as_str().expect("an image");
            assert!(
                !image.ends_with(":latest") && image.contains(':'),
                "{variant}: {image}"
            );
            // The migration must be the new version's own.
            assert_eq!(container["image"], containers[0]["image"], "{variant}");
        }
    }
}

#[test]
fn a_change_of_the_config_and_of_nothing_else_restarts_the_pods() {
    let template = |args: &[&str]| one(&render(args), "Deployment")["spec"]["template"].clone();
    let before = template(&[]);
    assert_ne!(
        before,
        template(&["--set", "config.WAYBILL_LOG_LEVEL=trace"])
    );
    assert_eq!(
        before,
        template(&["--set", "service.port=81,networkPolicy.enabled=false"])
    );
}

#[test]
fn pods_that_restart_keep_the_config_of_their_version() {
    let of = |args: &[&str]| {
        let objects = render(args);
        let config = config(&objects).clone();
        for container in containers(pod(&objects)) {
            let source = &container["envFrom"][0]["configMapRef"]["name"];
            assert_eq!(source, &config["metadata"]["name"]);
        }
        config
    };
    let (old, new) = (of(&[]), of(&["--set", "config.WAYBILL_LOG_LEVEL=trace"]));
    assert_ne!(old["metadata"]["name"], new["metadata"]["name"]);
    assert_eq!(old["immutable"], true);
    assert_eq!(old, of(&["--set", "networkPolicy.enabled=false"]));
    // A sync without pruning leaves the old one. The Application must not be OutOfSync for ever.
    assert_eq!(
        old["metadata"]["annotations"]["argocd.argoproj.io/compare-options"],
        "IgnoreExtraneous"
    );
}

#[test]
fn a_claim_that_is_kept_does_not_make_the_application_out_of_sync() {
    let objects = render(&[]);
    let annotations = &one(&objects, "PersistentVolumeClaim")["metadata"]["annotations"];
    assert_eq!(annotations["helm.sh/resource-policy"], "keep");
    assert_eq!(
        annotations["argocd.argoproj.io/sync-options"],
        "Prune=false"
    );
    assert_eq!(
        annotations["argocd.argoproj.io/compare-options"],
        "IgnoreExtraneous"
    );
}

#[test]
fn labels_say_which_image_runs() {
    let long = "a".repeat(80);
    for (tag, label) in [
        ("develop-1d7b4e0", "develop-1d7b4e0"),
        ("_x-", "x"),
        (&long, &long[..63]),
    ] {
        let objects = render(&["--set", &format!("image.tag={tag}")]);
        let deployment = workload(&objects);
        for metadata in [
            &deployment["metadata"],
            &deployment["spec"]["template"]["metadata"],
        ] {
            assert_eq!(metadata["labels"]["app.kubernetes.io/version"], label);
        }
    }
}

#[test]
fn readiness_waits_longer_than_the_database_may_take() {
    for (milliseconds, seconds) in [
        ("3000", 4),
        ("500", 2),
        ("2500", 4),
        ("1", 2),
        ("60000", 61),
    ] {
        let value = format!("config.WAYBILL_DATABASE_TIMEOUT_MS={milliseconds}");
        let objects = render(&["--set", &value]);
        let probe = &containers(pod(&objects))[1]["readinessProbe"];
        assert_eq!(probe["timeoutSeconds"], seconds, "{milliseconds} ms");
    }
    let objects = render(&[]);
    let probe = &containers(pod(&objects))[1]["readinessProbe"];
    assert_eq!(probe["timeoutSeconds"], 4, "the default of the service");
}

#[test]
fn prod_gives_a_roll_out_time_for_a_migration_or_a_new_node() {
    let file = format!("{}/values-prod.yaml", chart("waybill"));
    let objects = render(&["--values", &file]);
    let spec = &workload(&objects)["spec"];
    assert_eq!(spec["progressDeadlineSeconds"], 300);
}

#[test]
fn a_new_chart_version_changes_labels_alone() {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let copied = Command::new("cp")
        .args(["-r", &chart("waybill")])
        .arg(copy.path())
        .status();
    assert!(copied.expect("cp runs").success());
    let folder = copy.path().join("waybill");
    let about =
        std::fs::read_to_string(folder.join("Chart.yaml")).expect("the chart has a Chart.yaml");
    let newer = about.replace(
        concat!("ersion: ", env!("CARGO_PKG_VERSION")),
        "ersion: 9.9.9",
    );
    assert_ne!(about, newer);
    std::fs::write(folder.join("Chart.yaml"), newer).expect("the copy can be written");

    for file in values_files() {
        // The tag is given, because its default follows the version.
        let args = ["--values", &file, "--set", "image.tag=same"];
        let old = render(&args);
        let new = objects(&[&["waybill", &folder.display().to_string()], &args[..]].concat());
        let [old, new] = [&old, &new].map(|objects| workload(objects));
        assert_eq!(
            old["spec"], new["spec"],
            "{file}: a selector can't change, and nothing should restart"
        );
        assert_eq!(new["metadata"]["labels"]["helm.sh/chart"], "waybill-9.9.9");
    }
}

#[test]
fn service_budget_and_policy_select_the_pods() {
    for (variant, objects) in variants() {
        let deployment = workload(objects);
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (key, value) in selector.as_object().expect("labels") {
            assert_eq!(&labels[key], value, "{variant}");
        }
        assert_eq!(selector.as_object().map(serde_json::Map::len), Some(2));
        let service = named(objects, "Service", "waybill");
        assert_eq!(service["spec"]["type"], "ClusterIP", "{variant}");
        assert_eq!(&service["spec"]["selector"], selector, "{variant}");
        let port = &service["spec"]["ports"][0]["targetPort"];
        assert_eq!(
            &containers(pod(objects))[1]["ports"][0]["name"],
            port,
            "{variant}"
        );
        for budget in of_kind(objects, "PodDisruptionBudget") {
            assert_eq!(
                &budget["spec"]["selector"]["matchLabels"], selector,
                "{variant}"
            );
        }
        for policy in of_kind(objects, "NetworkPolicy") {
            assert_eq!(
                &policy["spec"]["podSelector"]["matchLabels"], selector,
                "{variant}"
            );
            assert_eq!(
                &policy["spec"]["ingress"][0]["ports"][0]["port"], port,
                "{variant}"
            );
        }
    }
}

#[test]
fn on_sqlite_one_pod_at_a_time_owns_the_volume() {
    let objects = render(&["--set", "database.sqlite.storageClassName=local-path"]);
    let deployment = workload(&objects);
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
    let claim = one(&objects, "PersistentVolumeClaim");
    assert_eq!(claim["spec"]["storageClassName"], "local-path");
    assert_eq!(
        pod(&objects)["volumes"][0]["persistentVolumeClaim"]["claimName"],
        claim["metadata"]["name"]
    );
    assert!(of_kind(&objects, "PodDisruptionBudget").is_empty());
}

#[test]
fn on_postgresql_pods_roll_without_a_gap_and_the_url_comes_from_the_secret() {
    let objects = render(&["--set", "replicas=2,database.existingSecret.name=database"]);
    let deployment = workload(&objects);
    assert_eq!(
        deployment["spec"]["strategy"]["rollingUpdate"],
        json!({"maxUnavailable": 0, "maxSurge": 1})
    );
    assert_eq!(
        one(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"],
        1
    );
    assert!(pod(&objects)["topologySpreadConstraints"].is_array());
    assert!(of_kind(&objects, "PersistentVolumeClaim").is_empty());
    for container in containers(pod(&objects)) {
        let expected = json!([{
            "name": "WAYBILL_DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}},
        }]);
        assert_eq!(container["env"], expected);
    }
    assert!(
        config(&objects)["data"]
            .get("WAYBILL_DATABASE_URL")
            .is_none()
    );
}

#[test]
fn a_pod_has_time_to_drain_before_it_is_killed() {
    for (variant, objects) in variants() {
        let config = &config(objects)["data"];
        let milliseconds = |name: &str| -> u64 {
            config[name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("{variant}: {name}"))
        };
        let stop =
            milliseconds("WAYBILL_SHUTDOWN_DELAY_MS") + milliseconds("WAYBILL_SHUTDOWN_TIMEOUT_MS");
        let grace = pod(objects)["terminationGracePeriodSeconds"]
            .as_u64()
            .expect("a number");
        assert!(
            stop < grace * 1000,
            "{variant}: {stop} ms to stop, killed after {grace} s"
        );
    }
}

#[test]
fn a_good_roll_out_ends_before_its_deadline() {
    for (variant, objects) in variants() {
        let spec = &workload(objects)["spec"];
        let probe = &containers(pod(objects))[1]["startupProbe"];
        let seconds = |value: &Value| value.as_u64().expect("a number");
        let start = seconds(&probe["periodSeconds"]) * seconds(&probe["failureThreshold"]);
        assert!(
            start + seconds(&spec["minReadySeconds"]) < seconds(&spec["progressDeadlineSeconds"]),
            "{variant}"
        );
    }
}
