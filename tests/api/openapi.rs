//! `/openapi.json`.

use std::collections::BTreeSet;
use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::deployment;

#[rstest]
fn describes_every_route(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let answer = service.get("/openapi.json");
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
fn all_references_resolve(#[values(Sqlite, Postgres)] kind: Kind) {
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

/// Each operation, parameter, response, schema and field has a description that is a full sentence.
#[test]
fn describes_everything_in_sentences() {
    let document = Sqlite.serve().get("/openapi.json").json(200);
    let mut lacking = Vec::new();
    let mut check = |place: String, item: &Value, field: &str| {
        if !item[field].as_str().is_some_and(|text| text.ends_with('.')) {
            lacking.push(format!("{place}: {}", item[field]));
        }
    };
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            check(place.clone(), operation, "summary");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                check(
                    format!("{place} {}", parameter["name"]),
                    parameter,
                    "description",
                );
            }
            if operation["requestBody"].is_object() {
                check(
                    format!("{place} body"),
                    &operation["requestBody"],
                    "description",
                );
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                check(format!("{place} {status}"), response, "description");
                for (name, header) in response["headers"].as_object().into_iter().flatten() {
                    check(format!("{place} {status} {name}"), header, "description");
                }
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        check(name.clone(), schema, "description");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            check(format!("{name}.{field}"), property, "description");
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

/// Clients and proxies rely on `Allow` (RFC 9110, section 15.5.6).
#[test]
fn each_path_allows_exactly_the_described_methods() {
    let service = Sqlite.serve();
    let document = service.get("/openapi.json").json(200);
    let recorded = service.record(&deployment());
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys();
        let mut allowed: BTreeSet<String> = methods.map(|name| name.to_uppercase()).collect();
        if allowed.contains("GET") {
            allowed.insert("HEAD".to_owned());
        }
        let path = path.replace("/api/v1/deployments/{id}", &recorded);
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
        ] {
            let answer = service.send(method, &path, &[], "");
            let is_allowed = allowed.contains(method);
            assert_eq!(answer.status != 405, is_allowed, "{method} {path}");
            if !is_allowed {
                let listed = answer.headers["allow"].to_str().unwrap().split(',');
                let listed: BTreeSet<String> = listed.map(|name| name.trim().into()).collect();
                assert_eq!(listed, allowed, "{method} {path}");
            }
        }
    }
}

/// A generated client sends and receives the types that the document names, so they must match the actual values.
#[rstest]
fn responses_have_the_described_fields(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let document = service.get("/openapi.json").json(200);
    let path = service.record(&deployment());
    for (path, schema) in [
        (path.as_str(), "Deployment"),
        ("/api/v1/deployments", "Page"),
        ("/health", "Health"),
        ("/ready", "Readiness"),
        ("/version", "BuildInfo"),
    ] {
        assert_matches(&document, schema, &service.get(path).json(200));
    }
    assert_matches(&document, "Problem", &service.get("/nowhere").json(404));
}

/// Checks that an object has exactly the fields of a schema and that each field has the type of its schema.
fn assert_matches(document: &Value, schema: &str, object: &Value) {
    let schema_of = |name: &str| &document["components"]["schemas"][name];
    let properties = schema_of(schema)["properties"].as_object().unwrap();
    let required: BTreeSet<_> = schema_of(schema)["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let fields: BTreeSet<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, required, "{schema}");
    for (field, value) in object.as_object().unwrap() {
        let property = &properties[field];
        let resolved = match property["$ref"].as_str() {
            Some(reference) => schema_of(reference.rsplit('/').next().unwrap()),
            None => property,
        };
        let actual = match value {
            Value::Null => "null",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Bool(_) => "boolean",
        };
        let types = match &resolved["type"] {
            Value::Array(types) => types.clone(),
            single => vec![single.clone()],
        };
        assert!(
            types.contains(&actual.into()),
            "{schema}.{field}: {value} is not {types:?}"
        );
    }
}

/// Requests that schemathesis derives from the document: valid ones, invalid ones, and sequences of both.
#[rstest]
#[ignore = "needs schemathesis on the PATH (requirements.txt)"]
fn schemathesis_finds_nothing(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new("schemathesis")
        .args(["run", &format!("http://{}/openapi.json", service.address)])
        .args(["--checks", "all", "--no-color"])
        .current_dir(&folder)
        .output()
        .expect("schemathesis is on the PATH");
    let report = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{report}");
    assert!(!service.log().contains("panic"), "{}", service.log());
}
