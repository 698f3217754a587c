//! Any value may be null, which removes the default: either the objects are complete, or Helm names the value.

use crate::helm::{chart, helm};
use serde_json::Value;

/// The paths of all values of the chart, blocks included.
fn paths(tree: &Value, prefix: &str) -> Vec<String> {
    let entries = tree.as_object().into_iter().flatten();
    entries
        .flat_map(|(key, value)| {
            let path = match prefix {
                "" => key.clone(),
                _ => format!("{prefix}.{key}"),
            };
            let mut all = vec![path.clone()];
            all.extend(paths(value, &path));
            all
        })
        .collect()
}

/// The fields of an object that are null, or empty where Kubernetes wants a value.
fn empty(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Null => vec![path.to_owned()],
        // The core group is named by an empty text.
        Value::String(text) if text.is_empty() && !path.ends_with(".group") => {
            vec![path.to_owned()]
        }
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| empty(value, &format!("{path}.{key}")))
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| empty(item, path)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_value_may_be_null_or_is_named() {
    let chart = chart("waybill");
    let defaults = std::fs::read_to_string(format!("{chart}/values.yaml")).expect("values");
    let defaults: Value = serde_saphyr::from_str(&defaults).expect("YAML");
    let paths = paths(&defaults, "");
    assert!(paths.len() > 30);
    // With all options, then a canary, and then with SQLite.
    let options = format!("{chart}/ci/extras-values.yaml");
    let canary = format!("{chart}/ci/canary-values.yaml");
    let nothing = format!("{chart}/values.yaml");
    for (file, part) in [(options, ""), (canary, "rollout"), (nothing, "database")] {
        for path in paths.iter().filter(|path| path.starts_with(part)) {
            let value = format!("{path}=null");
            let args = [
                "template", "waybill", &chart, "--values", &file, "--set", &value,
            ];
            match helm(&args) {
                Ok(text) => {
                    let objects: Vec<Value> =
                        serde_saphyr::from_multiple(&text).expect("Helm prints YAML");
                    for object in &objects {
                        let kind = object["kind"].as_str().unwrap_or("no kind");
                        let found = empty(object, kind);
                        assert!(found.is_empty(), "{value}: {found:?}");
                    }
                }
                Err(complaint) => {
                    let key = path.rsplit('.').next().unwrap_or(path);
                    let refused = complaint.contains("the specifications of the schema")
                        || complaint.contains("templates/validation.yaml");
                    let named = refused && complaint.contains(key);
                    assert!(named, "{value}: {complaint}");
                }
            }
        }
    }
}
