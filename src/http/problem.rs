use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::Error;

/// The number of seconds after which a client should repeat a request that failed temporarily.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// An error in the format of RFC 9457. Its type is the default one, `about:blank`, so the status identifies the
/// problem.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The reason phrase of the HTTP status.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The HTTP status of the response.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    status: u16,
    /// An explanation of what went wrong.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// An internal error. The client doesn't learn the cause, so the caller must log it.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; the log of the service has the details for this x-request-id",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            // draft-ietf-httpapi-idempotency-key-header proposes 422 for a key that was used before. But the request is as
            // described, and only the state of the ledger forbids it.
            Error::Refused(_) | Error::Contended | Error::KeyOutlived(_) | Error::KeyReused => {
                StatusCode::CONFLICT
            }
            Error::ReadOnly => {
                tracing::warn!("the database is read-only");
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database is read-only; try again later",
                );
            }
            Error::Unavailable(_) | Error::Outdated(_) => {
                tracing::warn!(%error, "database is unavailable");
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database is unavailable; try again later",
                );
            }
            Error::Internal(_) => {
                tracing::error!(%error, "internal error");
                return Self::internal();
            }
        };
        Self::new(status, error.to_string())
    }
}

macro_rules! from_rejections {
    ($($rejection:ty),*) => {
        $(impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Self {
                Self::new(rejection.status(), rejection.body_text())
            }
        })*
    };
}

from_rejections!(JsonRejection, PathRejection, QueryRejection);
