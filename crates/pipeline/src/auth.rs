//! Credentials as HTTP and the registry clients want them. They never go through an argument or a log.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// `user:secret` as the value of a basic `Authorization` header, without the scheme (RFC 7617).
pub(crate) fn basic(user: &str, secret: &str) -> String {
    STANDARD.encode(format!("{user}:{secret}"))
}
