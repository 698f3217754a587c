//! Every failed request receives a problem, whichever part of the service rejects it.

use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{DATABASE_TIMEOUT, Server, deployment, read_all, wait_until};

const PATH: &str = "/api/v1/deployments";
const JSON: (&str, &str) = ("content-type", "application/json");

#[rstest]
#[case("GET", "/nowhere", &[], "", 404, "nothing at this path")]
#[case("GET", "/api/v1/deployments/", &[], "", 404, "nothing at this path")]
#[case("POST", PATH, &[JSON], "{", 400, "EOF while parsing")]
#[case("POST", PATH, &[JSON], "\u{0}", 400, "expected value")]
#[case("POST", PATH, &[JSON], "[]", 422, "expected a JSON object")]
#[case("POST", PATH, &[("content-type", "text/plain")], "{}", 415, "Content-Type: application/json")]
#[case("POST", PATH, &[], "{}", 415, "Content-Type: application/json")]
#[case("POST", PATH, &[JSON, ("idempotency-key", "")], "{}", 400, "Idempotency-Key: expected 1 to 255")]
#[case("POST", PATH, &[JSON, ("idempotency-key", "a"), ("idempotency-key", "b")], "{}", 400, "Idempotency-Key: sent twice")]
fn an_invalid_request(
    #[values(Sqlite, Postgres)] kind: Kind,
    #[case] method: &str,
    #[case] path: &str,
    #[case] headers: &[(&str, &str)],
    #[case] body: &str,
    #[case] status: u16,
    #[case] detail: &str,
) {
    kind.serve()
        .send(method, path, headers, body)
        .assert_problem(status, detail);
}

#[rstest]
#[case("content-encoding", "gzip", "Content-Encoding: gzip is not supported")]
#[case("content-encoding", "BR", "Content-Encoding: BR is not supported")]
#[case("content-encoding", "identity, zstd", "Content-Encoding: zstd is")]
#[case("content-encoding", "utf-8", "Content-Encoding: utf-8 is not")]
#[case("content-type", "application/json; charset=utf-16", "UTF-8")]
#[case("content-type", "application/json; charset=", "UTF-8")]
#[case("content-type", "application/json;charset=\"latin1\"", "UTF-8")]
fn an_encoded_body(
    #[values("POST", "PATCH")] method: &str,
    #[case] header: &str,
    #[case] value: &str,
    #[case] detail: &str,
) {
    let service = Sqlite.serve();
    let path = match method {
        "PATCH" => service.record(&deployment()),
        _ => PATH.to_owned(),
    };
    let headers = [JSON, (header, value)];
    let headers = if header == JSON.0 {
        &headers[1..]
    } else {
        &headers
    };
    let answer = service.send(method, &path, headers, "\u{1f}\u{8b}");
    answer.assert_problem(415, detail);
    let accepted = answer.headers.get("accept-encoding");
    assert_eq!(accepted.is_some(), header == "content-encoding");
}

#[rstest]
fn a_body_that_says_that_it_is_not_encoded(
    #[values(
        "charset=UTF-8",
        "Charset=\"utf8\"",
        "charset=us-ascii",
        "charset=ascii",
        ""
    )]
    charset: &str,
    #[values("identity", "", " , IDENTITY,")] coding: &str,
) {
    let content_type = format!("application/json; {charset}");
    let headers = [
        ("content-type", content_type.as_str()),
        ("content-encoding", coding),
    ];
    let answer = Sqlite
        .serve()
        .send("POST", PATH, &headers, &deployment().to_string());
    assert_eq!(answer.status, 201, "{}", answer.text);
}

/// The description of the API has objects only, and a program for tests sends what it does not allow.
#[rstest]
#[case("null", "null")]
#[case("\"x\"", "string")]
#[case("1e3", "floating point")]
#[case("[]", "sequence")]
fn a_body_that_is_no_object(
    #[values("POST", "PATCH")] method: &str,
    #[case] body: &str,
    #[case] found: &str,
) {
    let service = Sqlite.serve();
    let path = match method {
        "PATCH" => service.record(&deployment()),
        _ => PATH.to_owned(),
    };
    let answer = service.send(method, &path, &[JSON], body);
    answer.assert_problem(422, "expected a JSON object");
    assert!(answer.text.contains(found), "{}", answer.text);
}

/// The values of all fields, in their order, are no object either.
#[rstest]
#[case("POST", &["application", "environment", "version", "commit", "image_digest", "", "actor"])]
#[case("PATCH", &["", "version"])]
fn a_list_of_the_values_is_no_object(#[case] method: &str, #[case] fields: &[&str]) {
    let service = Sqlite.serve();
    let deployment = deployment();
    let path = match method {
        "PATCH" => service.record(&deployment),
        _ => PATH.to_owned(),
    };
    let values = fields.iter().map(|field| match *field {
        "" if method == "POST" => "pending".into(),
        "" => "progressing".into(),
        field => deployment[field].clone(),
    });
    let body = serde_json::Value::from_iter(values).to_string();
    let answer = service.send(method, &path, &[JSON], &body);
    answer.assert_problem(422, "expected a JSON object");
}

/// PowerShell and some editors put one before a text.
#[test]
fn a_body_that_begins_with_a_byte_order_mark() {
    let service = Sqlite.serve();
    let body = format!("\u{feff}{}", deployment());
    let answer = service.send("POST", PATH, &[JSON], &body);
    assert_eq!(answer.status, 201, "{}", answer.text);
    let body = format!("\u{feff}{body}");
    service
        .send("POST", PATH, &[JSON], &body)
        .assert_problem(400, "expected value");
}

#[rstest]
#[case("PUT", PATH, "GET,HEAD,POST")]
#[case("DELETE", "/health", "GET,HEAD")]
#[case("POST", "/openapi.json", "GET,HEAD")]
#[case("BREW", PATH, "GET,HEAD,POST")]
fn an_unsupported_method(
    #[values(Sqlite, Postgres)] kind: Kind,
    #[case] method: &str,
    #[case] path: &str,
    #[case] allowed: &str,
) {
    let answer = kind.serve().send(method, path, &[], "");
    answer.assert_problem(405, "the Allow header");
    assert_eq!(answer.headers["allow"], allowed);
}

#[rstest]
fn a_body_that_is_too_large(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve_with(&[("WAYBILL_REQUEST_BODY_LIMIT_BYTES", "1000")]);
    service.record(&deployment());
    let body = format!("{}{}", " ".repeat(1000), deployment());
    service
        .send("POST", PATH, &[JSON], &body)
        .assert_problem(413, "length limit exceeded");
}

#[rstest]
fn a_request_that_takes_too_long(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve_with(&[("WAYBILL_REQUEST_TIMEOUT_MS", "100")]);
    let (stream, _) = service.begin_request();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("application/problem+json") && answer.contains("retry-after"),
        "{answer}"
    );
    assert!(
        answer.contains("the request took longer than 100 ms"),
        "{answer}"
    );
}

#[rstest]
fn a_locked_database(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve_with(&[DATABASE_TIMEOUT]);
    let mut other = service.database.connect();
    let lock = match kind {
        Sqlite => "BEGIN IMMEDIATE",
        Postgres => "BEGIN; LOCK TABLE deployments",
    };
    other.batch_execute(lock).unwrap();
    service
        .post(PATH, &deployment())
        .assert_problem(503, "the database is unavailable; try again later");
    other.batch_execute("ROLLBACK").unwrap();
    wait_until("a request to succeed", || {
        service.post(PATH, &deployment()).status == 201
    });
}

#[test]
fn a_database_that_disappears_and_returns() {
    let service = Postgres.serve_with(&[DATABASE_TIMEOUT]);
    service.record(&deployment());
    let database = service.database.url.rsplit('/').next().unwrap();
    Server::get().execute(&format!(
        "ALTER DATABASE {database} ALLOW_CONNECTIONS false"
    ));
    // The pool may be connecting at this moment, and such a session is not listed yet.
    wait_until("the service to have no session", || {
        Server::get().execute(&format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        ));
        service.get(PATH).status == 503
    });
    service
        .get(PATH)
        .assert_problem(503, "the database is unavailable; try again later");
    service
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    // A restart wouldn't help, so the process reports that it works.
    service.get("/health").json(200);
    Server::get().execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"));
    wait_until("the service to be ready again", || {
        service.get("/ready").status == 200
    });
    assert_eq!(
        service.get(PATH).json(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[rstest]
fn an_invalid_row_in_the_database(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let path = service.record(&deployment());
    service
        .database
        .connect()
        .batch_execute("UPDATE deployments SET status = 'lost'")
        .unwrap();
    let answer = service.get(&path);
    answer.assert_problem(500, "internal error; the log of the service");
    assert!(!answer.text.contains("lost"), "{}", answer.text);
    service.wait_for_log(&[
        "ERROR",
        "unknown: lost",
        answer.headers["x-request-id"].to_str().unwrap(),
    ]);
}

#[rstest]
#[case("GET", "/api/v1/deployments/%FF")]
#[case("GET", "/api/v1/deployments/%00")]
#[case("GET", "/api/v1/deployments?cursor=%FF")]
#[case("GET", "/api/v1/deployments?limit=99999999999999999999")]
#[case("GET", "//api/v1/deployments")]
#[case("GET", "/api/v1/deployments/..%2F..%2Fhealth")]
#[case("TRACE", "/api/v1/deployments")]
#[case("BREW", "/health")]
fn every_odd_path_and_method_has_a_problem(#[case] method: &str, #[case] path: &str) {
    let service = Sqlite.serve();
    let answer = service.send(method, path, &[], "");
    assert!(
        (400..500).contains(&answer.status),
        "{path}: {}",
        answer.status
    );
    assert_eq!(answer.headers["content-type"], "application/problem+json");
}
