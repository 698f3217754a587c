use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[cfg(feature = "postgres")]
use diesel::PgConnection;
use diesel::r2d2::{Error, R2D2Connection};
use diesel::{ConnectionResult, SqliteConnection};
use serde::{Deserialize, Serialize};

#[cfg(feature = "postgres")]
use super::postgres;
use super::sqlite;

/// The kind and location of the database.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatabaseUrl {
    /// An SQLite file, which is created if it doesn't exist.
    Sqlite(PathBuf),
    /// A connection URL for libpq.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        match url.split_once("://") {
            // Each connection would have its own database in memory.
            Some(("sqlite", ":memory:")) => {
                Err("connections can't share a database in memory; use a file")
            }
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            #[cfg(feature = "postgres")]
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err(
                "this program was built without PostgreSQL; build it with `--features postgres`",
            ),
            _ => Err("expected sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME"),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = &'static str;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        url.parse()
    }
}

impl From<DatabaseUrl> for String {
    fn from(url: DatabaseUrl) -> Self {
        url.to_string()
    }
}

/// Writes the URL without its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => f.write_str(&postgres::without_password(url)),
        }
    }
}

/// Writes the URL without its password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> DatabaseUrl {
        url.parse().unwrap()
    }

    #[test]
    fn the_scheme_selects_the_database() {
        assert_eq!(
            parse("sqlite://waybill.db"),
            DatabaseUrl::Sqlite("waybill.db".into())
        );
        assert_eq!(
            parse("sqlite:///data/waybill.db"),
            DatabaseUrl::Sqlite("/data/waybill.db".into())
        );
        assert!(matches!(
            parse("postgresql://db/ledger"),
            DatabaseUrl::Postgres(_)
        ));
        for wrong in [
            "",
            "waybill.db",
            "sqlite://",
            "sqlite://:memory:",
            "mysql://db/ledger",
        ] {
            assert!(wrong.parse::<DatabaseUrl>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn is_written_without_its_password() {
        let url = parse("postgres://u:secret@db/ledger");
        let shown = "postgres://u:***@db/ledger";
        assert_eq!(format!("{url} {url:?}"), format!("{shown} {shown}"));
    }
}
