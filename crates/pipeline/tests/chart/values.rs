//! The values of the chart: the environments, and which values it refuses.

use crate::helm::{
    chart, config, containers, helm, one, pod, refusal, render, root, values_files, variants,
};
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn every_values_file_lints_and_renders_the_same_twice() {
    for file in values_files() {
        if let Err(complaint) = helm(&["lint", "--strict", &chart("waybill"), "--values", &file]) {
            panic!("{file}: {complaint}");
        }
        assert_eq!(
            render(&["--values", &file]),
            render(&["--values", &file]),
            "{file}"
        );
    }
    helm(&["lint", "--strict", &chart("argocd")]).expect("the argocd chart lints");
}

/// The lab, the runbook and the Secrets that people create rely on these names.
#[test]
fn every_environment_names_its_objects_the_same() {
    for file in values_files() {
        let objects = render(&["--values", &file]);
        for object in &objects {
            let name = object["metadata"]["name"].as_str().expect("a name");
            match object["kind"].as_str().expect("a kind") {
                "ConfigMap" => assert!(name.starts_with("waybill-"), "{file}: {name}"),
                "ServiceAccount" => {}
                "Service" => assert!(
                    ["waybill", "waybill-canary"].contains(&name),
                    "{file}: {name}"
                ),
                "Job" | "Pod" => assert!(name.starts_with("waybill-"), "{file}: {name}"),
                kind => assert_eq!(name, "waybill", "{file}: {kind}"),
            }
            assert!(object["metadata"].get("namespace").is_none(), "{file}");
        }
        let names: Vec<&Value> = containers(pod(&objects))
            .iter()
            .map(|container| &container["name"])
            .collect();
        assert_eq!(names, ["migrate", "waybill"], "{file}");
    }
}

#[test]
fn environments_run_a_digest_and_not_a_tag() {
    for file in values_files()
        .iter()
        .filter(|file| file.contains("/values-"))
    {
        let objects = render(&["--values", file]);
        let image = containers(pod(&objects))[1]["image"]
            .as_str()
            .expect("an image");
        let (_, digest) = image
            .split_once("@sha256:")
            .unwrap_or_else(|| panic!("{file}: no digest in {image}"));
        assert_eq!(digest.len(), 64, "{file}: {image}");
    }
}

#[test]
fn the_config_takes_every_setting_that_the_service_documents_and_no_other() {
    let table = std::fs::read_to_string(root().join("docs/service.md"))
        .expect("the service's settings are documented");
    let documented: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("WAYBILL_"))
        .collect();
    let schema = std::fs::read_to_string(root().join("charts/waybill/values.schema.json"))
        .expect("a schema");
    let schema: Value = serde_json::from_str(&schema).expect("the schema is JSON");
    let settings = schema["properties"]["config"]["properties"]
        .as_object()
        .expect("settings");
    // The chart itself decides these two.
    let fixed = ["WAYBILL_DATABASE_URL", "WAYBILL_HTTP_ADDR"];
    let taken: BTreeSet<&str> = settings.keys().map(String::as_str).chain(fixed).collect();
    assert_eq!(taken, documented);
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    for (values, complaint) in [
        ("replicsa=2", "additional properties 'replicsa' not allowed"),
        (
            "image.tga=v1",
            "at '/image': additional properties 'tga' not allowed",
        ),
        (
            "config.WAYBILL_LOG_LEVLE=info",
            "at '/config': additional properties 'WAYBILL_LOG_LEVLE' not allowed",
        ),
        (
            "config.WAYBILL_LOG_LEVEL=loud",
            "at '/config/WAYBILL_LOG_LEVEL'",
        ),
        (
            "config.WAYBILL_DATABASE_URL=postgres://u:p@h/d",
            "additional properties 'WAYBILL_DATABASE_URL' not allowed",
        ),
        ("image.digest=sha256:12", "at '/image/digest'"),
        ("image.tag=not a tag", "at '/image/tag'"),
        (
            "resources.limits.memory=64",
            "at '/resources/limits/memory'",
        ),
        (
            "resources.limits.memory=lots",
            "at '/resources/limits/memory'",
        ),
        ("service.port=0", "at '/service/port'"),
        (
            "service.ipFamilyPolicy=IPv6",
            "at '/service/ipFamilyPolicy'",
        ),
        ("networkPolicy.from=null", "missing property 'from'"),
        (
            "podSecurityContext.seccompProfile.type=Unconfined",
            "at '/podSecurityContext/seccompProfile/type'",
        ),
        ("listenAddress=10.0.0.1", "at '/listenAddress'"),
    ] {
        let refused = refusal(&["--set", values]);
        assert!(refused.contains(complaint), "{values}: {refused}");
    }
}

#[test]
fn a_wrong_option_for_a_cluster_is_refused_by_name() {
    for (values, complaint) in [
        (
            "ingress.host=a",
            "at '/ingress': additional properties 'host' not allowed",
        ),
        ("ingress.hosts={A_b}", "at '/ingress/hosts/0'"),
        ("ingress.hosts={a..b}", "at '/ingress/hosts/0'"),
        ("ingress.hosts={a.-b.c}", "at '/ingress/hosts/0'"),
        (
            "httpRoute.hostnames={10.0.0.1}",
            "at '/httpRoute/hostnames/0'",
        ),
        (
            "networkPolicy.from[0].podSelector.matchLabel.a=b",
            "at '/networkPolicy/from/0/podSelector': additional properties 'matchLabel' not allowed",
        ),
        (
            "networkPolicy.from[0].ipBlock.cidr=10.0.0.1",
            "at '/networkPolicy/from/0/ipBlock/cidr'",
        ),
        (
            "networkPolicy.from[0].ipBlock.cidr=::/0,networkPolicy.from[0].podSelector.matchLabels.a=b",
            "at '/networkPolicy/from/0': maxProperties: got 2, want 1",
        ),
        (
            "networkPolicy.from[0].podselector.a=b",
            "at '/networkPolicy/from/0': additional properties 'podselector' not allowed",
        ),
        ("autoscaling.averageCPU=80%", "at '/autoscaling/averageCPU'"),
        (
            "externalSecret.secretStoreRef.kind=Vault",
            "at '/externalSecret/secretStoreRef/kind'",
        ),
        (
            "extraEnv[0].value=a",
            "at '/extraEnv/0': missing property 'name'",
        ),
        (
            "extraEnv[0].name=A,extraEnv[0].valueFrom.secretKey.name=a",
            "at '/extraEnv/0/valueFrom': additional properties 'secretKey' not allowed",
        ),
        ("extraEnvFrom[0].prefix=A", "at '/extraEnvFrom/0'"),
        ("extraVolumes[0].name=a", "at '/extraVolumes/0'"),
        (
            "extraVolumes[0].name=a,extraVolumes[0].emptydir.sizeLimit=1Gi",
            "at '/extraVolumes/0': additional properties 'emptydir' not allowed",
        ),
        (
            "extraVolumes[0].name=a.b,extraVolumes[0].configMap.name=a",
            "at '/extraVolumes/0/name'",
        ),
        (
            "database.existingSecret.name=a..b",
            "at '/database/existingSecret/name'",
        ),
        ("nodeSelector.a=not a label", "at '/nodeSelector/a'"),
        (
            "affinity.podAntiAffinity.required.a=b",
            "at '/affinity/podAntiAffinity': additional properties 'required' not allowed",
        ),
        ("podAnnotations.a=1", "at '/podAnnotations/a'"),
        ("priorityClassName=High", "at '/priorityClassName'"),
    ] {
        let refused = refusal(&["--set", values]);
        assert!(refused.contains(complaint), "{values}: {refused}");
    }
}

#[test]
fn environments_differ_in_replicas_and_resources() {
    let of = |name: &str| {
        let file = format!("{}/values-{name}.yaml", chart("waybill"));
        let objects = render(&["--values", &file]);
        let replicas = one(&objects, "Deployment")["spec"]["replicas"].as_u64();
        let resources = containers(pod(&objects))[1]["resources"].clone();
        (replicas.expect("a number"), resources)
    };
    let (dev, staging, prod) = (of("dev"), of("staging"), of("prod"));
    assert!(dev.0 < staging.0 && staging.0 < prod.0);
    assert!(dev.1 != staging.1 && staging.1 != prod.1 && dev.1 != prod.1);
}

#[test]
fn the_default_image_is_the_release_of_the_charts_app_version() {
    let objects = render(&[]);
    let image = containers(pod(&objects))[1]["image"].clone();
    assert_eq!(
        image,
        format!("ghcr.io/waybill/waybill:v{}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn no_config_map_holds_a_credential() {
    for (variant, objects) in variants() {
        for (name, value) in config(objects)["data"].as_object().expect("data") {
            let value = value
                .as_str()
                .unwrap_or_else(|| panic!("{variant}: {name} isn't a string"));
            assert!(
                !value.contains('@'),
                "{variant}: {name} looks like a URL with a password"
            );
            for word in ["PASSWORD", "TOKEN", "SECRET"] {
                assert!(!name.contains(word), "{variant}: {name}");
            }
        }
    }
}
