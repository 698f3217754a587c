//! `waybill check-config`, `migrate` and `healthcheck`, and the errors that keep `serve` from starting.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Bool;
use diesel::{Connection, PgConnection, RunQueryDsl, dsl};
use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Service, command, output, wait_until};

fn run(mode: &str, settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = output(command(mode, settings));
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn check_config_prints_the_settings() {
    let (code, out, _) = run(
        "check-config",
        &[(
            "WAYBILL_DATABASE_URL",
            "postgres://ledger:hunter2@db/ledger",
        )],
    );
    assert_eq!(code, Some(0));
    assert!(out.contains("WAYBILL_HTTP_ADDR=127.0.0.1:8080\n"), "{out}");
    assert!(
        out.contains("WAYBILL_DATABASE_URL=postgres://ledger:***@db/ledger\n"),
        "{out}"
    );
}

#[test]
fn check_config_rejects_unknown_variables() {
    let (code, _, err) = run("check-config", &[("WAYBILL_DATABSE_URL", "sqlite://a.db")]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("WAYBILL_DATABSE_URL: no such setting"),
        "{err}"
    );
}

#[test]
fn serve_warns_about_unknown_variables() {
    let service = Sqlite.serve_with(&[("WAYBILL_FUTURE", "1")]);
    service.wait_for_log(&["WARN", "WAYBILL_FUTURE"]);
}

#[rstest]
#[case("WAYBILL_HTTP_ADDR", "localhost")]
#[case("WAYBILL_DATABASE_URL", "mysql://db/ledger")]
#[case("WAYBILL_DATABASE_POOL_SIZE", "0")]
#[case("WAYBILL_LOG_LEVEL", "loud")]
#[case("WAYBILL_SHUTDOWN_DELAY_MS", "5s")]
fn every_mode_rejects_an_invalid_value(
    #[values("serve", "migrate", "check-config", "healthcheck")] mode: &str,
    #[case] variable: &str,
    #[case] value: &str,
) {
    let (code, _, err) = run(mode, &[(variable, value)]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("waybill: invalid configuration:"), "{err}");
    assert!(err.contains(&format!("{variable}: ")), "{err}");
}

#[test]
fn serve_names_an_address_that_is_in_use() {
    let service = Sqlite.serve();
    let address = service.address.to_string();
    let database = Sqlite.empty();
    let (code, _, err) = run(
        "serve",
        &[
            ("WAYBILL_HTTP_ADDR", &address),
            ("WAYBILL_DATABASE_URL", &database.url),
        ],
    );
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!(
            "cannot listen on {address}; set WAYBILL_HTTP_ADDR"
        )),
        "{err}"
    );
}

#[rstest]
#[case("serve", "sqlite:///nowhere/waybill.db")]
#[case("migrate", "sqlite:///nowhere/waybill.db")]
#[case("migrate", "postgres://waybill:hunter2@127.0.0.1:1/waybill")]
fn names_a_database_that_cannot_be_opened(#[case] mode: &str, #[case] url: &str) {
    let (code, _, err) = run(
        mode,
        &[
            ("WAYBILL_DATABASE_URL", url),
            ("WAYBILL_HTTP_ADDR", "127.0.0.1:0"),
        ],
    );
    assert_eq!(code, Some(1));
    assert!(
        err.contains("cannot open the database") && err.contains("WAYBILL_DATABASE_URL"),
        "{err}"
    );
    assert!(!err.contains("hunter2"), "{err}");
}

#[test]
fn rejects_an_unknown_mode() {
    let (code, _, err) = run("sail", &[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("sail"), "{err}");
}

#[rstest]
fn simultaneous_migrations_run_once(#[values(Sqlite, Postgres)] kind: Kind) {
    let database = kind.empty();
    let settings = [
        ("WAYBILL_DATABASE_URL", database.url.as_str()),
        ("WAYBILL_LOG_FORMAT", "json"),
    ];
    let migrations: Vec<_> = (0..6)
        .map(|_| {
            command("migrate", &settings)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs: Vec<_> = migrations
        .into_iter()
        .map(|migration| migration.wait_with_output().unwrap())
        .collect();
    assert!(
        outputs.iter().all(|output| output.status.success()),
        "{outputs:?}"
    );
    let idle = outputs
        .iter()
        .filter(|output| String::from_utf8_lossy(&output.stdout).contains(r#""applied":"""#));
    assert_eq!(idle.count(), 5, "{outputs:?}");
    Service::start(database, &[]).get("/ready").json(200);
}

/// The lock of another `waybill migrate`.
const MIGRATION_LOCK: &str = "BEGIN; SELECT pg_advisory_xact_lock(8602290226836827136)";

#[rstest]
#[case(MIGRATION_LOCK, "another `waybill migrate` may be running")]
#[case("BEGIN; LOCK TABLE __diesel_schema_migrations", "lock timeout")]
fn migrate_waits_for_a_lock_only_for_a_limited_time(#[case] lock: &str, #[case] reason: &str) {
    let database = Postgres.migrated();
    let mut other = database.connect();
    other.batch_execute(lock).unwrap();
    let settings = [
        ("WAYBILL_DATABASE_URL", database.url.as_str()),
        ("WAYBILL_DATABASE_TIMEOUT_MS", "200"),
    ];
    let (code, _, err) = run("migrate", &settings);
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("cannot migrate the database"), "{err}");
    assert!(err.contains(reason), "{err}");
}

/// Without a handler, the first process of a container ignores the signal.
#[rstest]
fn a_signal_ends_migrate(#[values("TERM", "INT")] signal: &str) {
    let database = Postgres.migrated();
    let mut other = PgConnection::establish(&database.url).unwrap();
    other.batch_execute(MIGRATION_LOCK).unwrap();
    let migration = command("migrate", &[("WAYBILL_DATABASE_URL", &database.url)])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = "EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                   WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted)";
    wait_until("the migration to wait for the lock", || {
        let waiting = diesel::select(dsl::sql::<Bool>(waiting));
        waiting.get_result(&mut other).unwrap()
    });
    let pid = migration.id().to_string();
    let kill = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(kill.unwrap().success());
    let output = migration.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    let expected = format!("SIG{signal} ended the migration");
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn healthcheck_checks_the_running_service() {
    let service = Sqlite.serve();
    let address = service.address.to_string();
    assert_eq!(
        run("healthcheck", &[("WAYBILL_HTTP_ADDR", &address)]).0,
        Some(0)
    );
    // In a container the service listens on all addresses.
    let everywhere = format!("0.0.0.0:{}", service.address.port());
    assert_eq!(
        run("healthcheck", &[("WAYBILL_HTTP_ADDR", &everywhere)]).0,
        Some(0)
    );
    drop(service);
    let (code, _, err) = run("healthcheck", &[("WAYBILL_HTTP_ADDR", &address)]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains(&format!("no answer from http://{address}/ready")),
        "{err}"
    );
}

#[test]
fn healthcheck_fails_if_the_service_is_not_ready() {
    let service = Service::start(Postgres.empty(), &[]);
    let (code, _, err) = run(
        "healthcheck",
        &[("WAYBILL_HTTP_ADDR", &service.address.to_string())],
    );
    assert_eq!(code, Some(1));
    assert!(err.contains("answered 503"), "{err}");
}

fn healthcheck_of(url: &str) -> (Option<i32>, String) {
    let mut command = command("healthcheck", &[]);
    command.args(["--url", url]);
    let Output { status, stderr, .. } = output(command);
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn healthcheck_checks_a_service_elsewhere() {
    let service = Sqlite.serve();
    let port = service.address.port();
    for url in [
        format!("http://127.0.0.1:{port}"),
        format!("http://localhost:{port}/ready"),
        format!("http://127.0.0.1:{port}/api/v1/deployments?limit=1"),
    ] {
        let (code, err) = healthcheck_of(&url);
        assert_eq!(code, Some(0), "{url}: {err}");
    }
    let (code, err) = healthcheck_of(&format!("http://127.0.0.1:{port}/nowhere"));
    assert_eq!(code, Some(1));
    assert!(err.contains("/nowhere answered 404"), "{err}");
    drop(service);
    let (code, err) = healthcheck_of(&format!("http://localhost:{port}/ready"));
    assert_eq!(code, Some(1));
    let expected = format!("no answer from http://localhost:{port}/ready; check that");
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn healthcheck_does_not_wait_for_the_end_of_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // The end of the request is the end of the program.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (code, err) = healthcheck_of(&format!("http://127.0.0.1:{port}"));
    assert_eq!(code, Some(0), "{err}");
    server.join().unwrap();
}

#[rstest]
#[case("https://waybill/ready")]
#[case("waybill")]
#[case("/ready")]
#[case("http://")]
#[case("http://user:password@waybill/ready")]
fn healthcheck_rejects_a_url_that_it_cannot_ask(#[case] url: &str) {
    let (code, err) = healthcheck_of(url);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("http://<host>[:<port>][<path>]"), "{err}");
}
