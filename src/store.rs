//! Keeps the ledger in SQLite or PostgreSQL. The only module that knows diesel.

mod connection;
mod deployments;
mod migrations;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use r2d2::Pool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::domain::Refusal;
use connection::{Database, Manager};

pub use connection::DatabaseUrl;
pub use deployments::Created;
pub use migrations::migrate;

/// Why the ledger didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such deployment.
    #[error("there is no deployment {0}")]
    NotFound(Uuid),
    /// The deployment's rules forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody else kept changing the same deployment.
    #[error("the deployment is being changed by somebody else")]
    Contended,
    /// The idempotency key stands for another request.
    #[error("the Idempotency-Key was used with another request")]
    KeyReused,
    /// The database doesn't answer, or not now.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The schema lacks migrations.
    #[error("the database's schema lacks migrations: {0}")]
    Outdated(String),
    /// A defect in this program or in what the database holds.
    #[error("the database holds or was asked something wrong: {0}")]
    Internal(String),
}

impl From<diesel::result::Error> for Error {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::DatabaseErrorKind as Kind;
        use diesel::result::Error::{BrokenTransactionManager, DatabaseError};
        match error {
            // What has no kind of its own is about the server's state, not about our statement: shutting down, locked,
            // read-only, disk full, statement time-out, schema not there yet.
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

/// The ledger's database.
#[derive(Clone)]
pub struct Store {
    pool: Pool<Manager>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// How the connection pool is used.
#[derive(Debug, Clone, Copy)]
pub struct PoolState {
    /// Connections that serve a request.
    pub busy: u32,
    /// Connections that wait for one.
    pub idle: u32,
    /// The most there can be.
    pub max: u32,
}

impl Store {
    /// A store on the database at `url`. Connects when first needed, so the database may come up later.
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

    /// Whether the database answers, and has every migration this program knows.
    pub async fn check(&self) -> Result<(), Error> {
        self.run(migrations::check).await
    }

    /// How the connection pool is used right now.
    pub fn pool_state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState {
            busy: state.connections - state.idle_connections,
            idle: state.idle_connections,
            max: self.pool.max_size(),
        }
    }

    /// Runs `work` with a connection, on a thread that may block. Waiting for a connection happens here, as a task, so
    /// that there are never more blocked threads than connections.
    async fn run<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&mut Database) -> Result<T, Error> + Send + 'static,
    {
        let permit = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| Error::Unavailable("all connections are busy".to_owned()))?
            .map_err(|error| Error::Internal(error.to_string()))?;
        let pool = self.pool.clone();
        tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the request: the connection stays busy when the client has gone.
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

/// Failed attempts to connect: r2d2 retries, so each is only worth a warning.
#[derive(Debug)]
struct LogErrors;

impl<E: std::error::Error> r2d2::HandleError<E> for LogErrors {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "database connection failed");
    }
}
