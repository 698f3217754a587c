//! Why a connection to the database is not available.

use diesel::ConnectionError;

/// The reason why a connection is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server or the file can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectionError),
    /// The connection no longer works.
    #[error(transparent)]
    Lost(#[from] diesel::result::Error),
    /// The session may still be connected to a server that became read-only.
    #[error("the connection is replaced, because the database was read-only")]
    Stale,
    /// The file of an SQLite database is no longer at its path.
    #[error(
        "the file of the database was deleted or replaced; stop the service before you replace it, with its files -wal and \
         -shm"
    )]
    Replaced,
    /// The database can't store every text. SQLite always can.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code))]
    #[error(
        "the database has the encoding {0}, which cannot store every text; create a database with ENCODING 'UTF8' \
         and set WAYBILL_DATABASE_URL to it"
    )]
    Encoding(String),
}
