//! Why a request has no usable answer.

use serde_json::Value;
use std::io;
use std::path::PathBuf;

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

/// What a server says about a failure: the `message` of GitHub, Gitea and Kubernetes, with GitHub's `errors`; else the
/// beginning of the text.
pub(super) fn message(text: &str) -> String {
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
