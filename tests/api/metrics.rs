//! `/metrics` and the logs of requests.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::deployment;

#[rstest]
fn counts_requests_by_route(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve_with(&[("WAYBILL_DATABASE_POOL_SIZE", "3")]);
    let path = service.record(&deployment());
    for path in [
        &path,
        &path,
        "/api/v1/deployments/17",
        "/nowhere",
        "/elsewhere",
    ] {
        service.get(path);
    }
    service.send("BREW", &path, &[], "");
    for (labels, count) in [
        (
            r#"method="POST",route="/api/v1/deployments",status="201""#,
            1.0,
        ),
        (
            r#"method="GET",route="/api/v1/deployments/{id}",status="200""#,
            2.0,
        ),
        (
            r#"method="GET",route="/api/v1/deployments/{id}",status="400""#,
            1.0,
        ),
        (r#"method="GET",route="<none>",status="404""#, 2.0),
        (
            r#"method="other",route="/api/v1/deployments/{id}",status="405""#,
            1.0,
        ),
    ] {
        let name = format!("waybill_http_requests_total{{{labels}}}");
        assert_eq!(service.metric(&name), Some(count), "{name}");
    }
    let duration = r#"waybill_http_request_duration_seconds_count{method="GET",route="/api/v1/deployments/{id}"}"#;
    assert_eq!(service.metric(duration), Some(3.0));
    // The only request in progress is the scrape.
    assert_eq!(service.metric("waybill_http_requests_in_flight"), Some(1.0));
    assert_eq!(
        service.metric("waybill_database_connections_max"),
        Some(3.0)
    );
    assert!(service.metric(r#"waybill_database_connections{state="idle"}"#) >= Some(1.0));
}

#[rstest]
fn uses_the_openmetrics_format(#[values(Sqlite, Postgres)] kind: Kind) {
    let answer = kind.serve().get("/metrics");
    assert_eq!(
        answer.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(
        answer.text.contains("waybill_build_info{version=\""),
        "{}",
        answer.text
    );
    assert!(answer.text.ends_with("# EOF\n"), "{}", answer.text);
}

#[rstest]
fn logs_a_request_with_its_id(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let answer = service.send(
        "GET",
        "/api/v1/deployments",
        &[("x-request-id", "ci-run-17")],
        "",
    );
    assert_eq!(answer.headers["x-request-id"], "ci-run-17");
    service.wait_for_log(&[
        "answered",
        r#""request_id":"ci-run-17""#,
        r#""status":200"#,
        "milliseconds",
    ]);
    let generated = service.get("/api/v1/deployments").headers["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    service.wait_for_log(&["answered", &generated]);
}

/// The metrics of an OpenMetrics text, each with its type and its labels.
fn metrics(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut types = BTreeMap::new();
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let (family, kind) = types
                .iter()
                .rfind(|(family, _)| name.starts_with(*family))
                .unwrap();
            let name = if kind == "histogram" { family } else { name };
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter_map(|label| Some(label.split_once('=')?.0));
            // Prometheus knows that a histogram has buckets.
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            let entry = found.entry(name.to_owned());
            entry
                .or_insert_with(|| (kind.clone(), BTreeSet::new()))
                .1
                .extend(labels);
        }
    }
    found
}

/// The chart's alerts and dashboard are compared with this table.
#[test]
fn the_documentation_lists_every_metric_with_its_labels() {
    let document = include_str!("../../docs/service.md");
    let words = |cell: &str| -> BTreeSet<String> {
        cell.split(',')
            .map(|word| word.trim().trim_matches('`').to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    let documented = document
        .lines()
        .filter(|line| line.starts_with("| `waybill_"));
    let documented: BTreeMap<_, _> = documented
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = cells[1].trim_matches('`').to_owned();
            (name, (cells[2].to_owned(), words(cells[3])))
        })
        .collect();
    let service = Sqlite.serve();
    service.get("/ready");
    assert_eq!(metrics(&service.get("/metrics").text), documented);
}
