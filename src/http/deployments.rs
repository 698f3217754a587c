//! `/api/v1/deployments`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use uuid::Uuid;

use super::Api;
use super::extract::{IdempotencyKey, Json, Path, Query};
use super::problem::Problem;
use crate::domain::{self, Change, Deployment, NewDeployment, Page};

/// List deployments, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    tag = "deployments",
    params(domain::Query),
    responses(
        (status = OK, body = Page),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<domain::Query>,
) -> Result<axum::Json<Page>, Problem> {
    Ok(axum::Json(api.store.list(query).await?))
}

/// Record that a deployment begins.
#[utoipa::path(
    post,
    path = "/api/v1/deployments",
    tag = "deployments",
    params((
        "Idempotency-Key" = Option<domain::IdempotencyKey>, Header,
        description = "Makes repeating the request safe, for a day: it is done once, and answered the same again",
    )),
    request_body = NewDeployment,
    responses(
        (
            status = CREATED,
            body = Deployment,
            headers(
                ("location" = String, description = "The deployment's path"),
                ("idempotency-replayed" = bool, description = "There, and `true`, when an earlier request did it"),
            ),
        ),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    IdempotencyKey(key): IdempotencyKey,
    Json(new): Json<NewDeployment>,
) -> Result<impl IntoResponse, Problem> {
    let created = api.store.create(new, key).await?;
    let location = [(
        LOCATION,
        format!("/api/v1/deployments/{}", created.deployment.id),
    )];
    let replayed = created
        .replayed
        .then_some([("idempotency-replayed", "true")]);
    Ok((
        StatusCode::CREATED,
        location,
        replayed,
        axum::Json(created.deployment),
    ))
}

/// Read one deployment.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}",
    tag = "deployments",
    params(("id" = Uuid, Path)),
    responses(
        (status = OK, body = Deployment),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<Deployment>, Problem> {
    Ok(axum::Json(api.store.read(id).await?))
}

/// Change a deployment's status, or correct what was recorded of it.
#[utoipa::path(
    patch,
    path = "/api/v1/deployments/{id}",
    tag = "deployments",
    params(("id" = Uuid, Path)),
    request_body(content((Change = "application/json"), (Change = "application/merge-patch+json"))),
    responses(
        (status = OK, body = Deployment),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Deployment>, Problem> {
    Ok(axum::Json(api.store.update(id, change).await?))
}

/// Remove a deployment from the ledger.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{id}",
    tag = "deployments",
    params(("id" = Uuid, Path)),
    responses(
        (status = NO_CONTENT),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    api.store.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
