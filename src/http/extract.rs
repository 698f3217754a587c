//! The extractors of axum with [Problem] as their rejection.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::domain;

/// A JSON body in UTF-8 without compression.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let unsupported = |detail| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        if is_encoded(request.headers()) {
            let problem = unsupported("the body is compressed; send it without Content-Encoding");
            return Err(([(ACCEPT_ENCODING, "identity")], problem).into_response());
        }
        if !is_utf_8(request.headers()) {
            let problem = unsupported("the body must be UTF-8; remove charset from Content-Type");
            return Err(problem.into_response());
        }
        axum::Json::from_request(request, state)
            .await
            .map(|axum::Json(value)| Self(value))
            .map_err(|rejection| Problem::from(rejection).into_response())
    }
}

/// Whether the body has another content coding than `identity`.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| !coding.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Whether the media type names no other character set than UTF-8.
fn is_utf_8(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    media_type
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .all(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// The optional `Idempotency-Key` header.
pub(super) struct IdempotencyKey(pub(super) Option<domain::IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        // Invalid UTF-8 becomes U+FFFD, which isn't valid in a key.
        let key = String::from_utf8_lossy(value.as_bytes())
            .into_owned()
            .try_into();
        key.map(|key| Self(Some(key))).map_err(|reason| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                format!("Idempotency-Key: {reason}"),
            )
        })
    }
}
