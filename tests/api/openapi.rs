//! `/openapi.json`

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::Value;

use crate::support::Kind::{self, Postgres, Sqlite};

#[rstest]
fn describes_every_route(#[values(Sqlite, Postgres)] kind: Kind) {
    let waybill = kind.serve();
    let answer = waybill.get("/openapi.json");
    assert_eq!(answer.headers["content-type"], "application/json");
    let description = answer.json(200);
    let operations: BTreeSet<_> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "delete /api/v1/deployments/{id}",
        "get /api/v1/deployments",
        "get /api/v1/deployments/{id}",
        "get /health",
        "get /metrics",
        "get /ready",
        "get /version",
        "patch /api/v1/deployments/{id}",
        "post /api/v1/deployments",
    ];
    assert!(
        operations.iter().map(String::as_str).eq(expected),
        "{operations:#?}"
    );
}

#[rstest]
fn refers_only_to_what_it_holds(#[values(Sqlite, Postgres)] kind: Kind) {
    let description = kind.serve().get("/openapi.json").json(200);
    let mut references = Vec::new();
    collect_references(&description, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields
                .values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_references(value, found)),
        _ => {}
    }
}
