//! The extractors of axum with [Problem] as their rejection.

use axum::extract::{FromRequest, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::problem::Problem;
use crate::domain;

#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Json<T>(pub(super) T);

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
