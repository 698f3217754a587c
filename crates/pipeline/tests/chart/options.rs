//! What a cluster may need: further variables, volumes, labels, annotations, accounts and placement.

use crate::helm::{chart, containers, of_kind, one, pod, render, variants};
use crate::validation::refused;
use serde_json::{Value, json};

fn extras(args: &[&str]) -> Vec<Value> {
    let file = format!("{}/ci/extras-values.yaml", chart("waybill"));
    render(&[&["--values", &file], args].concat())
}

#[test]
fn both_containers_get_further_variables_and_volumes() {
    let objects = extras(&[]);
    for container in containers(pod(&objects)) {
        assert_eq!(container["env"][0]["name"], "WAYBILL_DATABASE_URL");
        assert_eq!(container["env"][1]["name"], "NODE");
        assert_eq!(
            container["envFrom"][1],
            json!({"secretRef": {"name": "further"}})
        );
        assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/ssl/certs");
    }
    assert_eq!(
        pod(&objects)["volumes"],
        json!([{"name": "authorities", "configMap": {"name": "authorities"}}])
    );
}

#[test]
fn a_variable_is_set_in_one_place() {
    refused(
        "extraEnv[0].name=WAYBILL_DATABASE_URL,extraEnv[0].value=a",
        "extraEnv[0] sets WAYBILL_DATABASE_URL, which the chart sets: use database, listenAddress or config.",
    );
    refused(
        "extraEnv[0].name=WAYBILL_LOG_LEVEL,extraEnv[0].value=info",
        "extraEnv[0] sets WAYBILL_LOG_LEVEL, which config sets too: remove one of them.",
    );
    refused(
        "extraEnv[0].name=A,extraEnv[1].name=B,extraEnv[2].name=A",
        "extraEnv[2] sets A, which an entry before it sets too: remove one of them.",
    );
    refused(
        "extraEnv[0].name=A,extraEnv[0].value=a,extraEnv[0].valueFrom.fieldRef.fieldPath=b",
        "extraEnv[0] has value and valueFrom: remove one of them.",
    );
}

#[test]
fn each_volume_and_each_path_exists_once() {
    let volume = "extraVolumes[0].name=a,extraVolumes[0].configMap.name=a";
    refused(
        "extraVolumes[0].name=data,extraVolumes[0].configMap.name=a",
        "extraVolumes[0] is named data, which SQLite's volume has: choose another name.",
    );
    refused(
        &format!("{volume},extraVolumes[1].name=a,extraVolumes[1].secret.secretName=a"),
        "extraVolumes[1] is named a, which a volume before it has: choose another name.",
    );
    refused(
        "extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=/a",
        "extraVolumeMounts[0] mounts a, which extraVolumes does not have: add the volume.",
    );
    let mounted = |first: &str, second: &str| {
        let mount = |index: u8, path: &str| {
            format!("extraVolumeMounts[{index}].name=a,extraVolumeMounts[{index}].mountPath={path}")
        };
        format!("{volume},{},{}", mount(0, first), mount(1, second))
    };
    render(&["--set", &mounted("/a", "/b")]);
    for (first, second, index, path) in [
        ("/data", "/a", 0, "/data"),
        ("/a", "/tmp", 1, "/tmp"),
        ("/a", "/a/", 1, "/a/"),
    ] {
        let sentence = format!(
            "extraVolumeMounts[{index}] uses the path {path}, where another volume is mounted: choose another path."
        );
        refused(&mounted(first, second), &sentence);
    }
}

#[test]
fn labels_and_annotations_reach_every_object_and_the_pods() {
    let objects = extras(&[]);
    let template = &one(&objects, "Deployment")["spec"]["template"];
    for metadata in objects
        .iter()
        .map(|object| &object["metadata"])
        .chain([&template["metadata"]])
    {
        assert_eq!(metadata["labels"]["team"], "platform", "{metadata}");
        assert_eq!(metadata["annotations"]["example.com/contact"], "platform");
    }
    assert_eq!(template["metadata"]["labels"]["tier"], "backend");
    assert_eq!(
        template["metadata"]["annotations"]["example.com/scrape"],
        "true"
    );
    let selector = &one(&objects, "Deployment")["spec"]["selector"]["matchLabels"];
    assert!(
        selector.get("team").is_none(),
        "a selector can't be changed"
    );
    let service = &one(&objects, "Service")["metadata"]["annotations"];
    assert_eq!(service["example.com/owner"], "platform");
}

#[test]
fn a_label_of_the_chart_cannot_be_replaced() {
    for key in ["commonLabels", "podLabels"] {
        let refused =
            crate::helm::refusal(&["--set", &format!("{key}.app\\.kubernetes\\.io/name=other")]);
        assert!(refused.contains(&format!("/{key}")), "{refused}");
    }
}

#[test]
fn the_service_account_may_be_another() {
    let account = |args: &[&str]| {
        let objects = render(args);
        let created = of_kind(&objects, "ServiceAccount").len();
        (pod(&objects)["serviceAccountName"].clone(), created)
    };
    assert_eq!(account(&[]), (json!("waybill"), 1));
    assert_eq!(
        account(&["--set", "serviceAccount.name=ledger"]),
        (json!("ledger"), 1)
    );
    assert_eq!(
        account(&["--set", "serviceAccount.create=false"]),
        (json!("default"), 0)
    );
    let existing = "serviceAccount.create=false,serviceAccount.name=ledger";
    assert_eq!(account(&["--set", existing]), (json!("ledger"), 0));
}

#[test]
fn where_the_cluster_assigns_users_the_chart_names_none() {
    let objects = extras(&[]);
    assert_eq!(
        pod(&objects)["securityContext"],
        json!({
            "runAsNonRoot": true,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    let refused = crate::helm::refusal(&["--set", "podSecurityContext.runAsNonRoot=false"]);
    assert!(
        refused.contains("/podSecurityContext/runAsNonRoot"),
        "{refused}"
    );
}

#[test]
fn several_pods_are_spread_over_zones_and_nodes() {
    for (variant, objects) in variants() {
        let several = !of_kind(objects, "PodDisruptionBudget").is_empty();
        let constraints = &pod(objects)["topologySpreadConstraints"];
        let keys: Vec<&Value> = constraints
            .as_array()
            .into_iter()
            .flatten()
            .map(|constraint| &constraint["topologyKey"])
            .collect();
        if several {
            let expected = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"];
            assert_eq!(keys, expected, "{variant}");
        } else {
            assert!(keys.is_empty(), "{variant}");
        }
    }
}

#[test]
fn placement_is_a_value() {
    let objects = extras(&[]);
    assert_eq!(pod(&objects)["priorityClassName"], "important");
    assert!(pod(&objects)["affinity"]["podAntiAffinity"].is_object());
}

#[test]
fn sqlite_may_use_an_existing_claim() {
    let objects = render(&["--set", "database.sqlite.existingClaim=ledger"]);
    assert!(of_kind(&objects, "PersistentVolumeClaim").is_empty());
    let volume = &pod(&objects)["volumes"][0];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "ledger");
}

#[test]
fn the_url_of_the_database_may_come_from_a_secret_store() {
    let values = "database.existingSecret.name=database,externalSecret.enabled=true,\
                  externalSecret.secretStoreRef.name=vault,externalSecret.remoteRef.key=ledger/url";
    let objects = render(&["--set", values]);
    let secret = &one(&objects, "ExternalSecret")["spec"];
    assert_eq!(secret["target"]["name"], "database");
    assert_eq!(
        secret["data"],
        json!([{
            "secretKey": "url",
            "remoteRef": {
                "key": "ledger/url",
                "conversionStrategy": "Default",
                "decodingStrategy": "None",
                "metadataPolicy": "None",
            },
        }])
    );
    refused(
        "database.existingSecret.name=database,externalSecret.enabled=true,externalSecret.remoteRef.key=a",
        "externalSecret.enabled needs externalSecret.secretStoreRef.name: set it, or create the Secret yourself.",
    );
}
