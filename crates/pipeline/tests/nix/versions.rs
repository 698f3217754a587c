//! Versions, manifests and programs agree with the rest of the project.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, files, keys, read, root, run};
use devkit::tools::{Source, TOOLS};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn versions_agree_or_say_why_not() {
    let file = ["eval", "--json", "--file", "nix/versions.nix"];
    let flake = Flake::copy();
    let versions = run(flake.command(&file).current_dir(flake.path())).expect("it evaluates");
    let versions: Value = serde_json::from_str(&versions).expect("Nix prints JSON");

    for (name, entry) in versions.as_object().expect("an object") {
        if keys(entry) != BTreeSet::from(["everywhere"]) {
            assert!(
                entry["reason"].is_string(),
                "{name}: say why it has several versions"
            );
        }
    }
    let version = |name: &str, place: &str| -> String {
        let found = versions[name][place].as_str();
        found
            .unwrap_or_else(|| panic!("nix/versions.nix has no {name}.{place}"))
            .to_owned()
    };

    let rust = version("rust", "everywhere");
    assert!(read("rust-toolchain.toml").contains(&format!("channel = \"{rust}\"")));
    assert!(read("Dockerfile").contains(&format!("library/rust:{rust}-")));
    let minor = rust.rsplit_once('.').expect("three numbers").0;
    assert!(read("Cargo.toml").contains(&format!("rust-version = \"{minor}\"")));

    let nixpkgs = version("nixpkgs", "everywhere");
    assert!(read("flake.nix").contains(&format!("NixOS/nixpkgs/nixos-{nixpkgs}\"")));
    assert!(read("nixos-vm/machine.nix").contains(&format!("stateVersion = \"{nixpkgs}\"")));

    for tool in TOOLS {
        if let Source::Go(_) = tool.source {
            let pin = tool.version().expect("every Go program has a version");
            assert_eq!(version(tool.name, "lab"), pin, "{}", tool.name);
        }
    }

    let auditable = version("cargo-auditable", "dockerfile");
    assert!(read("Dockerfile").contains(&format!("ARG AUDITABLE={auditable}\n")));
    let tool = devkit::tools::named("cargo-auditable").expect("a tool");
    assert_eq!(tool.version(), Some(auditable.as_str()));

    let oldest = version("kubernetes", "chart");
    assert!(
        read("charts/waybill/Chart.yaml").contains(&format!("kubeVersion: \">={oldest}.0-0\""))
    );
    assert_eq!(known_fields("kubernetes")["kubernetes"], oldest);
    assert_eq!(
        known_fields("argocd")["argocd"],
        versions["argocd"]["vm"]["version"]
    );
}

/// The fields of `spec` by kind, in the oldest version that nix/versions.nix lists: Argo CD's as its CRDs have them,
/// Kubernetes' as its OpenAPI document does. What is `true` there isn't looked into.
fn known_fields(of: &str) -> Value {
    let text = read(format!("nix/tests/{of}-fields.json"));
    serde_json::from_str(&text).expect("JSON")
}

/// The fields of an object that the tree of known ones doesn't have.
fn unknown(object: &Value, known: &Value, path: &str) -> Vec<String> {
    match object {
        Value::Array(items) => items
            .iter()
            .flat_map(|item| unknown(item, known, path))
            .collect(),
        // `true` is the end of what the tree tells.
        Value::Object(fields) if known.is_object() => {
            let field = |(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    None => vec![path],
                    Some(known) => unknown(value, known, &path),
                }
            };
            fields.iter().flat_map(field).collect()
        }
        _ => Vec::new(),
    }
}

const NOTHING: [&str; 0] = [];

/// What these objects have in `spec` that the older version doesn't know.
fn too_new(objects: &[Value], of: &str) -> Vec<String> {
    let fields = known_fields(of);
    let of_object = |object: &Value| {
        let kind = object["kind"].as_str().expect("a kind");
        match (object.get("spec"), fields["spec"].get(kind)) {
            (None, _) => Vec::new(),
            (Some(_), None) => vec![kind.to_owned()],
            (Some(spec), Some(known)) => unknown(spec, known, kind),
        }
    };
    objects.iter().flat_map(of_object).collect()
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn manifests_have_only_fields_that_the_oldest_version_knows() {
    let render = |chart: &str, values: &[&str]| -> Vec<Value> {
        let mut helm = Command::new("helm");
        helm.args(["template", "waybill", chart, "--skip-tests"])
            .current_dir(root());
        for file in values {
            helm.args(["--values", file]);
        }
        let manifests = run(&mut helm).expect("it renders");
        serde_saphyr::from_multiple(&manifests).expect("Helm prints YAML")
    };
    let argocd = render("argocd", &[]);
    assert!(argocd.len() >= 4);
    assert_eq!(too_new(&argocd, "argocd"), NOTHING);

    let variants = files(".yaml");
    let variants: Vec<&str> = variants
        .iter()
        .map(String::as_str)
        .filter(|file| {
            file.starts_with("charts/waybill/values-") || file.starts_with("charts/waybill/ci/")
        })
        .collect();
    assert!(variants.len() >= 3, "{variants:?}");
    for file in variants {
        let mut objects = render("charts/waybill", &[file]);
        // Operators bring their kinds, in versions of their own.
        objects.retain(|object| {
            let version = object["apiVersion"].as_str().expect("an API version");
            !version.starts_with("argoproj.io/") && !version.starts_with("monitoring.coreos.com/")
        });
        assert_eq!(too_new(&objects, "kubernetes"), NOTHING, "{file}");
    }
    let flake = Flake::copy();
    let manifests = flake.eval("nixosConfigurations.vm.config.services.k3s.manifests");
    let manifests = manifests.as_object().expect("manifests").values();
    for objects in manifests.filter_map(|manifest| manifest["content"].as_array()) {
        assert_eq!(too_new(objects, "kubernetes"), NOTHING);
    }
    let root = crate::argocd::root_objects(&flake, "vm");
    assert_eq!(too_new(&root, "argocd"), NOTHING);

    for (object, of, complaint) in [
        (
            json!({"kind": "Application", "spec": {"source": {"helm": {"nonesuch": 1}}}}),
            "argocd",
            "Application.source.helm.nonesuch",
        ),
        (
            json!({"kind": "Service", "spec": {"ports": [{"port": 1}, {"prot": 2}]}}),
            "kubernetes",
            "Service.ports.prot",
        ),
        (
            json!({"kind": "Nonesuch", "spec": {}}),
            "kubernetes",
            "Nonesuch",
        ),
    ] {
        assert_eq!(too_new(&[object], of), [complaint]);
    }
}
