//! The Applications and projects of Argo CD.

use crate::helm::{
    REPO_URL, chart, helm, named, objects, of_kind, render_argocd, root, strings, variants,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn the_root_application_renders_the_chart_that_bootstrapped_it() {
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
    args.extend(
        parameters
            .iter()
            .flat_map(|parameter| ["--set-string", parameter]),
    );
    assert_eq!(objects(&args), bootstrapped);
}

/// Kinds that an environment may write only if its entry has them in `optionalKinds`.
const OPTIONAL: [&str; 9] = [
    "HorizontalPodAutoscaler",
    "Ingress",
    "HTTPRoute",
    "ExternalSecret",
    "PodMonitor",
    "PrometheusRule",
    "Rollout",
    "AnalysisTemplate",
    "AnalysisRun",
];

/// The kinds of objects that the chart creates, without the optional ones.
fn kinds() -> BTreeSet<String> {
    let variants = variants();
    let kinds = variants.iter().flat_map(|(_, objects)| objects);
    let kinds = kinds.filter_map(|object| object["kind"].as_str());
    let kinds = kinds.filter(|kind| !OPTIONAL.contains(kind));
    kinds.map(str::to_owned).collect()
}

#[test]
fn an_optional_kind_is_allowed_in_its_environment_only() {
    let values = format!("environments.dev.optionalKinds={{{}}}", OPTIONAL.join(","));
    let argocd = render_argocd(&["--set", &values]);
    let allowed = |name| {
        let project = named(&argocd, "AppProject", name);
        project["spec"]["namespaceResourceWhitelist"].clone()
    };
    let dev = allowed("waybill-dev");
    for (kind, group) in OPTIONAL.iter().zip([
        "autoscaling",
        "networking.k8s.io",
        "gateway.networking.k8s.io",
        "external-secrets.io",
        "monitoring.coreos.com",
        "monitoring.coreos.com",
        "argoproj.io",
        "argoproj.io",
        "argoproj.io",
    ]) {
        let entry = json!({"group": group, "kind": kind});
        assert!(dev.as_array().expect("a list").contains(&entry), "{entry}");
        assert!(!strings(&allowed("waybill-prod"), "kind").contains(*kind));
    }
}

#[test]
fn each_environment_may_write_only_its_namespace_and_the_kinds_of_the_chart() {
    let argocd = render_argocd(&[]);
    let kinds = kinds();
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
fn the_repository_has_the_files_that_the_applications_name() {
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
fn dev_syncs_automatically_and_the_other_environments_by_hand() {
    let argocd = render_argocd(&[]);
    let dev = &named(&argocd, "Application", "waybill-dev")["spec"];
    assert_eq!(dev["source"]["targetRevision"], "develop");
    assert_eq!(dev["source"]["helm"]["releaseName"], "waybill");
    assert_eq!(
        dev["syncPolicy"]["automated"],
        json!({"enabled": true, "prune": true, "selfHeal": true})
    );
    for (name, branch) in [("waybill-staging", "staging"), ("waybill-prod", "main")] {
        let spec = &named(&argocd, "Application", name)["spec"];
        assert_eq!(spec["source"]["targetRevision"], branch);
        // Argo CD ignores what Git does not state, so an absent field would hide that automatic sync was switched on.
        assert_eq!(spec["syncPolicy"]["automated"], json!({"enabled": false}));
        let labels = &spec["syncPolicy"]["managedNamespaceMetadata"]["labels"];
        assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

/// A manual sync copies the retry policy. A retry with `refresh` deploys commits that nobody confirmed, and a retry
/// without it makes a rollback wait.
#[test]
fn only_an_automatic_sync_is_retried() {
    for application in of_kind(&render_argocd(&[]), "Application") {
        let policy = &application["spec"]["syncPolicy"];
        let automatic = policy["automated"]["enabled"] == true;
        assert_eq!(policy.get("retry").is_some(), automatic, "{application}");
        assert_eq!(policy["retry"]["refresh"] == true, automatic);
    }
}

/// With a last wave, a sync goes on until the pods are healthy. A person could not roll back before.
#[test]
fn an_environment_prunes_last_only_if_it_syncs_automatically() {
    for application in of_kind(&render_argocd(&[]), "Application") {
        let policy = &application["spec"]["syncPolicy"];
        let options = policy["syncOptions"].as_array().cloned();
        let last = options
            .unwrap_or_default()
            .contains(&json!("PruneLast=true"));
        let dev = application["metadata"]["name"] == "waybill-dev";
        assert_eq!(last, dev, "{application}");
    }
}

/// Argo CD reports no difference for fields that Git does not state. A role or a kind that someone adds in the cluster
/// would stay.
#[test]
fn a_project_states_every_field_that_could_be_added_in_the_cluster() {
    let known = std::fs::read_to_string(root().join("nix/tests/argocd-fields.json"))
        .expect("the fields of Argo CD's objects");
    let known: Value = serde_json::from_str(&known).expect("JSON");
    let fields = known["spec"]["AppProject"].as_object().expect("fields");
    assert!(fields.len() > 10);
    for project in of_kind(&render_argocd(&[]), "AppProject") {
        let stated = project["spec"].as_object().expect("a specification");
        for field in fields.keys() {
            // It only adds warnings about objects that belong to no Application.
            if field != "orphanedResources" {
                assert!(stated.contains_key(field), "{field} of {project}");
            }
        }
    }
}

#[test]
fn the_root_may_write_no_object_outside_a_namespace() {
    let argocd = render_argocd(&[]);
    let root = &named(&argocd, "AppProject", "waybill")["spec"];
    assert_eq!(root["clusterResourceWhitelist"], json!([]));
    assert_eq!(
        root["clusterResourceBlacklist"],
        json!([{"group": "*", "kind": "*"}])
    );
}

/// The paths of empty fields. `enabled` is a pointer in Argo CD, so its `false` is written.
fn empty(value: &Value, path: &str) -> Vec<String> {
    let is_empty = match value {
        Value::Null | Value::Bool(false) => path != ".syncPolicy.automated.enabled",
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    };
    let below = value.as_object().into_iter().flatten();
    let below = below.flat_map(|(key, value)| empty(value, &format!("{path}.{key}")));
    is_empty
        .then(|| path.to_owned())
        .into_iter()
        .chain(below)
        .collect()
}

/// Argo CD writes an Application back with each sync, without its empty fields. If Git states one, the root finds a
/// difference after each sync, and its own syncs never end.
#[test]
fn an_application_states_no_empty_field() {
    for application in of_kind(&render_argocd(&[]), "Application") {
        assert_eq!(empty(&application["spec"], ""), [""; 0], "{application}");
    }
}

#[test]
fn projects_exist_before_their_applications_and_nothing_is_pruned_without_confirmation() {
    for object in render_argocd(&[]) {
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(
            annotations["argocd.argoproj.io/sync-options"], "Prune=confirm",
            "{object}"
        );
        let wave = annotations.get("argocd.argoproj.io/sync-wave");
        let first = (object["kind"] == "AppProject").then(|| json!("-1"));
        assert_eq!(wave, first.as_ref(), "{object}");
    }
}

/// The order in argocd/README.md depends on this: the project lasts until the Application is deleted.
#[test]
fn removing_an_environment_removes_its_application_and_its_project_and_nothing_else() {
    let without = render_argocd(&[]);
    let with = render_argocd(&[
        "--set",
        "environments.qa.branch=qa,environments.qa.automated=false",
    ]);
    let removed: Vec<&Value> = with
        .iter()
        .filter(|object| !without.contains(object))
        .collect();
    let names: Vec<&Value> = removed
        .iter()
        .map(|object| &object["metadata"]["name"])
        .collect();
    assert_eq!(names, ["waybill-qa", "waybill-qa"]);
    assert!(without.iter().all(|object| with.contains(object)));

    let readme = std::fs::read_to_string(root().join("argocd/README.md")).expect("a README");
    let steps = [
        "remove the entry",
        "argocd app delete waybill-qa --cascade",
        "argocd app confirm-deletion waybill\n",
        "kubectl delete namespace waybill-qa",
    ];
    let places = steps.map(|step| {
        let found = readme.find(step);
        found.unwrap_or_else(|| panic!("argocd/README.md lacks `{step}`"))
    });
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn cluster_and_namespaces_are_values() {
    let values = "argocdNamespace=gitops,server=https://prod.example:6443,environments.dev.namespace=shop,\
                  environments.staging.server=https://staging.example";
    let argocd = render_argocd(&["--set", values]);
    let destination = |name| named(&argocd, "Application", name)["spec"]["destination"].clone();
    // The root writes Argo CD's own objects, so its cluster is always the one that Argo CD runs in.
    assert_eq!(
        destination("waybill"),
        json!({"server": "https://kubernetes.default.svc", "namespace": "gitops"})
    );
    assert_eq!(
        destination("waybill-dev"),
        json!({"server": "https://prod.example:6443", "namespace": "shop"})
    );
    assert_eq!(
        destination("waybill-staging"),
        json!({"server": "https://staging.example", "namespace": "waybill-staging"})
    );
    for name in ["waybill", "waybill-dev", "waybill-staging"] {
        let project = &named(&argocd, "AppProject", name)["spec"];
        assert_eq!(project["destinations"], json!([destination(name)]));
    }
    let dev = &named(&argocd, "AppProject", "waybill-dev")["spec"];
    assert_eq!(dev["clusterResourceWhitelist"][0]["name"], "shop");
    // The root renders itself with the values that it was applied with.
    let parameters = &named(&argocd, "Application", "waybill")["spec"]["source"]["helm"];
    assert_eq!(
        parameters["parameters"],
        json!([
            {"name": "repoURL", "value": REPO_URL, "forceString": true},
            {"name": "argocdNamespace", "value": "gitops", "forceString": true},
            {"name": "server", "value": "https://prod.example:6443", "forceString": true},
            {"name": "commitStatus", "value": "github", "forceString": true},
        ])
    );
}

#[test]
fn groups_may_view_or_sync_one_environment() {
    let values = "environments.prod.syncers={release,oncall},environments.prod.viewers={everyone}";
    let argocd = render_argocd(&["--set", values]);
    let roles = |name| named(&argocd, "AppProject", name)["spec"]["roles"].clone();
    assert_eq!(roles("waybill-dev"), json!([]));
    let prod = roles("waybill-prod");
    assert_eq!(prod[0]["name"], "viewer");
    assert_eq!(prod[0]["groups"], json!(["everyone"]));
    assert_eq!(
        prod[0]["policies"],
        json!([
            "p, proj:waybill-prod:viewer, applications, get, waybill-prod/*, allow",
            "p, proj:waybill-prod:viewer, logs, get, waybill-prod/*, allow",
        ])
    );
    assert_eq!(prod[1]["name"], "syncer");
    assert_eq!(prod[1]["groups"], json!(["release", "oncall"]));
    assert_eq!(
        prod[1]["policies"],
        json!([
            "p, proj:waybill-prod:syncer, applications, get, waybill-prod/*, allow",
            "p, proj:waybill-prod:syncer, logs, get, waybill-prod/*, allow",
            "p, proj:waybill-prod:syncer, applications, sync, waybill-prod/*, allow",
        ])
    );
}

/// After an abort a sync does nothing: people need the action `retry`.
#[test]
fn syncers_of_a_canary_may_act_on_its_rollout() {
    let policies = |values: &str| {
        let argocd = render_argocd(&["--set", values]);
        named(&argocd, "AppProject", "waybill-prod")["spec"]["roles"][0]["policies"].clone()
    };
    let syncers = "environments.prod.syncers={release}";
    let action = "p, proj:waybill-prod:syncer, applications, action/argoproj.io/Rollout/*, waybill-prod/*, allow";
    let may = |values: &str| {
        policies(values)
            .as_array()
            .is_some_and(|all| all.contains(&json!(action)))
    };
    assert!(!may(syncers));
    assert!(may(&format!(
        "{syncers},environments.prod.optionalKinds={{Rollout}}"
    )));
}

#[test]
fn a_sync_window_lets_people_sync_unless_it_says_otherwise() {
    let window = "environments.prod.syncWindows[0].kind=deny,environments.prod.syncWindows[0].schedule=0 18 * * 5,\
                  environments.prod.syncWindows[0].duration=60h,environments.prod.syncWindows[0].timeZone=Europe/Berlin";
    let windows = |args: &[&str]| {
        named(&render_argocd(args), "AppProject", "waybill-prod")["spec"]["syncWindows"].clone()
    };
    assert_eq!(windows(&[]), json!([]));
    let expected = json!([{
        "kind": "deny", "schedule": "0 18 * * 5", "duration": "60h", "timeZone": "Europe/Berlin",
        "applications": ["*"], "manualSync": true,
    }]);
    assert_eq!(windows(&["--set", window]), expected);
    let strict = format!("{window},environments.prod.syncWindows[0].manualSync=false");
    assert_eq!(windows(&["--set", &strict])[0]["manualSync"], false);
}

#[test]
fn a_wrong_value_of_an_environment_is_refused_by_name() {
    for (values, complaint) in [
        ("environments.prod.branch=", "/environments/prod/branch"),
        (
            "environments.prod.syncer={a}",
            "additional properties 'syncer' not allowed",
        ),
        (
            "environments.prod.syncWindows[0].kind=maybe",
            "/environments/prod/syncWindows/0",
        ),
        (
            "environments.prod.optionalKinds={Secret}",
            "/environments/prod/optionalKinds/0",
        ),
        (
            "environments.prod.namespace=Prod",
            "/environments/prod/namespace",
        ),
        ("argocdNamespace=", "/argocdNamespace"),
        ("server=cluster", "/server"),
    ] {
        let refused = helm(&["template", "argocd", &chart("argocd"), "--set", values]);
        let refused = refused.expect_err("Helm must refuse this");
        assert!(refused.contains(complaint), "{values}: {refused}");
    }
}
