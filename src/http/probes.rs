//! What the platform asks: `/health`, `/ready`, `/version`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use crate::build;

/// How the service is.
#[derive(Serialize, ToSchema)]
pub(super) struct Condition {
    /// In one word.
    status: &'static str,
}

/// Whether the process works. Says nothing about the database: restarting the service wouldn't mend that.
#[utoipa::path(get, path = "/health", tag = "platform", responses((status = OK, body = Condition)))]
pub(super) async fn health() -> Json<Condition> {
    Json(Condition { status: "ok" })
}

/// Whether requests should be sent here.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "platform",
    responses(
        (status = OK, body = Condition),
        (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Condition>, Problem> {
    let not_ready = |reason: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason);
    if api.stopping.load(Ordering::Relaxed) {
        return Err(not_ready("the service is stopping".to_owned()));
    }
    api.store
        .check()
        .await
        .map_err(|error| not_ready(error.to_string()))?;
    Ok(Json(Condition { status: "ready" }))
}

/// What the service was built from.
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    /// The release of the service.
    version: &'static str,
    /// The commit, or `unknown`.
    commit: &'static str,
    /// The commit's time, or `unknown`.
    built_at: &'static str,
}

/// What the service was built from.
#[utoipa::path(get, path = "/version", tag = "platform", responses((status = OK, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(Version {
        version: build::VERSION,
        commit: build::COMMIT,
        built_at: build::BUILT_AT,
    })
}
