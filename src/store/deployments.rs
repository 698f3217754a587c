use chrono::{NaiveDateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use uuid::Uuid;

use super::connection::Database;
use super::schema::{deployments, idempotency_keys};
use super::{Error, Store};
use crate::domain::{
    Change, Deployment, IdempotencyKey, Invalid, NewDeployment, Page, Query, Status,
};

/// The time for which an Idempotency-Key is stored.
const KEYS_LAST: TimeDelta = TimeDelta::days(1);

/// The number of attempts to change a deployment that other requests change at the same time.
const ATTEMPTS: usize = 5;

/// The result of recording a deployment.
#[derive(Debug)]
pub struct Created {
    /// The deployment as it was recorded.
    pub deployment: Deployment,
    /// Whether an earlier request with the same Idempotency-Key recorded it.
    pub replayed: bool,
}

impl Store {
    /// Records a deployment. Requests with the same `key` record it only once.
    pub async fn create(
        &self,
        new: NewDeployment,
        key: Option<IdempotencyKey>,
    ) -> Result<Created, Error> {
        self.write(move |connection| match key {
            Some(key) => create_once(connection, &new, key),
            None => Ok(Created {
                deployment: insert(connection, Deployment::begin(new))?,
                replayed: false,
            }),
        })
        .await
    }

    /// Reads one deployment.
    pub async fn read(&self, id: Uuid) -> Result<Deployment, Error> {
        self.run(move |connection| find(connection, id)).await
    }

    /// Lists the deployments that match, newest first.
    pub async fn list(&self, query: Query) -> Result<Page, Error> {
        self.run(move |connection| {
            let limit = query.limit.get() as usize;
            // One additional row shows whether there is a next page.
            let mut select = deployments::table
                .order(deployments::id.desc())
                .limit(limit as i64 + 1)
                .into_boxed();
            if let Some(cursor) = query.cursor {
                select = select.filter(deployments::id.lt(cursor.to_string()));
            }
            if let Some(application) = query.application {
                select = select.filter(deployments::application.eq(String::from(application)));
            }
            if let Some(environment) = query.environment {
                select = select.filter(deployments::environment.eq(String::from(environment)));
            }
            if let Some(version) = query.version {
                select = select.filter(deployments::version.eq(String::from(version)));
            }
            if let Some(commit) = query.commit {
                select = select.filter(deployments::commit.eq(String::from(commit)));
            }
            if let Some(digest) = query.image_digest {
                select = select.filter(deployments::image_digest.eq(String::from(digest)));
            }
            if let Some(status) = query.status {
                select = select.filter(deployments::status.eq(status.as_str()));
            }
            if let Some(actor) = query.actor {
                select = select.filter(deployments::actor.eq(String::from(actor)));
            }
            let rows: Vec<Row> = select.load(connection)?;
            let more = rows.len() > limit;
            let items: Vec<_> = rows
                .into_iter()
                .take(limit)
                .map(Deployment::try_from)
                .collect::<Result<_, _>>()?;
            let next_cursor = items.last().filter(|_| more).map(|last| last.id);
            Ok(Page { items, next_cursor })
        })
        .await
    }

    /// Changes a deployment if its rules allow it.
    pub async fn update(&self, id: Uuid, change: Change) -> Result<Deployment, Error> {
        self.write(move |connection| {
            for _ in 0..ATTEMPTS {
                let before = find(connection, id)?;
                let after = before.clone().changed(change.clone())?;
                if replace(connection, before, after.clone())? {
                    return Ok(after);
                }
            }
            Err(Error::Contended)
        })
        .await
    }

    /// Deletes a deployment.
    pub async fn delete(&self, id: Uuid) -> Result<(), Error> {
        self.write(move |connection| {
            match diesel::delete(deployments::table.find(id.to_string())).execute(connection)? {
                0 => Err(Error::NotFound(id)),
                _ => Ok(()),
            }
        })
        .await
    }
}

fn find(connection: &mut Database, id: Uuid) -> Result<Deployment, Error> {
    let row: Option<Row> = deployments::table
        .find(id.to_string())
        .first(connection)
        .optional()?;
    row.ok_or(Error::NotFound(id))?.try_into()
}

fn insert(connection: &mut Database, deployment: Deployment) -> Result<Deployment, Error> {
    diesel::insert_into(deployments::table)
        .values(Row::from(deployment.clone()))
        .execute(connection)?;
    Ok(deployment)
}

/// Writes `after` if the deployment still equals `before`, and returns whether it did. This works without a lock,
/// because the two databases have no kind of lock in common.
fn replace(
    connection: &mut Database,
    before: Deployment,
    after: Deployment,
) -> Result<bool, Error> {
    let before = Row::from(before);
    let unchanged = deployments::table
        .find(before.id)
        .filter(deployments::version.eq(before.version))
        .filter(deployments::commit.eq(before.commit))
        .filter(deployments::image_digest.eq(before.image_digest))
        .filter(deployments::status.eq(before.status))
        .filter(deployments::actor.eq(before.actor));
    Ok(diesel::update(unchanged)
        .set(Row::from(after))
        .execute(connection)?
        == 1)
}

fn create_once(
    connection: &mut Database,
    new: &NewDeployment,
    key: IdempotencyKey,
) -> Result<Created, Error> {
    let key = String::from(key);
    let request = json(new)?;
    let created = connection.transaction(|connection| {
        // The first statement must write, so that SQLite waits for its write lock here. A transaction that reads before
        // it writes fails immediately if another one wrote in the meantime.
        let expired = idempotency_keys::created_at.lt((Utc::now() - KEYS_LAST).naive_utc());
        diesel::delete(idempotency_keys::table.filter(expired)).execute(connection)?;
        if let Some(created) = replay(connection, &key, &request)? {
            return Ok(created);
        }
        let deployment = insert(connection, Deployment::begin(new.clone()))?;
        let answer = (
            idempotency_keys::key.eq(&key),
            idempotency_keys::request.eq(&request),
            idempotency_keys::response.eq(json(&deployment)?),
            idempotency_keys::created_at.eq(Utc::now().naive_utc()),
        );
        match diesel::insert_into(idempotency_keys::table)
            .values(answer)
            .execute(connection)
        {
            Ok(_) => Ok(Created {
                deployment,
                replayed: false,
            }),
            Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                Err(Failure::Overtaken)
            }
            Err(error) => Err(Failure::Other(error.into())),
        }
    });
    match created {
        // Two requests with the same key ran at the same time on PostgreSQL, and the other one committed first.
        Err(Failure::Overtaken) => replay(connection, &key, &request)?.ok_or(Error::Contended),
        Err(Failure::Other(error)) => Err(error),
        Ok(created) => Ok(created),
    }
}

/// The reason why a transaction was rolled back.
enum Failure {
    Overtaken,
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// The stored response to an earlier request with the same key.
fn replay(connection: &mut Database, key: &str, request: &str) -> Result<Option<Created>, Error> {
    let found: Option<(String, String)> = idempotency_keys::table
        .find(key)
        .select((idempotency_keys::request, idempotency_keys::response))
        .first(connection)
        .optional()?;
    match found {
        None => Ok(None),
        Some((known, _)) if known != request => Err(Error::KeyReused),
        Some((_, response)) => {
            let deployment: Deployment = serde_json::from_str(&response)
                .map_err(|error| Error::Internal(error.to_string()))?;
            find(connection, deployment.id).map_err(|error| match error {
                Error::NotFound(id) => Error::KeyOutlived(id),
                other => other,
            })?;
            Ok(Some(Created {
                deployment,
                replayed: true,
            }))
        }
    }
}

/// Makes each kind of write in one transaction that leaves nothing, so that no other transaction ever sees it. On a full
/// disk, or for a user without the rights, this fails as a request would.
pub(super) fn try_to_write(connection: &mut Database) -> Result<(), Error> {
    let text = || "readiness check".to_owned();
    let row = Row {
        id: Uuid::now_v7().to_string(),
        application: text(),
        environment: text(),
        version: text(),
        commit: "0".repeat(40),
        image_digest: "0".repeat(71),
        status: text(),
        actor: text(),
        started_at: Utc::now().naive_utc(),
        finished_at: None,
    };
    connection.transaction(|connection| {
        let written = deployments::table.find(row.id.clone());
        diesel::insert_into(deployments::table)
            .values(row)
            .execute(connection)?;
        diesel::update(written.clone())
            .set(deployments::actor.eq(text()))
            .execute(connection)?;
        diesel::delete(written).execute(connection)?;
        // A real key has no space.
        let key = (
            idempotency_keys::key.eq(text()),
            idempotency_keys::request.eq(text()),
            idempotency_keys::response.eq(text()),
            idempotency_keys::created_at.eq(Utc::now().naive_utc()),
        );
        diesel::insert_into(idempotency_keys::table)
            .values(key)
            .execute(connection)?;
        diesel::delete(idempotency_keys::table.find(text())).execute(connection)?;
        Ok(())
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Internal(error.to_string()))
}

/// A deployment as both databases store it.
#[derive(Queryable, Insertable, AsChangeset)]
#[diesel(table_name = deployments, treat_none_as_null = true)]
struct Row {
    id: String,
    application: String,
    environment: String,
    version: String,
    commit: String,
    image_digest: String,
    status: String,
    actor: String,
    started_at: NaiveDateTime,
    finished_at: Option<NaiveDateTime>,
}

impl From<Deployment> for Row {
    fn from(deployment: Deployment) -> Self {
        Self {
            id: deployment.id.to_string(),
            application: deployment.application.into(),
            environment: deployment.environment.into(),
            version: deployment.version.into(),
            commit: deployment.commit.into(),
            image_digest: deployment.image_digest.into(),
            status: deployment.status.to_string(),
            actor: deployment.actor.into(),
            started_at: deployment.started_at.naive_utc(),
            finished_at: deployment.finished_at.map(|time| time.naive_utc()),
        }
    }
}

/// Fails if another program wrote an invalid row.
impl TryFrom<Row> for Deployment {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let id = row.id.clone();
        let invalid = |field: &str, reason: String| {
            Error::Internal(format!("deployment {id} has an invalid {field}: {reason}"))
        };
        let text = |field: &'static str| {
            let invalid = &invalid;
            move |reason: Invalid| invalid(field, reason.to_string())
        };
        let status = Status::ALL
            .into_iter()
            .find(|status| status.as_str() == row.status);
        Ok(Self {
            id: row
                .id
                .parse()
                .map_err(|error: uuid::Error| invalid("id", error.to_string()))?,
            application: row.application.try_into().map_err(text("application"))?,
            environment: row.environment.try_into().map_err(text("environment"))?,
            version: row.version.try_into().map_err(text("version"))?,
            commit: row.commit.try_into().map_err(text("commit"))?,
            image_digest: row.image_digest.try_into().map_err(text("image_digest"))?,
            status: status.ok_or_else(|| invalid("status", format!("unknown: {}", row.status)))?,
            actor: row.actor.try_into().map_err(text("actor"))?,
            started_at: row.started_at.and_utc(),
            finished_at: row.finished_at.map(|time| time.and_utc()),
        })
    }
}
