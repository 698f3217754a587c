//! HTTP clients that send and read JSON. Every error names the request and what the server answered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;
use ureq::http::Request;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// How long a whole request may take, unless a client says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// How many characters of an answer that is not JSON an error shows.
const EXCERPT: usize = 500;

/// Why a request has no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, or the connection broke.
    #[error("cannot reach the server for {method} {url}")]
    Unreachable {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The server answered, and not with success.
    #[error("{method} {url} answered {status}: {message}")]
    Status {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The answer is not the JSON that is expected.
    #[error("{method} {url} answered something unexpected")]
    Json {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// What is missing or wrong.
        source: serde_json::Error,
    },
    /// The body of a request cannot be written as JSON.
    #[error("cannot write the body of a request")]
    Body(#[source] serde_json::Error),
    /// A certificate or key file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file has no certificate or no key in PEM form.
    #[error("{} holds no {what} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
}

impl Error {
    /// The HTTP status, where the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// `user:secret` as a basic credential (RFC 7617), without the scheme.
pub fn basic(user: &str, secret: &str) -> String {
    STANDARD.encode(format!("{user}:{secret}"))
}

/// Which servers a client trusts, and who it says it is.
pub struct Tls {
    roots: RootCerts,
    identity: Option<ClientCert>,
}

impl Tls {
    /// Trusts what this machine trusts.
    pub fn platform() -> Self {
        Self {
            roots: RootCerts::PlatformVerifier,
            identity: None,
        }
    }

    /// Trusts the one authority whose certificate is in a PEM file.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn authority(certificate: &Path) -> Result<Self, Error> {
        let roots = RootCerts::new_with_certs(&certificates(certificate)?);
        Ok(Self {
            roots,
            identity: None,
        })
    }

    /// Trusts no one: for plain HTTP on this machine.
    pub fn none() -> Self {
        Self {
            roots: RootCerts::new_with_certs(&[]),
            identity: None,
        }
    }

    /// Shows the server a client certificate; `chain` and `key` are PEM files.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks the certificate or the key.
    pub fn with_identity(mut self, chain: &Path, key: &Path) -> Result<Self, Error> {
        let pem = read(key)?;
        let private = PrivateKey::from_pem(&pem).map_err(|_| Error::Pem {
            path: key.to_owned(),
            what: "private key",
        })?;
        self.identity = Some(ClientCert::new_with_certs(&certificates(chain)?, private));
        Ok(self)
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = read(path)?;
    let found: Vec<_> = parse_pem(&pem)
        .flatten()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(Error::Pem {
            path: path.to_owned(),
            what: "certificate",
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
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

/// What a server says about a failure: the `message` of GitHub, Gitea and Kubernetes, with GitHub's `errors`; else the
/// beginning of the text.
fn message(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let said = value["message"].as_str().unwrap_or_default();
    let details = value["errors"].as_array().into_iter().flatten().map(detail);
    let parts: Vec<String> = std::iter::once(said.to_owned())
        .chain(details)
        .filter(|part| !part.is_empty())
        .collect();
    match (parts.is_empty(), text.trim()) {
        (false, _) => parts.join("; "),
        (true, "") => "(no message)".to_owned(),
        (true, text) => text.chars().take(EXCERPT).collect(),
    }
}

/// One of GitHub's `errors`: a text, or an object with a resource, a field, a code and perhaps a message.
fn detail(error: &Value) -> String {
    let text = |key: &str| error[key].as_str();
    match (error.as_str(), text("message"), text("field"), text("code")) {
        (Some(text), ..) | (None, Some(text), ..) => text.to_owned(),
        (None, None, Some(field), Some(code)) => format!("{field}: {code}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::serve;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Thing {
        name: String,
    }

    fn client(status: u16, body: &'static str) -> Client {
        let server = serve(move |_| (status, body.to_owned()));
        Client::new(&server, Tls::none())
    }

    #[test]
    fn json_is_read_into_a_type() {
        let client = client(200, r#"{"name": "a", "more": 1}"#);
        let thing: Thing = client.get("/things/1").unwrap();
        assert_eq!(thing.name, "a");
        let thing: Option<Thing> = client.find("/things/1").unwrap();
        assert!(thing.is_some());
    }

    #[test]
    fn an_answer_of_another_shape_names_the_request_and_the_field() {
        let client = client(200, "{}");
        let error = client.get::<Thing>("/things/1").unwrap_err();
        assert!(error.to_string().starts_with("GET http://127.0.0.1:"));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("missing field `name`"), "{source}");
    }

    #[test]
    fn what_is_not_there_is_none_and_other_failures_are_errors() {
        let missing = client(404, r#"{"message": "Not Found"}"#);
        assert_eq!(missing.find::<Thing>("/x").unwrap(), None);
        assert_eq!(missing.get::<Thing>("/x").unwrap_err().status(), Some(404));
        let broken = client(500, "<html>oh</html>");
        let error = broken.find::<Thing>("/x").unwrap_err().to_string();
        assert!(
            error.ends_with("/x answered 500: <html>oh</html>"),
            "{error}"
        );
    }

    #[test]
    fn a_refusal_has_the_words_of_the_server() {
        for (body, expected) in [
            (r#"{"message": "No"}"#, "No"),
            (r#"{"message": "No", "errors": ["a", "b"]}"#, "No; a; b"),
            (
                r#"{"message": "Failed", "errors": [{"field": "head", "code": "invalid"}]}"#,
                "Failed; head: invalid",
            ),
            (
                r#"{"message": "Failed", "errors": [{"code": "custom", "message": "exists"}]}"#,
                "Failed; exists",
            ),
            (r#"{"message": "No", "errors": null}"#, "No"),
            ("", "(no message)"),
        ] {
            let error = client(422, body).execute("POST", "/x", &Value::Null);
            let error = error.unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("answered 422: {expected}")),
                "{error}"
            );
        }
    }

    #[test]
    fn requests_have_the_login_and_the_body() {
        let server = serve(|request| {
            let seen = format!(
                "{} {} {}",
                request.line,
                request.header("authorization").unwrap_or_default(),
                request.body()
            );
            (200, serde_json::json!({ "name": seen }).to_string())
        });
        let client = Client::new(&server, Tls::none()).with_token("secret");
        let seen: Thing = client
            .send("PATCH", "/x?y=1", &serde_json::json!({"a": 1}))
            .unwrap();
        assert_eq!(seen.name, r#"PATCH /x?y=1 HTTP/1.1 Bearer secret {"a":1}"#);
        let client = client.with_password("Aladdin", "open sesame");
        let seen: Thing = client.get("/").unwrap();
        // The example of RFC 7617.
        assert!(seen.name.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    }

    #[test]
    fn a_redirected_write_is_not_a_success() {
        let server = serve(|request| match request.target() {
            "/elsewhere" => (200, r#"{"name": "other"}"#.to_owned()),
            _ => (302, String::new()),
        });
        let client = Client::new(&server, Tls::none());
        assert_eq!(client.get::<Thing>("/x").unwrap().name, "other");
        let error = client.execute("POST", "/x", &Value::Null).unwrap_err();
        assert_eq!(error.status(), Some(302));
    }

    #[test]
    fn a_server_that_is_away_is_named() {
        let client = Client::new("http://127.0.0.1:9", Tls::none());
        let error = client.text("/x").unwrap_err().to_string();
        assert!(error.contains("GET http://127.0.0.1:9/x"), "{error}");
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Tls::authority(file.path()).err().unwrap().to_string();
        assert!(error.contains("holds no certificate"), "{error}");
        let error = Tls::authority(Path::new("/no/such")).err().unwrap();
        assert!(matches!(error, Error::Read { .. }));
    }
}
