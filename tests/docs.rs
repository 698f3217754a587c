//! The requests that the documentation shows, sent to a started service.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that can't go on fails"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// The address that the documentation uses: the service's default.
const DOCUMENTED: &str = "127.0.0.1:8080";

/// How long the service may take to start. Generous: only a failing test waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// The service on a new SQLite file; it ends with the test.
struct Service {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_waybill"))
            .current_dir(folder.path())
            .env_clear()
            .env("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
            .env("WAYBILL_LOG_FORMAT", "json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stdout.take().unwrap()).lines();
        let (found, address) = mpsc::channel();
        // It reads to the end, so that the service can always write.
        thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["message"] == "listening" {
                    let _ = found.send(event["address"].as_str().unwrap().to_owned());
                }
            }
        });
        let mut service = Self {
            process,
            address: String::new(),
            folder,
        };
        service.address = address
            .recv_timeout(DEADLINE)
            .expect("the service logs its address");
        service
    }

    /// Runs a documented script against this service, and returns what it prints.
    fn run(&self, script: &str) -> String {
        assert!(script.contains(DOCUMENTED), "{script}");
        let script = script
            .replace(DOCUMENTED, &self.address)
            // A wrong request would otherwise look like a right one.
            .replace("curl ", "curl --silent --show-error --fail ");
        let output = Command::new("sh")
            .args(["-eu", "-c", &script])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{errors}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The blocks of a page that are marked ```` ```sh run ````.
fn scripts(page: &str) -> Vec<String> {
    // Cargo runs a test in the folder of its package, which is the root.
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("\n```sh run\n").skip(1);
    let scripts: Vec<String> = blocks
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect();
    assert!(!scripts.is_empty(), "{page} has no script to run");
    scripts
}

#[test]
fn the_readme_records_and_lists_a_deployment() {
    let service = Service::start();
    for script in scripts("README.md") {
        let printed = service.run(&script);
        assert!(printed.contains(r#""application":"shop""#), "{printed}");
        assert!(printed.contains(r#""items":[{"#), "{printed}");
    }
}

#[test]
fn the_session_of_the_service_page_ends_as_it_says() {
    let service = Service::start();
    for script in scripts("docs/service.md") {
        let printed = service.run(&script);
        assert!(printed.contains(r#""status":"progressing""#), "{printed}");
        let left = service.run(&format!("curl http://{DOCUMENTED}/api/v1/deployments"));
        assert!(left.contains(r#""items":[]"#), "{left}");
    }
}
