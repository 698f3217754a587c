//! Slow, silent and many clients, and what is not a request at all.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::support::Kind::Sqlite;
use crate::support::{Service, deployment, read_all, wait_until};

const HEADER_TIMEOUT: (&str, &str) = ("WAYBILL_HTTP_HEADER_TIMEOUT_MS", "300");
const CONNECTIONS: &str = "waybill_http_connections";
const HEAD: &str = "GET /health HTTP/1.1\r\nHost: service\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Opens connections that send `text` and then nothing.
fn silent(service: &Service, count: usize, text: &str) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(service.address);
        let _ = stream.write_all(text.as_bytes());
        stream
    };
    (0..count).map(open).collect()
}

/// Whether the service has closed the connection, without a response.
fn is_closed(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
        || stream
            .read(&mut [0; 1])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}

fn assert_healthy_soon(service: &Service) {
    let began = Instant::now();
    service.get("/health").json(200);
    service.get("/ready").json(200);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[rstest]
#[case::nothing("")]
#[case::a_part_of_the_first_line("GET /heal")]
#[case::a_head_without_an_end(HEAD)]
#[case::an_empty_line("\r\n")]
fn closes_a_connection_whose_request_never_comes(#[case] sent: &str) {
    let service = Sqlite.serve_with(&[HEADER_TIMEOUT]);
    let began = Instant::now();
    assert!(is_closed(&silent(&service, 1, sent)[0]));
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[test]
fn closes_a_connection_that_sends_a_head_byte_by_byte() {
    let service = Sqlite.serve_with(&[HEADER_TIMEOUT]);
    let mut stream = connect(service.address);
    stream.write_all(HEAD.as_bytes()).unwrap();
    wait_until("the connection to close", || {
        stream.write_all(b"a").is_err()
    });
}

#[test]
fn an_idle_connection_stays_open_until_its_own_timeout() {
    let service = Sqlite.serve_with(&[HEADER_TIMEOUT, ("WAYBILL_HTTP_IDLE_TIMEOUT_MS", "3000")]);
    let mut stream = connect(service.address);
    let mut began = Instant::now();
    for pause in [600, 0] {
        began = Instant::now();
        write!(stream, "{HEAD}\r\n").unwrap();
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 "));
        std::thread::sleep(Duration::from_millis(pause)); // longer than the time for a head
    }
    assert!(is_closed(&stream));
    // The service counts from the end of its answer, which is later.
    assert!(began.elapsed() >= Duration::from_millis(3000));
}

/// Their requests may be there before the service looks at the connections for the first time.
#[test]
fn closes_connections_that_are_idle_after_their_first_request() {
    let service = Sqlite.serve_with(&[("WAYBILL_HTTP_IDLE_TIMEOUT_MS", "300")]);
    let _open = silent(&service, 30, &format!("{HEAD}\r\n"));
    wait_until("only the connection of the scrape to be open", || {
        service.metric(CONNECTIONS) == Some(1.0)
    });
}

/// As `nc -N` and some health checks do.
#[test]
fn a_client_that_only_reads_on_gets_its_response() {
    let service = Sqlite.serve();
    let mut lock = service.database.connect();
    lock.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (mut stream, rest) = service.begin_request();
    stream.write_all(&rest).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    wait_until("the request to be in progress", || {
        service.metric("waybill_http_requests_in_flight") == Some(2.0)
    });
    lock.batch_execute("ROLLBACK").unwrap();
    let answer = read_all(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[test]
fn closes_a_connection_that_does_not_read() {
    let service = Sqlite.serve_with(&[HEADER_TIMEOUT]);
    let mut stream = connect(service.address);
    stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let requests = "GET /openapi.json HTTP/1.1\r\nHost: service\r\n\r\n".repeat(100);
    // The responses fill all buffers, and then the requests do.
    while stream.write_all(requests.as_bytes()).is_ok() {}
    wait_until("only the connection of the scrape to be open", || {
        service.metric(CONNECTIONS) == Some(1.0)
    });
}

#[rstest]
#[case::silent("")]
#[case::unfinished(HEAD)]
#[case::idle("GET /health HTTP/1.1\r\nHost: service\r\n\r\n")]
fn many_connections_without_a_request_keep_nobody_out(#[case] sent: &str) {
    let service = Sqlite.serve_with(&[("WAYBILL_HTTP_CONNECTION_LIMIT", "16")]);
    let _open = silent(&service, 80, sent);
    assert_healthy_soon(&service);
    service.record(&deployment());
    assert!(service.metric(CONNECTIONS) <= Some(17.0));
}

#[test]
fn many_connections_keep_nobody_out_when_files_are_few() {
    let service = Service::start_limited("ulimit -n 64", Sqlite.migrated(), &[]);
    let _open = silent(&service, 80, "");
    assert_healthy_soon(&service);
    service.record(&deployment());
    service.wait_for_log(&["WARN", "lowered WAYBILL_HTTP_CONNECTION_LIMIT"]);
}

#[test]
fn probes_are_answered_while_requests_occupy_all_other_connections() {
    let service = Sqlite.serve_with(&[("WAYBILL_HTTP_CONNECTION_LIMIT", "16")]);
    let mut begun: Vec<_> = (0..8).map(|_| service.begin_request()).collect();
    wait_until("the requests to be in progress", || {
        service.metric("waybill_http_requests_in_flight") == Some(9.0)
    });
    service
        .get("/api/v1/deployments")
        .assert_problem(503, "too many requests are in progress");
    assert_healthy_soon(&service);
    // Silent connections cannot take the places of requests in progress.
    let _open = silent(&service, 40, "");
    assert_healthy_soon(&service);
    for (stream, rest) in &mut begun {
        stream.write_all(rest).unwrap();
        let mut start = [0; 13];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 201 ");
    }
    service.get("/api/v1/deployments").json(200);
}

#[rstest]
#[case::silent("")]
#[case::unfinished(HEAD)]
#[case::idle("GET /health HTTP/1.1\r\nHost: service\r\n\r\n")]
fn connections_without_a_request_do_not_delay_the_end(#[case] sent: &str) {
    let mut service = Sqlite.serve();
    let _open = silent(&service, 5, sent);
    wait_until("the connections to be open", || {
        service.metric(CONNECTIONS) == Some(6.0)
    });
    let began = Instant::now();
    service.terminate();
    assert_eq!(service.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[rstest]
#[case::not_http("hello\r\n\r\n".to_owned(), 400, "not valid HTTP/1.1")]
#[case::another_version("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "not valid HTTP/1.1")]
#[case::a_bad_header("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned(), 400, "not valid HTTP/1.1")]
#[case::two_lengths("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), 400, "not valid HTTP/1.1")]
#[case::a_long_path(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), 414, "path and the query are too long")]
#[case::a_long_header(format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(300_000)), 431, "100 headers")]
#[case::many_headers(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)), 431, "100 headers")]
fn what_is_not_a_request_receives_a_problem(
    #[case] request: String,
    #[case] status: u16,
    #[case] detail: &str,
) {
    let service = Sqlite.serve();
    let mut stream = connect(service.address);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_all(stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    for header in [
        "content-type: application/problem+json",
        "connection: close",
        "date: ",
        "x-request-id: ",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())));
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().unwrap().contains(detail));
}
