//! How the service uses the database.

use std::time::Duration;

use super::DatabaseUrl;

/// Where the database is and how to use it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The kind and location of the database.
    pub url: DatabaseUrl,
    /// The maximum time to wait for a connection, a lock or a statement.
    pub timeout: Duration,
    /// Whether a pooler such as PgBouncer may give each transaction another session of the server.
    pub transaction_pooling: bool,
}
