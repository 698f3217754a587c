//! Stores the ledger in SQLite or PostgreSQL. Only this module uses diesel.

mod connection;
mod deployments;
mod migrations;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod sqlite;
mod url;

use std::sync::Arc;
use std::time::Duration;

use r2d2::Pool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::domain::Refusal;
use connection::{Database, Manager};

pub use deployments::Created;
pub use migrations::migrate;
#[cfg(feature = "postgres")]
pub use postgres::PostgresUrl;
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
        use diesel::result::Error::{BrokenTransactionManager, DatabaseError};
        match error {
            // Errors of kind `Unknown` concern the state of the server and not the statement: it shuts down, it is
            // locked or read-only, its disk is full, the statement timed out, or the schema doesn't exist yet.
            DatabaseError(
                Kind::Unknown
                | Kind::ClosedConnection
                | Kind::ReadOnlyTransaction
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
    /// A store on the database at `url`. It connects in the background, so the database may start later.
    pub fn new(url: DatabaseUrl, size: u32, timeout: Duration) -> Self {
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(timeout)
            .error_handler(Box::new(LogErrors))
            .build_unchecked(Manager::new(url, timeout));
        Self {
            pool,
            permits: Arc::new(Semaphore::new(size as usize)),
            timeout,
        }
    }

    /// Checks that the database answers and has every migration that this program knows.
    pub async fn check(&self) -> Result<(), Error> {
        self.run(migrations::check).await
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
            work(
                &mut *pool
                    .get()
                    .map_err(|error| Error::Unavailable(error.to_string()))?,
            )
        })
        .await
        .map_err(|error| Error::Internal(error.to_string()))?
    }
}

/// Logs a failed attempt to connect as a warning, because r2d2 retries.
#[derive(Debug)]
struct LogErrors;

impl<E: std::error::Error> r2d2::HandleError<E> for LogErrors {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "failed to connect to the database");
    }
}
