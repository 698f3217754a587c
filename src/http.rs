//! The HTTP API. [router] lists all routes.

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

/// The state that all handlers share.
pub struct Api {
    store: Store,
    metrics: Metrics,
    stopping: AtomicBool,
    request_timeout: Duration,
}

impl Api {
    /// An API on `store` that aborts requests after `request_timeout`.
    pub fn new(store: Store, request_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            store,
            metrics: Metrics::new(),
            stopping: AtomicBool::new(false),
            request_timeout,
        })
    }

    /// Reports the service as not ready from now on, so that load balancers send no more requests.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
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

/// The router with all routes. It rejects request bodies of more than `body_limit` bytes.
pub fn router(api: Arc<Api>, body_limit: usize) -> Router {
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
