//! JSON over HTTP, for the forge, Argo CD and the Kubernetes API.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// A client of a server whose answers are JSON.
pub struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

impl Client {
    /// A client of `base` that trusts one certificate authority and may authenticate with a certificate and its key.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new(base: &str, authority: &Path, identity: Option<(&Path, &Path)>) -> Result<Self> {
        let mut tls =
            TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate(authority)?]));
        if let Some((chain, key)) = identity {
            let pem = fs::read(key).with_context(|| format!("cannot read {}", key.display()))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(
                &[certificate(chain)?],
                PrivateKey::from_pem(&pem)?,
            )));
        }
        Ok(Self::with(base, tls.build()))
    }

    /// A client of `base` over plain HTTP. It trusts no certificate.
    pub fn plain(base: &str) -> Self {
        let none = RootCerts::new_with_certs(&[]);
        Self::with(base, TlsConfig::builder().root_certs(none).build())
    }

    fn with(base: &str, tls: TlsConfig) -> Self {
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(Duration::from_secs(30)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self {
            agent,
            base: base.to_owned(),
            authorization: None,
        }
    }

    /// The same client with an `Authorization` header.
    #[must_use]
    pub fn authorized(mut self, header: impl Into<String>) -> Self {
        self.authorization = Some(header.into());
        self
    }

    /// Sends a request and returns the answer's JSON.
    ///
    /// # Errors
    /// When there is no answer, or its status is not a success; the error has the server's message.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, value) = self.send(method, path, body)?;
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let message = value
            .get("message")
            .and_then(Value::as_str)
            .map_or_else(|| value.to_string(), str::to_owned);
        bail!("{method} {}{path} answered {status}: {message}", self.base)
    }

    /// Reads a resource; `None` if the status is 404.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        let (status, value) = self.send("GET", path, None)?;
        match status {
            404 => Ok(None),
            200..300 => Ok(Some(value)),
            _ => bail!("GET {}{path} answered {status}: {value}", self.base),
        }
    }

    /// Sends a request and returns the answer's status and JSON. An answer that is not JSON is returned as a string.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Accept", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = match body {
            Some(body) => self.agent.run(
                request
                    .header("Content-Type", "application/json")
                    .body(body.to_string())?,
            ),
            None => self.agent.run(request.body(())?),
        };
        let answer = answer.with_context(|| format!("{method} {}{path}", self.base))?;
        read(answer)
    }
}

fn read(mut answer: Response<Body>) -> Result<(u16, Value)> {
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string()?;
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok((status, value))
}

fn certificate(path: &Path) -> Result<Certificate<'static>> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_pem(&pem)
        .flatten()
        .find_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .with_context(|| format!("{} contains no certificate", path.display()))
}

/// The answer's text of a plain HTTP GET; `None` if its status is not a success.
pub fn get_text(url: &str) -> Option<String> {
    let agent = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .new_agent();
    agent.get(url).call().ok()?.body_mut().read_to_string().ok()
}
