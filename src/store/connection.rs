use std::time::Duration;

#[cfg(feature = "postgres")]
use diesel::PgConnection;
use diesel::r2d2::{Error, R2D2Connection};
use diesel::{ConnectionResult, SqliteConnection};

use super::DatabaseUrl;
#[cfg(feature = "postgres")]
use super::postgres;
use super::sqlite;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum Database {
    #[cfg(feature = "postgres")]
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// Opens connections for the pool. The manager of diesel would try one kind of database after the other and hide the
/// reason of a failure.
pub(crate) struct Manager {
    url: DatabaseUrl,
    timeout: Duration,
}

impl Manager {
    pub(super) fn new(url: DatabaseUrl, timeout: Duration) -> Self {
        Self { url, timeout }
    }

    pub(super) fn establish(&self) -> ConnectionResult<Database> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                sqlite::establish(path, self.timeout).map(Database::Sqlite)
            }
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                postgres::establish(url, self.timeout).map(Database::Postgres)
            }
        }
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Database;
    type Error = Error;

    fn connect(&self) -> Result<Database, Error> {
        self.establish().map_err(Error::ConnectionError)
    }

    fn is_valid(&self, connection: &mut Database) -> Result<(), Error> {
        connection.ping().map_err(Error::QueryError)
    }

    fn has_broken(&self, connection: &mut Database) -> bool {
        std::thread::panicking() || connection.is_broken()
    }
}
