//! The schemas of the Kubernetes objects that the charts render, and the command that updates them.
//!
//! `crates/pipeline/schemas` has a file for each kind, as kubeconform looks for it, and one with the definitions that they
//! share. They are what an API server publishes in its OpenAPI documents
//! (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/>), without descriptions, and they refuse unknown fields.

use crate::project::{CHART, root, values_files};
use crate::tools::{self, Step};
use anyhow::{Context, Result, bail};
use devkit::process::{Run, command};
use devkit::yaml::Node;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The folder of the schemas.
const FOLDER: &str = "crates/pipeline/schemas";

/// The file with the definitions.
const DEFINITIONS: &str = "definitions.json";

/// The chart of Argo CD's own objects.
const ARGOCD: &str = "argocd";

/// A value for Argo CD's chart, which renders with any repository.
const REPOSITORY: &str = "repoURL=https://forge.example/owner/name.git";

/// Kinds of other projects, for which an API server has a schema only if they are installed. They are not validated.
const FOREIGN: [&str; 6] = [
    "AnalysisTemplate",
    "ExternalSecret",
    "HTTPRoute",
    "PodMonitor",
    "PrometheusRule",
    "Rollout",
];

/// Update the schemas of Kubernetes objects that `lint` uses.
///
/// Reads them from an API server, for the kinds that the charts render. Uses the lab that runs, or another command that
/// calls kubectl.
#[derive(clap::Args)]
pub(crate) struct Schemas {
    /// Command that calls kubectl, separated by spaces
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "cargo lab exec -- kubectl"
    )]
    kubectl: String,
}

/// The API version and the kind of an object.
type Type = (String, String);

impl Schemas {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let types = rendered_types(&root)?;
        let mut documents = BTreeMap::new();
        let mut definitions = Map::new();
        let mut files = BTreeMap::new();
        for (version, kind) in &types {
            if !documents.contains_key(version) {
                documents.insert(version, self.document(version)?);
            }
            let Some(document) = documents.get(version) else {
                bail!("no document for {version}");
            };
            let name = document.find(version, kind)?;
            document.collect(&name, &mut definitions)?;
            let reference = format!("{DEFINITIONS}#/definitions/{name}");
            files.insert(file_name(version, kind), json!({ "$ref": reference }));
        }
        files.insert(
            DEFINITIONS.to_owned(),
            json!({ "definitions": definitions }),
        );
        let folder = root.join(FOLDER);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot replace {FOLDER}"))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {FOLDER}"))?;
        for (name, schema) in &files {
            fs::write(folder.join(name), format!("{schema}\n"))
                .with_context(|| format!("cannot write {FOLDER}/{name}"))?;
        }
        println!("{} kinds in {FOLDER}", types.len());
        Ok(())
    }

    /// What the API server publishes about an API version.
    fn document(&self, version: &str) -> Result<Document> {
        let path = match version.contains('/') {
            true => format!("/openapi/v3/apis/{version}"),
            false => format!("/openapi/v3/api/{version}"),
        };
        let mut words = self.kubectl.split_whitespace();
        let program = words.next().context("`--kubectl` is empty")?;
        let text = command(program, words)
            .args(["get", "--raw", &path])
            .read()
            .with_context(|| format!("the API server has no schemas for {version}"))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{path} does not have the expected format"))
    }
}

/// An OpenAPI document.
#[derive(Deserialize)]
struct Document {
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    /// Schemas by their names. They are only passed on, so they have no typed model.
    schemas: BTreeMap<String, Value>,
}

/// The prefix of references within a document.
const REFERENCE: &str = "#/components/schemas/";

impl Document {
    /// The name of the schema of a kind.
    fn find(&self, version: &str, kind: &str) -> Result<String> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let wanted = json!({"group": group, "version": version, "kind": kind});
        let has_type = |schema: &Value| {
            let types = schema.get("x-kubernetes-group-version-kind");
            let types = types.and_then(Value::as_array);
            types.is_some_and(|types| types.contains(&wanted))
        };
        let mut schemas = self.components.schemas.iter();
        let found = schemas.find(|(_, schema)| has_type(schema));
        let (name, _) = found.with_context(|| {
            format!("the API server has no schema for {kind} of {group}/{version}")
        })?;
        Ok(name.clone())
    }

    /// Adds a schema and all that it refers to.
    fn collect(&self, name: &str, definitions: &mut Map<String, Value>) -> Result<()> {
        if definitions.contains_key(name) {
            return Ok(());
        }
        let schema = self.components.schemas.get(name);
        let schema = schema.with_context(|| format!("the API server has no schema {name}"))?;
        let mut references = BTreeSet::new();
        definitions.insert(name.to_owned(), compact(schema, &mut references));
        for reference in references {
            self.collect(&reference, definitions)?;
        }
        Ok(())
    }
}

/// The part of a schema that validates, which refuses fields that it does not list.
fn compact(schema: &Value, references: &mut BTreeSet<String>) -> Value {
    let Some(entries) = schema.as_object() else {
        return schema.clone();
    };
    let mut compacted = Map::new();
    for (key, value) in entries {
        let value = match (key.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let name = reference.trim_start_matches(REFERENCE);
                references.insert(name.to_owned());
                json!(format!("#/definitions/{name}"))
            }
            ("properties", Value::Object(properties)) => Value::Object(
                properties
                    .iter()
                    .map(|(name, schema)| (name.clone(), compact(schema, references)))
                    .collect(),
            ),
            ("items" | "additionalProperties", schema) => compact(schema, references),
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => schemas
                .iter()
                .map(|schema| compact(schema, references))
                .collect(),
            ("type" | "enum" | "required" | "pattern" | "minimum" | "maximum", value) => {
                value.clone()
            }
            ("minLength" | "maxLength" | "minItems" | "maxItems", value) => value.clone(),
            _ => continue,
        };
        compacted.insert(key.clone(), value);
    }
    // A reference is wrapped where OpenAPI adds a default to it.
    if compacted.len() == 1
        && let Some(Value::Array(one)) = compacted.get("allOf")
        && let [only] = &one[..]
    {
        return only.clone();
    }
    let is_open = entries.contains_key("x-kubernetes-preserve-unknown-fields");
    if compacted.contains_key("properties") && !is_open {
        compacted.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(compacted)
}

/// The name of the file of a kind, as in [`location`].
fn file_name(version: &str, kind: &str) -> String {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let group = group.split('.').next().unwrap_or_default();
    let parts = [kind, group, version];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase() + ".json"
}

/// Where kubeconform finds the schema of a kind.
fn location() -> String {
    format!("{FOLDER}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json")
}

/// What Helm renders of a chart.
struct Rendering {
    /// The name of the file with the manifests, which people see. It says which values were used.
    file: String,
    /// The arguments of Helm.
    args: Vec<String>,
}

/// The charts, with each values file.
fn rendering(root: &Path) -> Result<Vec<Rendering>> {
    let rendering = |file: String, args: &[&str]| Rendering {
        file,
        args: args.iter().map(|word| (*word).to_owned()).collect(),
    };
    let argocd = ["template", "argocd", ARGOCD, "--set", REPOSITORY];
    let mut all = vec![rendering(format!("{ARGOCD}.yaml"), &argocd)];
    for values in values_files(root)? {
        let args = ["template", "waybill", CHART, "--values", &values];
        all.push(rendering(values.clone(), &args));
    }
    Ok(all)
}

fn helm(root: &Path, args: &[String]) -> Result<std::process::Command> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tools::command(root, Step::Lint, "helm", &args)
}

/// The types of Kubernetes' own objects that the charts render.
fn rendered_types(root: &Path) -> Result<BTreeSet<Type>> {
    let mut types = BTreeSet::new();
    for Rendering { args, .. } in rendering(root)? {
        let manifests = helm(root, &args)?.read()?;
        types.extend(types_of(&manifests)?);
    }
    types.retain(|(_, kind)| !FOREIGN.contains(&kind.as_str()));
    Ok(types)
}

/// The types of objects in a text of several documents.
fn types_of(manifests: &str) -> Result<BTreeSet<Type>> {
    let mut types = BTreeSet::new();
    for document in manifests.split("\n---") {
        let is_content = |line: &str| !line.is_empty() && !line.starts_with(['#', '-']);
        if !document.lines().any(is_content) {
            continue;
        }
        let document = document.trim_start_matches("---");
        let object = Node::parse(document).context("Helm printed something unexpected")?;
        let text = |key: &str| object.get(key).and_then(Node::text).map(str::to_owned);
        let both = text("apiVersion").zip(text("kind"));
        types.insert(both.context("an object has no apiVersion or kind")?);
    }
    Ok(types)
}

/// Validates what the charts render. kubeconform runs once for all, because it takes longer to read the schemas than to
/// validate.
pub(super) fn validate(root: &Path) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let mut files = Vec::new();
    for Rendering { file, args } in rendering(root)? {
        let path = folder.path().join(&file);
        let parent = path.parent().unwrap_or(folder.path());
        let manifests = helm(root, &args)?.read_bytes()?;
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, manifests))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{file}");
        files.push(file);
    }
    let location = root.join(location());
    tools::command(root, Step::Lint, "kubeconform", &["-strict", "-summary"])?
        .arg("-schema-location")
        .arg(location)
        .args(["-skip", &FOREIGN.join(",")])
        .args(&files)
        .current_dir(folder.path())
        .run()
        .context("kubeconform found problems with the manifests; for a new kind, run `cargo pipeline schemas`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_keeps_what_validates_and_refuses_other_fields() {
        let mut references = BTreeSet::new();
        let schema = json!({
            "description": "long", "type": "object", "x-kubernetes-group-version-kind": [],
            "properties": {
                "description": {"type": "string", "description": "long"},
                "spec": {"allOf": [{"$ref": "#/components/schemas/a.Spec"}], "default": {}},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {}},
            },
        });
        let expected = json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "description": {"type": "string"},
                "spec": {"$ref": "#/definitions/a.Spec"},
                "open": {"type": "object", "properties": {}},
            },
        });
        assert_eq!(compact(&schema, &mut references), expected);
        assert_eq!(references, BTreeSet::from(["a.Spec".to_owned()]));
    }

    #[test]
    fn files_have_the_names_that_kubeconform_looks_for() {
        for (version, kind, name) in [
            ("v1", "Service", "service-v1.json"),
            ("apps/v1", "Deployment", "deployment-apps-v1.json"),
            (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                "networkpolicy-networking-v1.json",
            ),
        ] {
            assert_eq!(file_name(version, kind), name);
        }
    }

    /// `lint` fails for a kind without a schema. So `cargo pipeline schemas` belongs to the change that adds the kind.
    #[test]
    fn every_kind_that_the_charts_render_has_a_schema() {
        // Cargo runs a test in the folder of its package.
        let root = Path::new("../..");
        let types = rendered_types(root).unwrap();
        assert!(types.len() > 10, "{types:?}");
        for (version, kind) in types {
            let file = root.join(FOLDER).join(file_name(&version, &kind));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }

    #[test]
    fn types_are_read_from_several_documents() {
        let text = "---\n# Source: a\napiVersion: v1\nkind: Service\n---\n# nothing\n---\napiVersion: apps/v1\nkind: Deployment\n";
        let types = types_of(text).unwrap();
        let kinds: Vec<&str> = types.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(kinds, ["Deployment", "Service"]);
    }
}
