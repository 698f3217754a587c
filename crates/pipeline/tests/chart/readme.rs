//! The chart's README lists the values. The list is generated from the comments in values.yaml.

use crate::helm::chart;
use serde_json::Value;
use std::fmt::Write;
use std::fs;

/// Where the generated part of the README begins. It goes on to the end.
const MARK: &str = "<!-- values -->\n";

/// Rewrites the README instead of comparing it.
const UPDATE: &str = "UPDATE_README";

/// The paths of values with their descriptions: the comments that begin with `# --`.
fn described(text: &str) -> Vec<(String, String)> {
    let (mut found, mut parents, mut description) = (Vec::new(), Vec::new(), None::<String>);
    for line in text.lines() {
        let content = line.trim_start();
        let depth = (line.len() - content.len()) / 2;
        if let Some(first) = content.strip_prefix("# -- ") {
            description = Some(first.to_owned());
        } else if let (Some(more), Some(text)) = (content.strip_prefix("# "), &mut description) {
            text.push(' ');
            text.push_str(more);
        } else if let Some((key, _)) = content.split_once(':') {
            parents.truncate(depth);
            parents.push(key);
            if let Some(text) = description.take() {
                found.push((parents.join("."), text));
            }
        }
    }
    found
}

/// The value at a path.
fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, key| &value[key])
}

/// The paths of the values that are no blocks.
fn leaves(values: &Value, prefix: &str) -> Vec<String> {
    match values.as_object().filter(|fields| !fields.is_empty()) {
        None => vec![prefix.to_owned()],
        Some(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let dot = if prefix.is_empty() { "" } else { "." };
                leaves(value, &format!("{prefix}{dot}{key}"))
            })
            .collect(),
    }
}

#[test]
fn the_readme_lists_every_value_with_its_default() {
    let chart = chart("waybill");
    let text = fs::read_to_string(format!("{chart}/values.yaml")).expect("values");
    let values: Value = serde_saphyr::from_str(&text).expect("YAML");
    let described = described(&text);
    for leaf in leaves(&values, "") {
        let covers = |path: &str| leaf == path || leaf.starts_with(&format!("{path}."));
        assert!(
            described.iter().any(|(path, _)| covers(path)),
            "{leaf} has no comment that begins with `--`"
        );
    }

    let mut table = "\n| value | default | description |\n|---|---|---|\n".to_owned();
    for (path, description) in described {
        let default = at(&values, &path);
        let description = description.replace('|', "\\|");
        writeln!(table, "| `{path}` | `{default}` | {description} |").expect("a string");
    }

    let file = format!("{chart}/README.md");
    let current = fs::read_to_string(&file).expect("a README");
    let (written, _) = current.split_once(MARK).expect("the README has the mark");
    let expected = format!("{written}{MARK}{table}");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&file, expected).expect("the README can be written");
    } else {
        assert_eq!(
            current, expected,
            "run `{UPDATE}=1 cargo test --package pipeline --test chart readme`"
        );
    }
}
