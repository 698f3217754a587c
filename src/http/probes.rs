//! The routes for probes and operators: `/health`, `/ready` and `/version`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use crate::build::VERSION;

/// The result of `/health`.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// The status of the process, which is always `ok`.
    #[schema(pattern = "^ok$", example = "ok")]
    status: &'static str,
}

/// Check whether the process works.
///
/// The result doesn't depend on the database, because restarting the service wouldn't repair the database.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "readHealth",
    tag = "platform",
    responses((status = OK, body = Health, description = "The process works.")),
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The result of `/ready` if the service is ready.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// The readiness of the service, which is always `ready`. A service that isn't ready answers with a problem.
    #[schema(pattern = "^ready$", example = "ready")]
    status: &'static str,
}

/// Check whether the service can handle requests.
///
/// The service is ready if its database answers, has every migration and can be written, and if it isn't shutting down.
#[utoipa::path(
    get,
    path = "/ready",
    operation_id = "readReadiness",
    tag = "platform",
    responses(
        (status = OK, body = Readiness, description = "The service is ready."),
        (
            status = SERVICE_UNAVAILABLE,
            body = Problem,
            content_type = "application/problem+json",
            description = "The service is not ready. The problem explains why.",
        ),
    ),
)]
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Result<Json<Readiness>, Problem> {
    let not_ready = |reason: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason);
    if api.is_stopping() {
        return Err(not_ready("the service is stopping".to_owned()));
    }
    api.store
        .check()
        .await
        .map_err(|error| not_ready(error.to_string()))?;
    Ok(Json(Readiness { status: "ready" }))
}

/// The source that the service was built from.
#[derive(Serialize, ToSchema)]
pub(super) struct BuildInfo {
    /// The version of the service.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The Git commit, or `unknown`.
    #[schema(example = "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567")]
    commit: &'static str,
    /// The time of the commit, or `unknown`.
    #[schema(example = "2026-11-24T09:30:00Z")]
    built_at: &'static str,
}

/// Read which source the service was built from.
#[utoipa::path(
    get,
    path = "/version",
    operation_id = "readVersion",
    tag = "platform",
    responses((status = OK, body = BuildInfo, description = "The version, commit and time of the source.")),
)]
pub(super) async fn version(State(api): State<Arc<Api>>) -> Json<BuildInfo> {
    Json(BuildInfo {
        version: VERSION,
        commit: api.build.commit,
        built_at: api.build.built_at,
    })
}
