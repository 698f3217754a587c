//! The shutdown after SIGTERM.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{read_all, wait_until};

#[rstest]
fn answers_requests_in_progress_first(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut service = kind.serve();
    let (mut stream, rest) = service.begin_request();
    wait_until("the request to be in progress", || {
        service.metric("waybill_http_requests_in_flight") == Some(2.0)
    });
    service.terminate();
    wait_until("new connections to be refused", || {
        TcpStream::connect(service.address).is_err()
    });
    stream.write_all(&rest).unwrap();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(service.wait().code(), Some(0));
}

#[rstest]
fn serves_requests_during_the_delay_but_is_not_ready(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut service = kind.serve_with(&[("WAYBILL_SHUTDOWN_DELAY_MS", "1000")]);
    service.terminate();
    wait_until("the service not to be ready", || {
        service.get("/ready").status == 503
    });
    service
        .get("/ready")
        .assert_problem(503, "the service is stopping");
    service.get("/api/v1/deployments").json(200);
    assert_eq!(service.wait().code(), Some(0));
}

/// A client that reuses a connection at the moment of its end would get no response.
#[test]
fn asks_for_new_connections_during_the_delay() {
    let service = Sqlite.serve_with(&[("WAYBILL_SHUTDOWN_DELAY_MS", "2000")]);
    let mut stream = TcpStream::connect(service.address).unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: service\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).unwrap();
    let first = String::from_utf8_lossy(&answer[..count]);
    assert!(!first.contains("connection: close"), "{first}");

    service.terminate();
    wait_until("the service not to be ready", || {
        service.get("/ready").status == 503
    });
    stream.write_all(request).unwrap();
    let last = read_all(stream);
    assert!(
        last.starts_with("HTTP/1.1 200 ") && last.contains("connection: close"),
        "{last}"
    );
    service.get("/health").json(200);
}

#[rstest]
fn aborts_requests_that_do_not_finish(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut service = kind.serve_with(&[("WAYBILL_SHUTDOWN_TIMEOUT_MS", "100")]);
    let (_stream, _) = service.begin_request();
    wait_until("the request to be in progress", || {
        service.metric("waybill_http_requests_in_flight") == Some(2.0)
    });
    let began = Instant::now();
    service.terminate();
    assert_eq!(service.wait().code(), Some(0));
    assert!(began.elapsed().as_secs() < 5);
    service.wait_for_log(&["WARN", "aborted requests"]);
}
