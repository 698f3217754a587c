//! The two charts as Helm renders them: what an environment gets, what a typo gets, and what restarts pods.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const REPO_URL: &str = "https://forge.example/waybill/waybill.git";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn chart(name: &str) -> String {
    let folder = match name {
        "waybill" => root().join("charts/waybill"),
        _ => root().join(name),
    };
    folder.display().to_string()
}

/// Runs Helm and gives what it printed, or its complaint.
fn helm(args: &[&str]) -> Result<String, String> {
    let output = Command::new("helm")
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!("can't run helm ({error}): `cargo pipeline tools` installs it")
        });
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let text = |bytes| String::from_utf8(bytes).expect("helm prints UTF-8");
    if status.success() {
        Ok(text(stdout))
    } else {
        Err(text(stderr) + &text(stdout))
    }
}

/// The objects that `helm template` prints.
fn objects(args: &[&str]) -> Vec<Value> {
    let text = helm(&[&["template"], args].concat()).expect("the chart renders");
    serde_saphyr::from_multiple(&text).expect("Helm prints YAML")
}

/// The service's objects, as in the release `waybill`.
fn render(args: &[&str]) -> Vec<Value> {
    objects(&[&["waybill", &chart("waybill")], args].concat())
}

/// Argo CD's objects, as in the bootstrap.
fn render_argocd(args: &[&str]) -> Vec<Value> {
    objects(
        &[
            &[
                "argocd",
                &chart("argocd"),
                "--set",
                &format!("repoURL={REPO_URL}"),
            ],
            args,
        ]
        .concat(),
    )
}

/// How the chart refuses these values.
fn refusal(args: &[&str]) -> String {
    let lint = helm(&[&["lint", &chart("waybill")], args].concat());
    lint.expect_err("`helm lint` must refuse this");
    helm(&[&["template", "waybill", &chart("waybill")], args].concat())
        .expect_err("`helm template` must refuse this")
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    match of_kind(objects, kind)[..] {
        [object] => object,
        ref found => panic!("expected one {kind}, found {}", found.len()),
    }
}

fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    of_kind(objects, kind)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// `values-<env>.yaml` of each environment, and the variants `ci/<name>-values.yaml`.
fn values_files() -> Vec<String> {
    let folder = PathBuf::from(chart("waybill"));
    let mut files: Vec<String> = [folder.clone(), folder.join("ci")]
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("the folder can be read"))
        .map(|entry| {
            entry
                .expect("the folder can be read")
                .path()
                .display()
                .to_string()
        })
        .filter(|path| path.contains("/values-") || path.ends_with("-values.yaml"))
        .collect();
    files.sort();
    files
}

/// Each variant of the service's objects with a name for messages.
fn variants() -> Vec<(String, Vec<Value>)> {
    let files = values_files();
    assert!(files.len() >= 3, "{files:?}");
    let mut variants = vec![("values.yaml alone".to_owned(), render(&[]))];
    variants.extend(files.into_iter().map(|file| {
        let objects = render(&["--values", &file]);
        (file, objects)
    }));
    variants
}

fn pod(objects: &[Value]) -> &Value {
    &one(objects, "Deployment")["spec"]["template"]["spec"]
}

fn containers(pod: &Value) -> Vec<&Value> {
    let list = |key: &str| {
        pod[key]
            .as_array()
            .expect("the pod has containers of both kinds")
    };
    list("initContainers")
        .iter()
        .chain(list("containers"))
        .collect()
}

fn strings(list: &Value, key: &str) -> BTreeSet<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry[key].as_str().expect("a string").to_owned())
        .collect()
}

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

#[test]
fn every_container_is_restricted_bounded_and_pinned() {
    for (variant, objects) in variants() {
        let pod = pod(&objects);
        assert_eq!(pod["automountServiceAccountToken"], false, "{variant}");
        assert_eq!(pod["enableServiceLinks"], false, "{variant}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{variant}");
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{variant}");
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
fn the_default_image_is_the_release_of_the_charts_app_version() {
    let objects = render(&[]);
    let image = containers(pod(&objects))[1]["image"].clone();
    assert_eq!(
        image,
        format!("ghcr.io/waybill/waybill:v{}", env!("CARGO_PKG_VERSION"))
    );
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
        let [old, new] = [&old, &new].map(|objects| one(objects, "Deployment"));
        assert_eq!(
            old["spec"], new["spec"],
            "{file}: a selector can't change, and nothing should restart"
        );
        assert_eq!(
            new["metadata"]["labels"]["app.kubernetes.io/version"],
            "9.9.9"
        );
    }
}

#[test]
fn service_budget_and_policy_select_the_pods() {
    for (variant, objects) in variants() {
        let deployment = one(&objects, "Deployment");
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(
            &deployment["spec"]["template"]["metadata"]["labels"], selector,
            "{variant}"
        );
        let service = one(&objects, "Service");
        assert_eq!(service["spec"]["type"], "ClusterIP", "{variant}");
        assert_eq!(&service["spec"]["selector"], selector, "{variant}");
        let port = &service["spec"]["ports"][0]["targetPort"];
        assert_eq!(
            &containers(pod(&objects))[1]["ports"][0]["name"],
            port,
            "{variant}"
        );
        for budget in of_kind(&objects, "PodDisruptionBudget") {
            assert_eq!(
                &budget["spec"]["selector"]["matchLabels"], selector,
                "{variant}"
            );
        }
        for policy in of_kind(&objects, "NetworkPolicy") {
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
    let deployment = one(&objects, "Deployment");
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
    let deployment = one(&objects, "Deployment");
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
        one(&objects, "ConfigMap")["data"]
            .get("WAYBILL_DATABASE_URL")
            .is_none()
    );
}

#[test]
fn no_config_map_holds_a_credential() {
    for (variant, objects) in variants() {
        for (name, value) in one(&objects, "ConfigMap")["data"]
            .as_object()
            .expect("data")
        {
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
fn a_pod_has_time_to_drain_before_it_is_killed() {
    for (variant, objects) in variants() {
        let config = &one(&objects, "ConfigMap")["data"];
        let milliseconds = |name: &str| -> u64 {
            config[name]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("{variant}: {name}"))
        };
        let stop =
            milliseconds("WAYBILL_SHUTDOWN_DELAY_MS") + milliseconds("WAYBILL_SHUTDOWN_TIMEOUT_MS");
        let grace = pod(&objects)["terminationGracePeriodSeconds"]
            .as_u64()
            .expect("a number");
        assert!(
            stop < grace * 1000,
            "{variant}: {stop} ms to stop, killed after {grace} s"
        );
    }
}

#[test]
fn sqlite_with_two_replicas_is_refused_and_both_ways_out_are_named() {
    let complaint = refusal(&["--set", "replicas=2"]);
    assert!(
        complaint.contains("at '/replicas': maximum: got 2, want 1"),
        "{complaint}"
    );
    assert!(
        complaint.contains("at '/database/existingSecret/name': minLength"),
        "{complaint}"
    );
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
    ] {
        let refused = refusal(&["--set", values]);
        assert!(refused.contains(complaint), "{values}: {refused}");
    }
}

#[test]
fn a_good_roll_out_ends_before_its_deadline() {
    for (variant, objects) in variants() {
        let spec = &one(&objects, "Deployment")["spec"];
        let probe = &containers(pod(&objects))[1]["startupProbe"];
        let seconds = |value: &Value| value.as_u64().expect("a number");
        let start = seconds(&probe["periodSeconds"]) * seconds(&probe["failureThreshold"]);
        assert!(
            start + seconds(&spec["minReadySeconds"]) < seconds(&spec["progressDeadlineSeconds"]),
            "{variant}"
        );
    }
}

#[test]
fn the_root_application_renders_itself_as_it_was_bootstrapped() {
    let bootstrapped = render_argocd(&[]);
    let source = &named(&bootstrapped, "Application", "waybill")["spec"]["source"];
    assert_eq!(source["path"], "argocd");
    assert_eq!(source["targetRevision"], "main");
    let parameters: Vec<String> = source["helm"]["parameters"]
        .as_array()
        .expect("parameters")
        .iter()
        .map(|parameter| {
            let text = |key: &str| parameter[key].as_str().expect("a string");
            format!("{}={}", text("name"), text("value"))
        })
        .collect();
    // As Argo CD calls Helm: release and namespace are the Application's name and its destination.
    let chart = chart("argocd");
    let mut args = vec!["waybill", &chart, "--namespace", "argocd"];
    args.extend(parameters.iter().flat_map(|parameter| ["--set", parameter]));
    assert_eq!(objects(&args), bootstrapped);
}

#[test]
fn each_environment_may_write_its_own_namespace_and_only_what_the_chart_is_made_of() {
    let argocd = render_argocd(&[]);
    let kinds: BTreeSet<String> = variants()
        .iter()
        .flat_map(|(_, objects)| {
            objects
                .iter()
                .map(|object| object["kind"].as_str().expect("a kind").to_owned())
        })
        .collect();
    let mut namespaces = BTreeSet::new();
    for application in of_kind(&argocd, "Application") {
        let name = application["metadata"]["name"].as_str().expect("a name");
        let spec = &application["spec"];
        let project = &named(
            &argocd,
            "AppProject",
            spec["project"].as_str().expect("a project"),
        )["spec"];
        assert_eq!(spec["source"]["repoURL"], REPO_URL);
        assert_eq!(project["sourceRepos"], json!([REPO_URL]));
        assert_eq!(project["destinations"], json!([spec["destination"]]));
        let namespace = spec["destination"]["namespace"]
            .as_str()
            .expect("a namespace");
        assert!(
            namespaces.insert(namespace.to_owned()),
            "{namespace} belongs to two projects"
        );
        if name != "waybill" {
            assert_eq!(namespace, name);
            // What a Deployment owns too, or Argo CD would not show it.
            let mut allowed = kinds.clone();
            allowed.extend(["Pod".to_owned(), "ReplicaSet".to_owned()]);
            assert_eq!(
                strings(&project["namespaceResourceWhitelist"], "kind"),
                allowed
            );
            let own = json!([{"group": "", "kind": "Namespace", "name": namespace}]);
            assert_eq!(project["clusterResourceWhitelist"], own);
        }
    }
}

#[test]
fn what_the_applications_point_at_is_in_the_repository() {
    for application in of_kind(&render_argocd(&[]), "Application") {
        let source = &application["spec"]["source"];
        let path = root().join(source["path"].as_str().expect("a path"));
        assert!(path.join("Chart.yaml").is_file(), "{}", path.display());
        for file in source["helm"]["valueFiles"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let file = path.join(file.as_str().expect("a file name"));
            assert!(file.is_file(), "{}", file.display());
        }
    }
}

#[test]
fn dev_follows_develop_by_itself_and_others_wait_for_a_person() {
    let argocd = render_argocd(&[]);
    let dev = &named(&argocd, "Application", "waybill-dev")["spec"];
    assert_eq!(dev["source"]["targetRevision"], "develop");
    assert_eq!(dev["source"]["helm"]["releaseName"], "waybill");
    assert_eq!(
        dev["syncPolicy"]["automated"],
        json!({"prune": true, "selfHeal": true})
    );
    assert_eq!(dev["syncPolicy"]["retry"]["refresh"], true);
    for (name, branch) in [("waybill-staging", "staging"), ("waybill-prod", "main")] {
        let spec = &named(&argocd, "Application", name)["spec"];
        assert_eq!(spec["source"]["targetRevision"], branch);
        assert!(spec["syncPolicy"].get("automated").is_none(), "{name}");
        let labels = &spec["syncPolicy"]["managedNamespaceMetadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
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
