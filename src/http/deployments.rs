//! The routes under `/api/v1/deployments`.

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

/// List deployments, newest first.
///
/// All filters must match. To read the next page, send the `next_cursor` of this one as `cursor`.
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    operation_id = "listDeployments",
    tag = "deployments",
    params(domain::Query),
    responses(
        (status = OK, body = Page, description = "A page of deployments."),
        (
            status = "default",
            body = Problem,
            content_type = "application/problem+json",
            description = "The request failed. The problem explains why.",
        ),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(query): Query<domain::Query>,
) -> Result<axum::Json<Page>, Problem> {
    Ok(axum::Json(api.store.list(query).await?))
}

/// Record a new deployment.
///
/// With an `Idempotency-Key`, a client can safely repeat the request after a time-out or a lost connection.
#[utoipa::path(
    post,
    path = "/api/v1/deployments",
    operation_id = "createDeployment",
    tag = "deployments",
    params((
        "Idempotency-Key" = inline(Option<domain::IdempotencyKey>), Header, nullable = false,
        description = "A key that identifies the request. Requests with the same key within 24 hours record the \
                       deployment only once and receive the same response, unless it was deleted.",
    )),
    request_body(content = NewDeployment, description = "The deployment to record."),
    responses(
        (
            status = CREATED,
            body = Deployment,
            description = "The deployment was recorded.",
            headers(
                ("location" = String, description = "The path of the deployment."),
                (
                    "idempotency-replayed" = bool,
                    description = "The value is `true` if an earlier request with the same key recorded the deployment. \
                                   Otherwise the header is absent."
                ),
            ),
        ),
        (
            status = "default",
            body = Problem,
            content_type = "application/problem+json",
            description = "The request failed. The problem explains why.",
        ),
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

/// Read a deployment.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}",
    operation_id = "readDeployment",
    tag = "deployments",
    params(("id" = Uuid, Path, description = "The identifier of the deployment.")),
    responses(
        (status = OK, body = Deployment, description = "The deployment."),
        (
            status = "default",
            body = Problem,
            content_type = "application/problem+json",
            description = "The request failed. The problem explains why.",
        ),
    ),
)]
pub(super) async fn read(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<Deployment>, Problem> {
    Ok(axum::Json(api.store.read(id).await?))
}

/// Change the status of a deployment or correct its record.
///
/// Fields that are absent from the body keep their values. The current status must allow the new one. The other fields
/// can be corrected until the roll-out ends.
#[utoipa::path(
    patch,
    path = "/api/v1/deployments/{id}",
    operation_id = "updateDeployment",
    tag = "deployments",
    params(("id" = Uuid, Path, description = "The identifier of the deployment.")),
    request_body(
        content((Change = "application/json"), (Change = "application/merge-patch+json")),
        description = "The fields to change.",
    ),
    responses(
        (status = OK, body = Deployment, description = "The deployment after the change."),
        (
            status = "default",
            body = Problem,
            content_type = "application/problem+json",
            description = "The request failed. The problem explains why.",
        ),
    ),
)]
pub(super) async fn update(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Deployment>, Problem> {
    Ok(axum::Json(api.store.update(id, change).await?))
}

/// Delete a deployment from the ledger.
#[utoipa::path(
    delete,
    path = "/api/v1/deployments/{id}",
    operation_id = "deleteDeployment",
    tag = "deployments",
    params(("id" = Uuid, Path, description = "The identifier of the deployment.")),
    responses(
        (status = NO_CONTENT, description = "The deployment was deleted."),
        (
            status = "default",
            body = Problem,
            content_type = "application/problem+json",
            description = "The request failed. The problem explains why.",
        ),
    ),
)]
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    api.store.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
