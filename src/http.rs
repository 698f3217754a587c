//! The HTTP API. [router] lists all routes.

mod connection;
mod deployments;
mod extract;
mod metrics;
mod middleware;
mod probes;
mod problem;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Router, http::StatusCode};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::build::Build;
use crate::store::Store;
use metrics::Metrics;
use problem::Problem;

pub use server::serve;

/// The limits on what clients may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum number of connections.
    pub connections: usize,
    /// The maximum time to send the head of a request or to accept more of a response.
    pub header_timeout: Duration,
    /// The time after which a connection without a request closes.
    pub idle_timeout: Duration,
    /// The maximum duration of a request.
    pub request_timeout: Duration,
    /// The maximum size of a request body, in bytes.
    pub body: usize,
}

impl Limits {
    /// The number of requests that may be in progress. The other connections are for probes.
    fn requests(&self) -> usize {
        self.connections - (self.connections / 2).min(8)
    }
}

/// The state that all handlers share.
pub struct Api {
    store: Store,
    metrics: Metrics,
    stopping: AtomicBool,
    limits: Limits,
    requests: Semaphore,
    build: Build,
}

impl Api {
    /// An API on `store`, of a binary that was built from `build`.
    pub fn new(store: Store, limits: Limits, build: Build) -> Arc<Self> {
        Arc::new(Self {
            store,
            metrics: Metrics::new(build),
            stopping: AtomicBool::new(false),
            limits,
            requests: Semaphore::new(limits.requests()),
            build,
        })
    }

    /// Reports the service as not ready from now on, so that load balancers send no more requests.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

#[derive(OpenApi)]
#[openapi(tags(
    (name = "deployments", description = "The ledger of deployments."),
    (name = "platform", description = "Probes, metrics and the version of the service."),
))]
struct Description;

/// The routes of the API and their OpenAPI document.
fn routes() -> (Router<Arc<Api>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
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
        .split_for_parts()
}

/// The router with all routes.
fn router(api: Arc<Api>) -> Router {
    let (router, description) = routes();
    let description = axum::body::Bytes::from(serde_json::to_vec(&description).unwrap_or_default());

    // The last layer is the outermost one.
    router
        .route(
            "/openapi.json",
            get(async || ([(CONTENT_TYPE, "application/json")], description)),
        )
        .fallback(async || {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; /openapi.json lists all paths",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not support the method; the Allow header lists those that it supports",
            )
        })
        .layer(DefaultBodyLimit::max(api.limits.body))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            middleware::limit_time,
        ))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            middleware::limit_requests,
        ))
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&api),
            middleware::observe,
        ))
        .with_state(api)
}

#[cfg(test)]
mod tests {
    use utoipa::ToSchema;

    use super::*;
    use crate::domain::{self, Change, Deployment, NewDeployment, Page};

    /// Two types with the same schema name would silently replace each other in the document.
    #[test]
    fn each_schema_belongs_to_one_type() {
        fn schema<T: ToSchema>() -> (String, serde_json::Value) {
            (
                T::name().into_owned(),
                serde_json::to_value(T::schema()).unwrap(),
            )
        }
        let types: serde_json::Map<_, _> = [
            schema::<Change>(),
            schema::<Deployment>(),
            schema::<NewDeployment>(),
            schema::<Page>(),
            schema::<Problem>(),
            schema::<domain::Actor>(),
            schema::<domain::Commit>(),
            schema::<domain::ImageDigest>(),
            schema::<domain::InitialStatus>(),
            schema::<domain::Name>(),
            schema::<domain::Status>(),
            schema::<domain::Version>(),
            schema::<probes::BuildInfo>(),
            schema::<probes::Health>(),
            schema::<probes::Readiness>(),
        ]
        .into_iter()
        .collect();
        let document = serde_json::to_value(routes().1).unwrap();
        assert_eq!(
            document["components"]["schemas"],
            serde_json::Value::from(types)
        );
    }
}
