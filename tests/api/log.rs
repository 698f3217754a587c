//! A reader of the output that stalls, goes away or refuses it must not affect the service.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::support::Kind::Sqlite;
use crate::support::{Service, command, deployment, wait_until};

const DROPPED: &str = "waybill_log_lines_dropped_total";

/// Starts a service whose output nobody reads, and fills the output and the queue.
fn stalled() -> (Service, BufReader<ChildStdout>) {
    let (service, output) = Service::start_unread(Sqlite.migrated(), &[]);
    let long = format!("/{}", "x".repeat(8000));
    wait_until("lines to be dropped", || {
        (0..50).for_each(|_| assert_eq!(service.get(&long).status, 404));
        service.metric(DROPPED) > Some(0.0)
    });
    (service, output)
}

#[test]
fn a_stalled_reader_does_not_stop_requests() {
    let (service, _output) = stalled();
    service.get("/health").json(200);
    let path = service.record(&deployment());
    service.get(&path).json(200);
}

#[test]
fn a_stalled_reader_does_not_delay_the_end() {
    let (mut service, _output) = stalled();
    let began = Instant::now();
    service.terminate();
    assert_eq!(service.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_reader_that_continues_learns_what_is_missing() {
    let (service, output) = stalled();
    let report = output.lines().map_while(Result::ok).find_map(|line| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["message"]
            .as_str()?
            .starts_with("dropped log lines")
            .then(|| event["lines"].as_f64())
    });
    assert!(report.flatten() > Some(0.0));
    service.get("/health").json(200);
}

#[test]
fn requests_succeed_after_the_reader_has_gone() {
    let (mut service, output) = Service::start_unread(Sqlite.migrated(), &[]);
    drop(output);
    for _ in 0..3 {
        service.record(&deployment());
    }
    let list = service.get("/api/v1/deployments").json(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    wait_until("the lost lines to be counted", || {
        service.metric(DROPPED) >= Some(4.0)
    });
    service.terminate();
    assert_eq!(service.wait().code(), Some(0));
}

#[cfg(target_os = "linux")] // The device /dev/full is Linux's.
#[test]
fn serves_on_a_full_disk() {
    use std::fs::OpenOptions;
    use std::net::{TcpListener, TcpStream};

    let database = Sqlite.migrated();
    // The log cannot tell which port was free.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = [
        ("WAYBILL_HTTP_ADDR", address.to_string()),
        ("WAYBILL_DATABASE_URL", database.url.clone()),
    ];
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = command("serve", &[])
        .envs(settings)
        .stderr(full.try_clone().unwrap())
        .stdout(full)
        .spawn()
        .unwrap();
    wait_until("the service to listen", || {
        TcpStream::connect(address).is_ok()
    });
    let answer = ureq::get(format!("http://{address}/ready")).call().unwrap();
    assert_eq!(answer.status(), 200);
    process.kill().unwrap();
    process.wait().unwrap();
}

/// The line with the path is longer than a pipe.
#[test]
fn a_long_line_is_whole() {
    let service = Sqlite.serve();
    let path = format!("/{}", "x".repeat(65_000));
    assert_eq!(service.get(&path).status, 404);
    service.wait_for_log(&[&path, "answered"]);
}

#[cfg(target_os = "linux")] // Other systems do not tell the size of a pipe.
#[rstest]
#[case("serve", Some(1))]
#[case("sail", Some(2))]
fn an_error_that_nothing_reads_does_not_delay_the_end(
    #[case] mode: &str,
    #[case] code: Option<i32>,
) {
    let (_reader, mut writer) = std::io::pipe().unwrap();
    let size = rustix::pipe::fcntl_getpipe_size(&writer).unwrap();
    writer.write_all(&vec![b'x'; size]).unwrap();
    let mut process = command(mode, &[("WAYBILL_LOG_LEVEL", "loud")])
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut status = None;
    wait_until("the process to end", || {
        status = process.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), code);
}

#[test]
fn an_error_without_a_reader_is_an_ordinary_error() {
    for mode in ["serve", "migrate", "check-config", "healthcheck"] {
        let mut process = command(mode, &[("WAYBILL_LOG_LEVEL", "loud")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(process.stderr.take());
        assert_eq!(process.wait().unwrap().code(), Some(1), "{mode}");
    }
}

#[rstest]
#[case("check-config")]
#[case("migrate")]
#[case("--help")]
fn a_reader_that_ends_early_is_no_failure(#[case] mode: &str) {
    let database = Sqlite.empty();
    let mut process = command(mode, &[("WAYBILL_DATABASE_URL", &database.url)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
