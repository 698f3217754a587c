//! Debian's Prometheus, which runs on the node during a scenario.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use devkit::forge::encoded;
use devkit::http::{Client, Tls};
use devkit::process::command;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The port of the service's pods.
pub const SERVICE_PORT: u16 = 8080;

/// A Prometheus that ends with this value.
pub struct Prometheus {
    process: Child,
    api: Client,
    log: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer of the API (<https://prometheus.io/docs/prometheus/latest/querying/api/>).
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Found {
    result: Vec<Sample>,
}

/// A result of a query.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// The time, and the value as text.
    pub value: (f64, String),
}

impl Prometheus {
    /// Starts it with these settings, which may name files in the folder. It keeps its data in the folder too, and
    /// answers a moment later.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, address: &str, settings: &Value) -> Result<Self> {
        let file = folder.join("prometheus.yaml");
        // JSON is YAML.
        fs::write(&file, settings.to_string())?;
        let data = folder.join("data");
        let log = folder.join("log");
        let process = command("prometheus", [format!("--config.file={}", file.display())])
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("cannot start prometheus; install Debian's package of that name")?;
        Ok(Self {
            process,
            api: Client::new(&format!("http://{address}/api/v1"), Tls::none()),
            log,
        })
    }

    /// Reads a part of the API.
    ///
    /// # Errors
    /// When Prometheus does not answer; the error has its log.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer: Answer<T> = self.api.get(path).with_context(|| {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            format!("Prometheus says:\n{log}")
        })?;
        Ok(answer.data)
    }

    /// The present results of a query.
    ///
    /// # Errors
    /// As [`Prometheus::get`], and when the query is wrong.
    pub fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let found: Found = self.get(&format!("/query?query={}", encoded(expression)))?;
        Ok(found.result)
    }
}

/// An empty folder for a Prometheus, in the lab's folder for temporary files.
///
/// # Errors
/// When it cannot be created.
pub fn folder(temporary: &Path) -> Result<PathBuf> {
    let folder = temporary.join("prometheus");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
