//! Rendering the charts with Helm.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The repository that Argo CD deploys from.
pub const REPO_URL: &str = "https://forge.example/acme/parcel.git";

pub use testkit::root;

/// The folder of a chart.
pub fn chart(name: &str) -> String {
    let folder = match name {
        "waybill" => root().join("charts/waybill"),
        _ => root().join(name),
    };
    folder.display().to_string()
}

/// Runs Helm and returns its output, or its error output.
pub fn helm(args: &[&str]) -> Result<String, String> {
    let output = Command::new("helm")
        // It ends before it has much to collect, and a third of its time would go there.
        .env("GOGC", "off")
        .args(args)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run helm ({error}): `cargo pipeline tools` installs it")
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
pub fn objects(args: &[&str]) -> Vec<Value> {
    let text = helm(&[&["template"], args].concat()).expect("the chart renders");
    serde_saphyr::from_multiple(&text).expect("Helm prints YAML")
}

/// Texts with Argo CD's templates for an Application. Helm has the same template language and functions.
pub fn templated(texts: &[&str], variables: &Value) -> Vec<String> {
    let chart = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = chart.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    write(
        "Chart.yaml",
        "{apiVersion: v2, name: texts, version: 0.1.0}",
    );
    let values = json!({"variables": variables, "texts": texts});
    write("values.yaml", &values.to_string());
    write(
        "templates/texts.yaml",
        "texts:\n{{- range .Values.texts }}\n  - {{ tpl . $.Values.variables | toJson }}\n{{- end }}\n",
    );
    let folder = chart.path().display().to_string();
    let rendered = objects(&["texts", &folder]).remove(0);
    serde_json::from_value(rendered["texts"].clone()).expect("a list of texts")
}

/// The service's objects, as in the release `waybill`.
pub fn render(args: &[&str]) -> Vec<Value> {
    objects(&[&["waybill", &chart("waybill")], args].concat())
}

/// Argo CD's objects, as in the bootstrap.
pub fn render_argocd(args: &[&str]) -> Vec<Value> {
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

/// The error for values that the schema refuses.
pub fn refusal(args: &[&str]) -> String {
    let lint = helm(&[&["lint", &chart("waybill")], args].concat());
    lint.expect_err("`helm lint` must refuse this");
    complaint(args)
}

/// The error of `helm template`. `helm lint` does not report what a template refuses.
pub fn complaint(args: &[&str]) -> String {
    helm(&[&["template", "waybill", &chart("waybill")], args].concat())
        .expect_err("`helm template` must refuse this")
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

/// The only object of a kind.
pub fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    match of_kind(objects, kind)[..] {
        [object] => object,
        ref found => panic!("expected one {kind}, found {}", found.len()),
    }
}

/// The object with a kind and a name.
pub fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    of_kind(objects, kind)
        .into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// `values-<env>.yaml` of each environment, and the variants `ci/<name>-values.yaml`.
pub fn values_files() -> Vec<String> {
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
pub fn variants() -> &'static [(String, Vec<Value>)] {
    static VARIANTS: LazyLock<Vec<(String, Vec<Value>)>> = LazyLock::new(render_variants);
    &VARIANTS
}

fn render_variants() -> Vec<(String, Vec<Value>)> {
    let files = values_files();
    assert!(files.len() >= 3, "{files:?}");
    let mut variants = vec![("values.yaml alone".to_owned(), render(&[]))];
    variants.extend(files.into_iter().map(|file| {
        let objects = render(&["--values", &file]);
        (file, objects)
    }));
    variants
}

/// The ConfigMap with the service's settings.
pub fn config(objects: &[Value]) -> &Value {
    let maps = of_kind(objects, "ConfigMap").into_iter();
    let settings: Vec<_> = maps.filter(|map| map["immutable"] == true).collect();
    match settings[..] {
        [settings] => settings,
        ref found => panic!("expected one immutable ConfigMap, found {}", found.len()),
    }
}

/// The Deployment, or the Rollout in its place.
pub fn workload(objects: &[Value]) -> &Value {
    let canary = of_kind(objects, "Rollout").into_iter().next();
    canary.unwrap_or_else(|| one(objects, "Deployment"))
}

/// The specification of the pods.
pub fn pod(objects: &[Value]) -> &Value {
    &workload(objects)["spec"]["template"]["spec"]
}

/// The containers of a pod, those that run first before the others.
pub fn containers(pod: &Value) -> Vec<&Value> {
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

/// The texts under a key of each entry of a list.
pub fn strings(list: &Value, key: &str) -> BTreeSet<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry[key].as_str().expect("a string").to_owned())
        .collect()
}
