//! The names in a PromQL expression. `promtool` checks its syntax.

use std::collections::BTreeSet;

/// What an expression refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Each metric with the labels by which it is selected.
    pub metrics: Vec<(String, BTreeSet<String>)>,
    /// The labels of `by`, `on` and the like.
    pub grouping: BTreeSet<String>,
}

/// Words with a list of labels.
const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];

/// Operators that are words.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// The names in an expression.
pub fn names(expression: &str) -> Names {
    let mut found = Names::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let (word, after) = split(rest, |c| c.is_alphanumeric() || c == '_' || c == ':');
        if first.is_ascii_digit() {
            rest = after; // a number or a duration
        } else if first == '"' {
            rest = after_string(rest);
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, after)| after);
        } else if word.is_empty() {
            rest = &rest[first.len_utf8()..];
        } else {
            rest = after.trim_start();
            if let Some(list) = rest.strip_prefix('(') {
                if GROUPING.contains(&word) {
                    let (list, after) = list.split_once(')').unwrap_or((list, ""));
                    let labels = list.split(',').map(str::trim);
                    let labels = labels.filter(|label| !label.is_empty());
                    found.grouping.extend(labels.map(str::to_owned));
                    rest = after;
                }
            } else if let Some(matchers) = rest.strip_prefix('{') {
                let (labels, after) = labels(matchers);
                found.metrics.push((word.to_owned(), labels));
                rest = after;
            } else if !OPERATORS.contains(&word) && !begins_with_grouping(rest) {
                found.metrics.push((word.to_owned(), BTreeSet::new()));
            }
        }
    }
    found
}

/// Whether the word before was an aggregation, as in `sum by (le) (…)`.
fn begins_with_grouping(rest: &str) -> bool {
    GROUPING.contains(&split(rest, char::is_alphabetic).0)
}

/// The labels of a selector, and the text after its closing brace.
fn labels(mut rest: &str) -> (BTreeSet<String>, &str) {
    let mut labels = BTreeSet::new();
    while let Some(first) = rest.chars().next() {
        let (word, after) = split(rest, |c| c.is_alphanumeric() || c == '_');
        if first == '}' {
            return (labels, &rest[1..]);
        } else if first == '"' {
            rest = after_string(rest);
        } else if word.is_empty() {
            rest = &rest[first.len_utf8()..];
        } else {
            labels.insert(word.to_owned());
            rest = after;
        }
    }
    (labels, "")
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// The text after the string that it begins with. The expressions here escape no quotation marks.
fn after_string(text: &str) -> &str {
    text[1..].split_once('"').map_or("", |(_, after)| after)
}

#[test]
fn finds_metrics_labels_and_groupings() {
    let found = names(
        r#"sum by (le) (rate(a_bucket{x="1,b{c",y!~"z"}[5m])) / on (p) group_left () b > 0.5 and absent(c{}) offset 1h"#,
    );
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    assert_eq!(
        found,
        Names {
            metrics: vec![
                ("a_bucket".to_owned(), labels(&["x", "y"])),
                ("b".to_owned(), labels(&[])),
                ("c".to_owned(), labels(&[])),
            ],
            grouping: labels(&["le", "p"]),
        }
    );
}
