//! The HTTP interface: every route is listed in [router].

mod deployments;
mod extract;
mod metrics;
mod middleware;
mod probes;
mod problem;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Router, http::StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::store::Store;
use metrics::Metrics;
use problem::Problem;

/// What the handlers share.
pub struct Api {
    store: Store,
    metrics: Metrics,
    stopping: AtomicBool,
    request_timeout: Duration,
}

impl Api {
    /// An interface to `store`.
    pub fn new(store: Store, request_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            store,
            metrics: Metrics::new(),
            stopping: AtomicBool::new(false),
            request_timeout,
        })
    }

    /// From now on not ready, so that load balancers send requests elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

#[derive(OpenApi)]
#[openapi(components(schemas(crate::domain::IdempotencyKey)))]
struct Description;

/// All routes.
pub fn router(api: Arc<Api>, body_limit: usize) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(deployments::list, deployments::create))
        .routes(routes!(
            deployments::read,
            deployments::update,
            deployments::delete
        ))
        .routes(routes!(probes::health))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::version))
        .routes(routes!(metrics::scrape))
        .split_for_parts();
    let description = axum::body::Bytes::from(serde_json::to_vec(&description).unwrap_or_default());

    // The last layer is the outermost.
    router
        .route(
            "/openapi.json",
            get(async || ([(CONTENT_TYPE, "application/json")], description)),
        )
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; see /openapi.json",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "the Allow header lists the methods of this path",
            )
        })
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            middleware::limit_time,
        ))
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            middleware::observe,
        ))
        .with_state(api)
}
