//! The shutdown after SIGTERM.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{read_all, wait_until};

#[rstest]
fn answers_requests_in_progress_first(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut waybill = kind.serve();
    let (mut stream, rest) = waybill.begin_request();
    wait_until("the request to be in progress", || {
        waybill.metric("waybill_http_requests_in_flight") == Some(2.0)
    });
    waybill.terminate();
    wait_until("new connections to be refused", || {
        TcpStream::connect(waybill.address).is_err()
    });
    stream.write_all(&rest).unwrap();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(waybill.wait().code(), Some(0));
}

#[rstest]
fn serves_requests_during_the_delay_but_is_not_ready(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut waybill = kind.serve_with(&[("WAYBILL_SHUTDOWN_DELAY_MS", "1000")]);
    waybill.terminate();
    wait_until("the service not to be ready", || {
        waybill.get("/ready").status == 503
    });
    waybill
        .get("/ready")
        .assert_problem(503, "the service is stopping");
    waybill.get("/api/v1/deployments").json(200);
    assert_eq!(waybill.wait().code(), Some(0));
}

#[rstest]
fn aborts_requests_that_do_not_finish(#[values(Sqlite, Postgres)] kind: Kind) {
    let mut waybill = kind.serve_with(&[("WAYBILL_SHUTDOWN_TIMEOUT_MS", "100")]);
    let (_stream, _) = waybill.begin_request();
    wait_until("the request to be in progress", || {
        waybill.metric("waybill_http_requests_in_flight") == Some(2.0)
    });
    let began = Instant::now();
    waybill.terminate();
    assert_eq!(waybill.wait().code(), Some(0));
    assert!(began.elapsed().as_secs() < 5);
    waybill.wait_for_log(&["WARN", "aborted requests"]);
}
