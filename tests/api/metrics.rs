//! `/metrics` and the logs of requests.

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
