//! Databases that answer, but are read-only, full, behind a pooler or in another encoding.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use rstest::rstest;
use serde_json::json;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{
    DATABASE_TIMEOUT, Database, Network, Proxy, Server, Service, TIMEOUT, command, deployment,
    output, wait_until,
};

const PATH: &str = "/api/v1/deployments";

/// Makes new sessions read-only or not. Open sessions do not change, like those to a server that was replaced.
fn set_read_only(database: &Database, read_only: bool) {
    let (name, value) = (database.name(), if read_only { "on" } else { "off" });
    Server::get().execute(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = {value}"
    ));
}

fn close_sessions(database: &Database) {
    let name = database.name();
    Server::get().execute(&format!(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    ));
}

/// A service whose present sessions are all read-only.
fn service_with_read_only_sessions() -> Service {
    let database = Postgres.migrated();
    set_read_only(&database, true);
    let settings = [
        ("WAYBILL_DATABASE_POOL_SIZE", "4"),
        ("WAYBILL_DATABASE_TIMEOUT_MS", "20000"),
        ("WAYBILL_REQUEST_TIMEOUT_MS", "30000"),
    ];
    let service = Service::start(database, &settings);
    wait_until("all sessions to be open", || {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| service.get(PATH).json(200));
            }
        });
        sessions(&service) == 4.0
    });
    service
}

/// Records more deployments at the same time than the service has sessions.
fn record_at_once(service: &Service) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| service.record(&deployment()));
        }
    });
}

/// The number of sessions of the service.
fn sessions(service: &Service) -> f64 {
    ["busy", "idle"]
        .map(|state| format!(r#"waybill_database_connections{{state="{state}"}}"#))
        .iter()
        .filter_map(|name| service.metric(name))
        .sum()
}

#[test]
fn is_not_ready_while_the_database_is_read_only() {
    let service = Postgres.serve();
    service.record(&deployment());
    set_read_only(&service.database, true);
    close_sessions(&service.database);
    wait_until("the service not to be ready", || {
        service.get("/ready").status == 503
    });
    wait_until("the service to connect again", || {
        service.get(PATH).status == 200
    });
    service
        .get("/ready")
        .assert_problem(503, "the database is read-only");
    service
        .post(PATH, &deployment())
        .assert_problem(503, "the database is read-only; try again later");
    service.get("/health").json(200);

    set_read_only(&service.database, false);
    service.get("/ready").json(200);
    service.record(&deployment());
}

#[test]
fn no_write_fails_after_a_failover() {
    let service = service_with_read_only_sessions();
    set_read_only(&service.database, false);
    record_at_once(&service);
}

#[test]
fn is_ready_after_a_failover() {
    let service = service_with_read_only_sessions();
    service
        .get("/ready")
        .assert_problem(503, "the database is read-only");
    set_read_only(&service.database, false);
    service.get("/ready").json(200);
    record_at_once(&service);
}

#[test]
fn every_kind_of_write_recovers() {
    let service = Postgres.serve();
    let path = service.record(&deployment());
    for write in ["PATCH", "DELETE", "POST"] {
        set_read_only(&service.database, true);
        close_sessions(&service.database);
        wait_until("the service to be connected and not ready", || {
            service.get(PATH).status == 200 && service.get("/ready").status == 503
        });
        let send = || match write {
            "PATCH" => service.patch(&path, &json!({ "status": "failed" })),
            "DELETE" => service.delete(&path),
            _ => service.post(PATH, &deployment()),
        };
        send().assert_problem(503, "the database is read-only");
        set_read_only(&service.database, false);
        let answer = send();
        assert!(answer.status < 300, "{write}: {}", answer.text);
    }
}

/// A role that may only read, and a database with it as the user.
fn reader() -> (String, Database) {
    let mut database = Postgres.migrated();
    let role = format!("reader_of_{}", database.name());
    Server::get().execute(&format!("CREATE ROLE {role} LOGIN"));
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    database.connect().batch_execute(&grant).unwrap();
    database.url = database.url.replace("postgres@", &format!("{role}@"));
    (role, database)
}

/// As after a restore, which does not bring the rights back.
#[test]
fn a_user_without_a_right_is_not_ready() {
    let (role, database) = reader();
    let admin = Server::get().url(database.name());
    let service = Service::start(database, &[]);
    let mut admin = PgConnection::establish(&admin).unwrap();
    for right in [
        "INSERT ON deployments",
        "UPDATE ON deployments",
        "DELETE ON deployments",
        "INSERT, SELECT, DELETE ON idempotency_keys",
    ] {
        service
            .get("/ready")
            .assert_problem(503, "permission denied for table");
        service.get(PATH).json(200);
        admin
            .batch_execute(&format!("GRANT {right} TO {role}"))
            .unwrap();
    }
    service.get("/ready").json(200);
    exercise(&service);
}

#[test]
fn a_limit_on_sessions_below_the_size_of_the_pool_fails_no_request() {
    let (role, database) = reader();
    Server::get().execute(&format!("ALTER ROLE {role} CONNECTION LIMIT 1"));
    let service = Service::start(database, &[]);
    concurrently(&service, |service| {
        service.get(PATH).json(200);
    });
}

#[test]
fn a_restart_of_the_server_between_two_requests_fails_none() {
    let service = Postgres.serve();
    let path = service.record(&deployment());
    for _ in 0..3 {
        close_sessions(&service.database);
        service.get(&path).json(200);
        close_sessions(&service.database);
        service.record(&deployment());
    }
}

/// Open connections would write to a file that nobody sees any more.
#[test]
fn a_file_that_is_not_at_its_path_is_not_written() {
    let service = Sqlite.serve_with(&[DATABASE_TIMEOUT]);
    service.record(&deployment());
    let path = service.database.url.strip_prefix("sqlite://").unwrap();
    let aside = format!("{path}.aside");
    fs::rename(path, &aside).unwrap();
    for _ in ["deleted", "replaced"] {
        service
            .post(PATH, &deployment())
            .assert_problem(503, "the database is unavailable; try again later");
        service
            .get("/ready")
            .assert_problem(503, "the file of the database was deleted or replaced");
        assert!(!fs::exists(path).unwrap() || fs::read(path).unwrap().is_empty());
        fs::write(path, "").unwrap();
    }
    fs::rename(&aside, path).unwrap();
    wait_until("the service to be ready again", || {
        service.get("/ready").status == 200
    });
    service.record(&deployment());
}

/// A limit on the size of files fails like a full disk.
#[cfg(target_os = "linux")] // Only Linux can change the limit of another process.
#[test]
fn a_full_disk() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let service = Service::start_limited(
        "trap '' XFSZ; ulimit -S -f 200",
        Sqlite.migrated(),
        &[DATABASE_TIMEOUT],
    );
    service.get("/ready").json(200);
    wait_until("the disk to be full", || {
        let answer = service.post(PATH, &deployment());
        assert!([201, 503].contains(&answer.status), "{}", answer.text);
        answer.status == 503
    });
    service
        .get("/ready")
        .assert_problem(503, "the database is unavailable");
    let page = service.get(PATH).json(200);
    assert!(!page["items"].as_array().unwrap().is_empty());
    service.get("/health").json(200);

    let pid = Pid::from_raw(service.pid()).unwrap();
    let maximum = getrlimit(Resource::Fsize).maximum;
    let room = Rlimit {
        current: maximum,
        maximum,
    };
    prlimit(Some(pid), Resource::Fsize, room).unwrap();
    service.get("/ready").json(200);
    service.record(&deployment());
}

#[test]
fn many_requests_to_a_locked_database() {
    let settings = [DATABASE_TIMEOUT, ("WAYBILL_DATABASE_POOL_SIZE", "2")];
    let service = Postgres.serve_with(&settings);
    let mut other = service.database.connect();
    other
        .batch_execute("BEGIN; LOCK TABLE deployments")
        .unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                service
                    .post(PATH, &deployment())
                    .assert_problem(503, "the database is unavailable; try again later");
            });
        }
        service.get("/health").json(200);
    });
    // Requests wait for a connection and then for the statement, and not for all requests before them.
    assert!(began.elapsed() < 4 * TIMEOUT);
    other.batch_execute("ROLLBACK").unwrap();
    wait_until("the service to be ready again", || {
        service.get("/ready").status == 200
    });
    wait_until("a request to succeed", || {
        service.post(PATH, &deployment()).status == 201
    });
}

#[test]
fn a_slow_database() {
    let proxy = Proxy::start();
    let settings = [
        DATABASE_TIMEOUT,
        ("WAYBILL_DATABASE_POOL_SIZE", "2"),
        ("WAYBILL_REQUEST_TIMEOUT_MS", "4000"),
    ];
    let service = Service::start(proxy.to(Postgres.migrated()), &settings);
    for delay in [0, 20] {
        proxy.set(Network::Delay(Duration::from_millis(delay)));
        wait_until("a request to succeed", || {
            service.post(PATH, &deployment()).status == 201
        });
    }

    proxy.set(Network::Stalled);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| service.get(PATH).assert_problem(503, "try again"));
        }
        scope.spawn(|| service.get("/ready").assert_problem(503, ""));
        service.get("/health").json(200);
    });
    proxy.set(Network::Delay(Duration::ZERO));
    wait_until("the service to be ready again", || {
        service.get("/ready").status == 200
    });
    wait_until("a request to succeed", || {
        service.post(PATH, &deployment()).status == 201
    });
}

/// A deployment that was recorded while the clock was ahead.
#[rstest]
fn a_clock_that_was_set_back(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    service.record(&deployment());
    let ahead = "UPDATE deployments SET id = '7fffffff-ffff-7fff-bfff-ffffffffffff',
                 started_at = '2999-01-01 00:00:00'";
    service.database.connect().batch_execute(ahead).unwrap();
    let path = service.record(&deployment());
    let id = path.rsplit('/').next().unwrap();

    let first = service.get(&format!("{PATH}?limit=1")).json(200);
    assert_eq!(
        first["items"][0]["id"],
        "7fffffff-ffff-7fff-bfff-ffffffffffff"
    );
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.get(&format!("{PATH}?cursor={cursor}")).json(200);
    assert_eq!(second["items"][0]["id"], id);

    let ended = service
        .patch(
            &format!("{PATH}/7fffffff-ffff-7fff-bfff-ffffffffffff"),
            &json!({ "status": "failed" }),
        )
        .json(200);
    assert_eq!(ended["finished_at"], ended["started_at"]);
    service.get("/ready").json(200);
}

/// Creates a database with an encoding.
fn in_encoding(encoding: &str) -> Database {
    let mut database = Postgres.empty();
    let name = format!("{}_{}", database.name(), encoding.to_lowercase());
    let server = Server::get();
    server.execute(&format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    ));
    database.url = server.url(&name);
    database
}

#[rstest]
fn refuses_a_database_that_cannot_store_every_text(
    #[values("serve", "migrate")] mode: &str,
    #[values("LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252")] encoding: &str,
) {
    let database = in_encoding(encoding);
    let settings = [
        ("WAYBILL_DATABASE_URL", database.url.as_str()),
        ("WAYBILL_HTTP_ADDR", "127.0.0.1:0"),
    ];
    let output = output(command(mode, &settings));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    for part in [encoding, "ENCODING 'UTF8'", "WAYBILL_DATABASE_URL"] {
        assert!(error.contains(part), "{error}");
    }
}

const POOLING: (&str, &str) = ("WAYBILL_DATABASE_TRANSACTION_POOLING", "true");

/// The requests that a pooler affects.
fn exercise(service: &Service) {
    let path = service.record(&deployment());
    service.get(&path).json(200);
    service
        .patch(&path, &json!({ "status": "failed" }))
        .json(200);
    service.get(PATH).json(200);
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", &path),
    ];
    for _ in 0..2 {
        let answer = service.send("POST", PATH, &headers, &deployment().to_string());
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
    assert_eq!(service.delete(&path).status, 204);
    service.get(&path).assert_problem(404, "no deployment");
    service.get("/ready").json(200);
}

#[test]
fn transaction_pooling_works_without_a_pooler() {
    let service = Postgres.serve_with(&[POOLING, DATABASE_TIMEOUT]);
    exercise(&service);
    let mut other = service.database.connect();
    other
        .batch_execute("BEGIN; LOCK TABLE deployments")
        .unwrap();
    service
        .post(PATH, &deployment())
        .assert_problem(503, "the database is unavailable; try again later");
}

#[test]
fn sqlite_ignores_transaction_pooling() {
    exercise(&Sqlite.serve_with(&[POOLING]));
}

/// A PgBouncer in transaction mode with two sessions.
struct Pooler {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    fn start() -> Self {
        use std::os::unix::fs::chown;
        use std::os::unix::process::CommandExt;

        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap().keep();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n",
            Server::get().port
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, configuration).unwrap();
        let mut pgbouncer = Command::new("pgbouncer");
        pgbouncer.arg("--quiet").arg(&file);
        if rustix::process::getuid().is_root() {
            // It refuses to run as root.
            chown(&folder, Some(65534), Some(65534)).unwrap();
            pgbouncer.uid(65534).gid(65534);
        }
        let process = pgbouncer.spawn().unwrap();
        wait_until("the pooler to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            process,
            folder,
            port,
        }
    }

    fn serve(&self, settings: &[(&str, &str)]) -> Service {
        let mut database = Postgres.migrated();
        let direct = Server::get().port.to_string();
        database.url = database.url.replace(&direct, &self.port.to_string());
        Service::start(database, settings)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn concurrently(service: &Service, work: impl Fn(&Service) + Sync) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| work(service)));
        }
    });
}

#[test]
#[ignore = "needs pgbouncer on the PATH"]
fn works_behind_a_pooler_in_transaction_mode() {
    let pooler = Pooler::start();
    let service = pooler.serve(&[POOLING]);
    exercise(&service);
    concurrently(&service, |service| {
        service.record(&deployment());
    });
    let migrated = command(
        "migrate",
        &[("WAYBILL_DATABASE_URL", &service.database.url), POOLING],
    );
    assert!({ migrated }.status().unwrap().success());
}

#[test]
#[ignore = "needs pgbouncer on the PATH"]
fn names_the_setting_behind_a_pooler_in_transaction_mode() {
    let pooler = Pooler::start();
    let service = pooler.serve(&[]);
    concurrently(&service, |service| {
        service.get(PATH);
    });
    service.wait_for_log(&["WARN", "WAYBILL_DATABASE_TRANSACTION_POOLING=true"]);
}
