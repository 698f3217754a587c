//! The Applications and projects of Argo CD.

use crate::helm::{
    REPO_URL, chart, named, objects, of_kind, render_argocd, root, strings, variants,
};
use serde_json::json;
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
    args.extend(parameters.iter().flat_map(|parameter| ["--set", parameter]));
    assert_eq!(objects(&args), bootstrapped);
}

#[test]
fn each_environment_may_write_only_its_namespace_and_the_kinds_of_the_chart() {
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
