//! Stores the ledger in SQLite or PostgreSQL. Only this module uses diesel.

mod connection;
mod deployments;
mod failure;
mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod settings;
mod sqlite;
mod url;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use r2d2::Pool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::domain::Refusal;
use connection::{Database, Health, Manager};
use failure::Failure;

pub use deployments::Created;
pub use migrations::migrate;
#[cfg(feature = "postgres")]
pub use postgres::PostgresUrl;
pub use settings::Settings;
pub use url::DatabaseUrl;

/// The reason why an operation on the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The deployment doesn't exist.
    #[error("there is no deployment {0}")]
    NotFound(Uuid),
    /// The rules for deployments forbid the change.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Other requests kept changing the same deployment.
    #[error("other requests are changing the deployment at the same time; try again")]
    Contended,
    /// The idempotency key belongs to a different request.
    #[error("the Idempotency-Key was already used for a different request; use a new key")]
    KeyReused,
    /// The deployment that the idempotency key recorded was deleted.
    #[error(
        "the request with this Idempotency-Key recorded the deployment {0}, which was deleted since; use a new key to record another"
    )]
    KeyOutlived(Uuid),
    /// The database refuses to write.
    #[error("the database is read-only")]
    ReadOnly,
    /// The database can't serve the request at the moment.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The schema of the database lacks migrations.
    #[error("the database lacks the migrations {0}; run `waybill migrate`")]
    Outdated(String),
    /// A defect in this program or in the data in the database.
    #[error("invalid data or an invalid statement: {0}")]
    Internal(String),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::DatabaseErrorKind as Kind;
        use diesel::result::Error::{
            BrokenTransactionManager, DatabaseError, RollbackErrorOnCommit,
        };
        match &error {
            // SQLite has rolled back already, for example if the disk is full.
            RollbackErrorOnCommit { .. } => Self::Unavailable(error.to_string()),
            DatabaseError(Kind::ReadOnlyTransaction, _) => Self::ReadOnly,
            // SQLite has no error kind for it.
            DatabaseError(_, info) if info.message() == "attempt to write a readonly database" => {
                Self::ReadOnly
            }
            // diesel's names of prepared statements are part of the message in every language.
            DatabaseError(_, info) if info.message().contains("__diesel_stmt") => {
                Self::Unavailable(format!(
                    "{error}; if a pooler such as PgBouncer is in transaction mode, set \
                     WAYBILL_DATABASE_TRANSACTION_POOLING=true"
                ))
            }
            // Errors of kind `Unknown` concern the state of the server and not the statement: it shuts down, it is
            // locked, its disk is full, the statement timed out, or the schema doesn't exist yet.
            DatabaseError(
                Kind::Unknown
                | Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::SerializationFailure,
                _,
            )
            | BrokenTransactionManager => Self::Unavailable(error.to_string()),
            _ => Self::Internal(error.to_string()),
        }
    }
}

/// The database of the ledger.
#[derive(Clone)]
pub struct Store {
    pool: Pool<Manager>,
    permits: Arc<Semaphore>,
    timeout: Duration,
    health: Arc<Health>,
}

/// The state of the connection pool.
#[derive(Debug, Clone, Copy)]
pub struct PoolState {
    /// The number of connections that serve a request.
    pub busy: u32,
    /// The number of connections that are unused.
    pub idle: u32,
    /// The maximum number of connections.
    pub max: u32,
}

impl Store {
    /// A store with at most `size` connections. It connects in the background, so the database may start later.
    pub fn new(settings: Settings, size: u32) -> Self {
        let health = Arc::new(Health::new());
        let timeout = settings.timeout;
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(timeout)
            .error_handler(Box::new(Failures(Arc::clone(&health))))
            .build_unchecked(Manager::new(settings, Arc::clone(&health)));
        Self {
            pool,
            permits: Arc::new(Semaphore::new(size as usize)),
            timeout,
            health,
        }
    }

    /// Checks that the database answers, has every migration that this program knows, and can be written.
    pub async fn check(&self) -> Result<(), Error> {
        let unproven = self.health.unproven.load(Ordering::Relaxed);
        self.write(move |database| {
            migrations::check(database)?;
            #[cfg(feature = "postgres")]
            if let Database::Postgres(connection) = database
                && postgres::is_read_only(connection)?
            {
                return Err(Error::ReadOnly);
            }
            // A write costs more than a read, and a full disk fails only when something is written.
            if unproven {
                deployments::try_to_write(database)?;
            }
            Ok(())
        })
        .await?;
        if unproven {
            self.health.unproven.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits until the database turns out to be one that the service can never use, and returns the reason.
    pub async fn unusable(&self) -> String {
        let mut reason = self.health.unusable.subscribe();
        match reason.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// The current state of the connection pool.
    pub fn pool_state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState {
            busy: state.connections - state.idle_connections,
            idle: state.idle_connections,
            max: self.pool.max_size(),
        }
    }

    /// Runs `work`, and once more if the database was read-only. Nothing was written then, and after a failover the
    /// connection was still to the server that was replaced; the next one is not.
    async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&mut Database) -> Result<T, Error> + Clone + Send + 'static,
    {
        match self.run(work.clone()).await {
            Err(Error::ReadOnly) => self.run(work).await,
            result => result,
        }
    }

    /// Runs `work` with a connection on a thread that may block. The task waits for a connection before it takes a
    /// thread, so there are never more blocked threads than connections.
    async fn run<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&mut Database) -> Result<T, Error> + Send + 'static,
    {
        let permit = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| Error::Unavailable("all connections are in use".to_owned()))?
            .map_err(|error| Error::Internal(error.to_string()))?;
        let pool = self.pool.clone();
        tokio::task::spawn_blocking(move || {
            // The thread holds the permit, because the connection remains in use if the client disconnects.
            let _permit = permit;
            pool.get()
                .map_err(|error| Error::Unavailable(error.to_string()))?
                .run(work)
        })
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
    }
}

/// Handles failures of connections. They are warnings, because r2d2 tries again.
#[derive(Debug)]
struct Failures(Arc<Health>);

impl r2d2::HandleError<Failure> for Failures {
    fn handle_error(&self, failure: Failure) {
        match &failure {
            Failure::Stale => tracing::debug!("{failure}"),
            Failure::Encoding(_) => {
                self.0.unusable.send_replace(Some(failure.to_string()));
            }
            _ => tracing::warn!(error = %failure, "failed to connect to the database"),
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel::result::{DatabaseErrorKind, Error as DieselError};

    use super::*;

    fn unknown(message: &str) -> Error {
        DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned())).into()
    }

    #[test]
    fn names_the_setting_for_a_pooler_in_transaction_mode() {
        for message in [
            r#"prepared statement "__diesel_stmt_0" already exists"#,
            r#"prepared statement "__diesel_stmt_3" does not exist"#,
            r#"vorbereitete Anweisung »__diesel_stmt_1« existiert bereits"#,
        ] {
            let error = unknown(message).to_string();
            assert!(
                error.contains("set WAYBILL_DATABASE_TRANSACTION_POOLING=true"),
                "{error}"
            );
        }
        let error = unknown("disk full").to_string();
        assert_eq!(error, "the database is unavailable: disk full");
    }

    #[test]
    fn recognizes_a_read_only_sqlite_file() {
        let error = unknown("attempt to write a readonly database");
        assert!(matches!(error, Error::ReadOnly), "{error}");
    }
}
