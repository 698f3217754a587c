//! HTTP clients that send and read JSON. Every error names the request and what the server answered.

mod error;
mod tls;

pub use error::Error;
pub use tls::Tls;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use error::message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Request;
use ureq::tls::TlsConfig;

/// How long a whole request may take, unless a client says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// `user:secret` as a basic credential (RFC 7617), without the scheme.
pub fn basic(user: &str, secret: &str) -> String {
    STANDARD.encode(format!("{user}:{secret}"))
}

/// An HTTP agent that takes every status as an answer. `timeout` is for the whole request.
pub fn agent(tls: Tls, timeout: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(tls.roots)
        .client_cert(tls.identity)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .build()
        .new_agent()
}

/// The body of a plain HTTP GET that is answered with success within two seconds.
pub fn get_text(url: &str) -> Option<String> {
    let client = Client::with_timeout(url, Tls::none(), Duration::from_secs(2));
    client.text("").ok()
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// The `Link` header (RFC 8288), by which lists name their next page.
    pub link: Option<String>,
}

/// A server at a base URL.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A client of the server at `base`; paths of requests are appended to it.
    pub fn new(base: &str, tls: Tls) -> Self {
        Self::with_timeout(base, tls, TIMEOUT)
    }

    /// As [`Client::new`]; each request may take `timeout` as a whole.
    pub fn with_timeout(base: &str, tls: Tls, timeout: Duration) -> Self {
        Self {
            agent: agent(tls, timeout),
            base: base.trim_end_matches('/').to_owned(),
            headers: vec![
                ("Accept", "application/json".to_owned()),
                ("User-Agent", env!("CARGO_PKG_NAME").to_owned()),
            ],
        }
    }

    /// Sends a header with each request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Logs in with a token (RFC 6750).
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        self.with_header("Authorization", format!("Bearer {token}"))
    }

    /// Logs in with a user's password (RFC 7617).
    #[must_use]
    pub fn with_password(self, user: &str, password: &str) -> Self {
        self.with_header("Authorization", format!("Basic {}", basic(user, password)))
    }

    /// The URL that paths are appended to.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether requests have an `Authorization` header.
    pub fn is_logged_in(&self) -> bool {
        self.headers
            .iter()
            .any(|(name, _)| *name == "Authorization")
    }

    /// Reads the JSON at a path.
    ///
    /// # Errors
    /// When there is no answer, no success, or other JSON than expected.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.success("GET", path, None)?;
        self.json("GET", path, &answer.text)
    }

    /// As [`Client::get`]; `None` where the server answers 404.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        match self.get(path) {
            Err(error) if error.status() == Some(404) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Reads the text at a path.
    ///
    /// # Errors
    /// When there is no answer, or no success.
    pub fn text(&self, path: &str) -> Result<String, Error> {
        Ok(self.success("GET", path, None)?.text)
    }

    /// Sends JSON and reads the JSON of the answer.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let answer = self.success(method, path, Some(&to_json(body)?))?;
        self.json(method, path, &answer.text)
    }

    /// Sends JSON; the answer only has to be a success.
    ///
    /// # Errors
    /// When there is no answer, or no success.
    pub fn execute(&self, method: &str, path: &str, body: &impl Serialize) -> Result<(), Error> {
        self.success(method, path, Some(&to_json(body)?)).map(drop)
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub fn delete(&self, path: &str) -> Result<(), Error> {
        self.success("DELETE", path, None).map(drop)
    }

    /// Posts bytes to a URL that the server gave.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub fn upload(&self, url: &str, content: &[u8]) -> Result<(), Error> {
        let answer = self.request("POST", url, "application/octet-stream", Some(content))?;
        checked("POST", url, answer).map(drop)
    }

    /// Sends a request and returns the answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        let body = body.map(to_json).transpose()?;
        let url = self.url(path);
        self.request(method, &url, "application/json", body.as_deref())
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn success(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, Error> {
        let url = self.url(path);
        let answer = self.request(method, &url, "application/json", body)?;
        checked(method, &url, answer)
    }

    /// Reads JSON out of an answer's text.
    ///
    /// # Errors
    /// When it is other JSON than expected.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        text: &str,
    ) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|source| Error::Json {
            method: method.to_owned(),
            url: self.url(path),
            source,
        })
    }

    fn request(
        &self,
        method: &str,
        url: &str,
        kind: &str,
        body: Option<&[u8]>,
    ) -> Result<Answer, Error> {
        let exchange = || -> Result<Answer, ureq::Error> {
            let mut request = Request::builder().method(method).uri(url);
            for (name, value) in &self.headers {
                request = request.header(*name, value);
            }
            // Only a GET means the same elsewhere: the answer to any other redirected request is about another one.
            let redirects = if method == "GET" { 10 } else { 0 };
            let answer = match body {
                Some(body) => {
                    let request = request.header("Content-Type", kind).body(body)?;
                    let request = self.agent.configure_request(request);
                    self.agent.run(request.max_redirects(redirects).build())
                }
                None => {
                    let request = self.agent.configure_request(request.body(())?);
                    self.agent.run(request.max_redirects(redirects).build())
                }
            };
            let mut answer = answer?;
            let bytes = answer
                .body_mut()
                .with_config()
                .limit(LONGEST)
                .read_to_vec()?;
            let link = answer.headers().get("link");
            Ok(Answer {
                status: answer.status().as_u16(),
                text: String::from_utf8_lossy(&bytes).into_owned(),
                link: link.and_then(|link| link.to_str().ok().map(str::to_owned)),
            })
        };
        exchange().map_err(|source| Error::Unreachable {
            method: method.to_owned(),
            url: url.to_owned(),
            source: Box::new(source),
        })
    }
}

fn to_json(body: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(body).map_err(Error::Body)
}

/// The answer, if it is a success.
pub(crate) fn checked(method: &str, url: &str, answer: Answer) -> Result<Answer, Error> {
    match answer.status {
        200..300 => Ok(answer),
        status => Err(Error::Status {
            method: method.to_owned(),
            url: url.to_owned(),
            status,
            message: message(&answer.text),
        }),
    }
}

#[cfg(test)]
mod tests;
