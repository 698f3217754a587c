//! Middleware that handles every request.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The route label of a request that matches no route. Labels must not take arbitrary values from clients.
const NO_ROUTE: &str = "<none>";

/// Assigns an ID to the request, logs it and counts it.
pub(super) async fn observe(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let path = request.uri().path().to_owned();
    let id = request_id(request.headers().get(REQUEST_ID));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method,
        path
    );

    let mut response = next.run(request).instrument(span.clone()).await;

    response.headers_mut().insert(REQUEST_ID, id);
    if api.is_stopping() {
        // The connection will end soon. A client that reuses it at that moment would get no response.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    let status = response.status().as_u16();
    let duration = began.elapsed();
    api.metrics.request_ends(method, route, status, duration);
    let milliseconds = duration.as_micros() as f64 / 1000.0;
    span.in_scope(|| {
        // Probes and scrapes arrive every few seconds, so they are logged only when they fail.
        if route.starts_with("/api") || status >= 400 {
            tracing::info!(status, route, milliseconds, "answered");
        } else {
            tracing::debug!(status, route, milliseconds, "answered");
        }
    });
    response
}

/// Counts a request as in progress, or rejects it if too many are. Those that show how the service is are never rejected.
pub(super) async fn limit_requests(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let is_limited = !matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    let permit = is_limited.then(|| api.requests.try_acquire()).transpose();
    let Ok(_permit) = permit else {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many requests are in progress; try again",
        )
        .into_response();
    };
    let _in_flight = api.metrics.request_begins();
    next.run(request).await
}

/// Aborts a request that takes longer than the limit.
pub(super) async fn limit_time(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::timeout(api.limits.request_timeout, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let limit = api.limits.request_timeout.as_millis();
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the request took longer than {limit} ms; try again"),
            )
            .into_response()
        })
}

/// Answers a request whose handler panicked. The panic has already been logged.
pub(super) fn answer_panic(_: Box<dyn Any + Send>) -> Response {
    Problem::internal().into_response()
}

/// The ID that the client sent, or a new one if that ID is not safe to log.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let is_safe = |id: &&HeaderValue| {
        (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    match given.filter(is_safe) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(Uuid::now_v7().to_string())
            .unwrap_or(HeaderValue::from_static("none")),
    }
}

/// The method as a label. Methods that HTTP doesn't define become `other`.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    const NAMES: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN
        .iter()
        .zip(NAMES)
        .find(|(known, _)| *known == method)
        .map_or("other", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_request_id_that_could_forge_a_log_line() {
        let given = |id: &'static str| request_id(Some(&HeaderValue::from_static(id)));
        assert_eq!(given("4f5b-1c1e"), "4f5b-1c1e");
        assert_ne!(given("a b"), "a b");
        assert_ne!(given(""), "");
        assert_eq!(request_id(None).len(), 36);
    }

    #[test]
    fn labels_an_unknown_method_as_other() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"BREW").unwrap()), "other");
    }

    #[test]
    fn answers_a_panic_without_its_message() {
        let response = answer_panic(Box::new("secret"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
}
