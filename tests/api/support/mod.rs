//! Starts the service and sends requests to it.

mod postgres;
mod proxy;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, SqliteConnection};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request};

pub(crate) use postgres::Server;
pub(crate) use proxy::{Network, Proxy};

/// The time after which a test fails. It is long, because only failing tests wait for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// A time-out for a database that does not answer. A statement takes less, also on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1500);

/// The setting with [`TIMEOUT`].
pub(crate) const DATABASE_TIMEOUT: (&str, &str) = ("WAYBILL_DATABASE_TIMEOUT_MS", "1500");

/// The kinds of database that the service runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// A new empty database.
    pub(crate) fn empty(self) -> Database {
        match self {
            Kind::Sqlite => {
                let dir = TempDir::new().unwrap();
                let url = format!("sqlite://{}/waybill.db", dir.path().display());
                Database {
                    url,
                    _dir: Some(dir),
                }
            }
            Kind::Postgres => Database {
                url: Server::get().create_database("template0"),
                _dir: None,
            },
        }
    }

    /// A new database with the current schema.
    pub(crate) fn migrated(self) -> Database {
        match self {
            Kind::Sqlite => self.empty(),
            Kind::Postgres => Database {
                url: Server::get().create_database(Server::get().migrated()),
                _dir: None,
            },
        }
    }

    /// Starts the service on a new database.
    pub(crate) fn serve(self) -> Service {
        self.serve_with(&[])
    }

    /// Starts the service on a new database with additional settings.
    pub(crate) fn serve_with(self, settings: &[(&str, &str)]) -> Service {
        Service::start(self.migrated(), settings)
    }
}

/// The database of one test.
pub(crate) struct Database {
    pub(crate) url: String,
    _dir: Option<TempDir>,
}

impl Database {
    /// The name of a PostgreSQL database.
    pub(crate) fn name(&self) -> &str {
        let (url, _) = self.url.split_once('?').unwrap_or((&self.url, ""));
        url.rsplit('/').next().unwrap()
    }

    /// Opens another connection to the database.
    pub(crate) fn connect(&self) -> Box<dyn SimpleConnection> {
        match self.url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut connection = SqliteConnection::establish(path).unwrap();
                // The service may be writing at this moment.
                connection
                    .batch_execute("PRAGMA busy_timeout = 30000")
                    .unwrap();
                Box::new(connection)
            }
            None => Box::new(PgConnection::establish(&self.url).unwrap()),
        }
    }
}

/// The command that runs the program without settings from the environment. The program is the one that Cargo built, or
/// the one in `WAYBILL_TEST_BINARY`. `cargo pipeline image --test` sets that variable to the program in the image.
pub(crate) fn command(mode: &str, settings: &[(&str, &str)]) -> Command {
    let given = std::env::var_os("WAYBILL_TEST_BINARY");
    let mut command = Command::new(given.unwrap_or_else(|| env!("CARGO_BIN_EXE_waybill").into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("WAYBILL_") || name.starts_with("PG") {
            command.env_remove(name.as_ref());
        }
    }
    command.arg(mode).envs(settings.iter().copied());
    command
}

/// Runs a program to its end, and ends it if it takes too long.
pub(crate) fn output(mut command: Command) -> Output {
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if !poll(DEADLINE, || process.try_wait().unwrap().is_some()) {
        process.kill().unwrap();
    }
    process.wait_with_output().unwrap()
}

/// The running service.
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) address: SocketAddr,
    process: Child,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts the service on a free port.
    pub(crate) fn start(database: Database, settings: &[(&str, &str)]) -> Self {
        let (service, output) = Self::start_unread(database, settings);
        service.copy_log(output);
        service
    }

    fn copy_log(&self, output: BufReader<ChildStdout>) {
        let log = Arc::clone(&self.log);
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _: Value = serde_json::from_str(&line).unwrap();
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
    }

    /// Starts the service on a free port, and reads its output only until it listens. Returns the rest of the output.
    pub(crate) fn start_unread(
        database: Database,
        settings: &[(&str, &str)],
    ) -> (Self, BufReader<ChildStdout>) {
        Self::listen(command("serve", &[]), database, settings)
    }

    /// Starts the service after a shell has run `limit`, such as `ulimit -n 64`.
    pub(crate) fn start_limited(
        limit: &str,
        database: Database,
        settings: &[(&str, &str)],
    ) -> Self {
        let program = command("serve", &[]);
        let mut limited = Command::new("/bin/sh");
        limited
            .args(["-c", &format!("{limit}; exec \"$0\" serve")])
            .arg(program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        let (service, output) = Self::listen(limited, database, settings);
        service.copy_log(output);
        service
    }

    fn listen(
        mut command: Command,
        database: Database,
        settings: &[(&str, &str)],
    ) -> (Self, BufReader<ChildStdout>) {
        let mut process = command
            .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
            .env("WAYBILL_DATABASE_URL", &database.url)
            .env("WAYBILL_LOG_FORMAT", "json")
            // A test that is not about time-outs must not fail because the machine is busy.
            .env("WAYBILL_DATABASE_TIMEOUT_MS", "20000")
            .env("WAYBILL_REQUEST_TIMEOUT_MS", "30000")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = mpsc::channel();
        let (mut output, copy) = (
            BufReader::new(process.stdout.take().unwrap()),
            Arc::clone(&log),
        );
        thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).unwrap() > 0 {
                let event: Value = serde_json::from_str(&line).unwrap();
                copy.lock().unwrap().push_str(&line);
                line.clear();
                if event["message"] == "listening" {
                    let address = event["address"].as_str().unwrap().parse().unwrap();
                    let _ = found.send((address, output));
                    return;
                }
            }
        });
        match address.recv_timeout(DEADLINE) {
            Ok((address, output)) => {
                let service = Self {
                    database,
                    address,
                    process,
                    log,
                };
                (service, output)
            }
            Err(_) => {
                let _ = process.kill();
                panic!("the service did not start:\n{}", log.lock().unwrap());
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            &body.to_string(),
        )
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "PATCH",
            path,
            &[("content-type", "application/json")],
            &body.to_string(),
        )
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "")
    }

    /// Sends a request.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(DEADLINE))
            .build()
            .into();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if body.is_empty() {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body.to_owned()).unwrap())
        };
        let mut response = response.unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text,
        }
    }

    /// Records a deployment and returns its path.
    pub(crate) fn record(&self, deployment: &Value) -> String {
        let answer = self.post("/api/v1/deployments", deployment);
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    /// Sends a request without the last byte of its body, so that it stays in progress. Returns the connection and that
    /// byte.
    pub(crate) fn begin_request(&self) -> (TcpStream, Vec<u8>) {
        use std::io::Write;

        let body = deployment().to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "POST /api/v1/deployments HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{}",
            body.len(),
            &body[..body.len() - 1]
        )
        .unwrap();
        (stream, body.as_bytes()[body.len() - 1..].to_vec())
    }

    /// The value of a metric with the given name and labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics").text;
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Waits for a line of the log that contains all `parts`.
    pub(crate) fn wait_for_log(&self, parts: &[&str]) {
        wait_until(&format!("a log line with {parts:?}"), || {
            let log = self.log.lock().unwrap();
            log.lines()
                .any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Everything that the service has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().try_into().unwrap()
    }

    pub(crate) fn terminate(&self) {
        let pid = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits until the process ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process to end", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Service {
    /// Ends the process with SIGTERM, so that it can write its coverage data.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = Command::new("kill")
                .args(["-TERM", &self.process.id().to_string()])
                .status();
            let ended = poll(Duration::from_secs(5), || {
                !matches!(self.process.try_wait(), Ok(None))
            });
            if !ended {
                let _ = self.process.kill();
                let _ = self.process.wait();
            }
        }
    }
}

/// An HTTP response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Checks the status and parses the body.
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// Checks that the response is a problem with this status and a detail that contains `detail`.
    pub(crate) fn assert_problem(&self, status: u16, detail: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert!(self.headers.contains_key("x-request-id"));
        assert_eq!(self.headers.contains_key("retry-after"), status == 503);
        let problem = self.json(status);
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string());
        let found = problem["detail"].as_str().unwrap();
        assert!(
            found.contains(detail),
            "{found:?} does not contain {detail:?}"
        );
    }
}

/// A valid deployment.
pub(crate) fn deployment() -> Value {
    json!({
        "application": "shop",
        "environment": "dev",
        "version": "v1.4.0",
        "commit": "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567",
        "image_digest": format!("sha256:{}", "a1".repeat(32)),
        "actor": "delivery-bot",
    })
}

/// A valid deployment with the given fields replaced.
pub(crate) fn deployment_with(fields: Value) -> Value {
    let mut deployment = deployment();
    for (name, value) in fields.as_object().unwrap() {
        deployment[name] = value.clone();
    }
    deployment
}

/// Waits until `condition` is true. The test fails if that takes too long.
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(
        poll(DEADLINE, condition),
        "waited {DEADLINE:?} without success for {what}"
    );
}

fn poll(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Reads a connection to its end.
pub(crate) fn read_all(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
