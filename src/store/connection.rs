use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::r2d2::{Error, R2D2Connection};
use diesel::{Connection, ConnectionResult, PgConnection, QueryResult, SqliteConnection};
use serde::{Deserialize, Serialize};

/// The kind and location of the database.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatabaseUrl {
    /// An SQLite file, which is created if it doesn't exist.
    Sqlite(PathBuf),
    /// A connection URL for libpq.
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
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(url.to_owned())),
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
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

/// Writes the URL without its password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replaces the password in the authority or in a parameter with `***`.
fn without_password(url: &str) -> String {
    let (rest, parameters) = url.split_once('?').unwrap_or((url, ""));
    let authority = rest.rsplit_once('@').and_then(|(login, place)| {
        let (scheme, login) = login.split_once("://")?;
        let (user, _) = login.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{place}"))
    });
    let mut shown = authority.unwrap_or_else(|| rest.to_owned());
    for (i, parameter) in parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .enumerate()
    {
        shown.push(if i == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name @ ("password" | "sslpassword"), _)) => {
                shown.push_str(&format!("{name}=***"))
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum Database {
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
        let millis = self.timeout.as_millis();
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
                connection
                    .batch_execute(&format!("PRAGMA busy_timeout = {millis}"))
                    .and_then(|()| use_write_ahead_log(&mut connection, self.timeout))
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Database::Sqlite(connection))
            }
            DatabaseUrl::Postgres(url) => {
                // This must precede libpq's own initialization. Otherwise OpenSSL frees its state when the process exits,
                // while threads of the pool may still use it.
                openssl_sys::init();
                let mut connection =
                    PgConnection::establish(&with_network_timeouts(url, self.timeout))?;
                connection
                    .batch_execute(&format!(
                        "SET statement_timeout = {millis}; SET TIME ZONE 'UTC'"
                    ))
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Database::Postgres(connection))
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

/// Switches the file to the write-ahead log. If several connections do this at the same time on a new file, SQLite rejects
/// some of them without waiting to avoid a deadlock (<https://sqlite.org/c3ref/busy_handler.html>), so they retry.
fn use_write_ahead_log(connection: &mut SqliteConnection, timeout: Duration) -> QueryResult<()> {
    let started = Instant::now();
    loop {
        match connection.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if is_locked(&error) && started.elapsed() < timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

/// Whether SQLite reported SQLITE_BUSY. diesel has no error kind for it and provides only the message.
fn is_locked(error: &diesel::result::Error) -> bool {
    use diesel::result::Error::DatabaseError;
    matches!(error, DatabaseError(_, info) if info.message() == "database is locked")
}

/// Adds time-outs to the URL. Without them libpq waits about 15 minutes for a server that has disappeared.
fn with_network_timeouts(url: &str, timeout: Duration) -> String {
    let mut url = url.to_owned();
    for (parameter, value) in [
        ("connect_timeout", u128::from(timeout.as_secs().max(1))),
        ("tcp_user_timeout", timeout.as_millis()),
    ] {
        if !url.contains(&format!("{parameter}=")) {
            let separator = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{separator}{parameter}={value}"));
        }
    }
    if !url.contains("application_name=") {
        url.push_str("&application_name=waybill");
    }
    url
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
    fn many_connections_can_open_a_new_file_at_once() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let url = DatabaseUrl::Sqlite(folder.path().join("waybill.db"));
            std::thread::scope(|scope| {
                let openers: Vec<_> = (0..8)
                    .map(|_| {
                        let manager = Manager::new(url.clone(), Duration::from_secs(5));
                        scope.spawn(move || manager.establish().map(drop))
                    })
                    .collect();
                for opener in openers {
                    assert_eq!(opener.join().unwrap(), Ok(()));
                }
            });
        }
    }

    #[test]
    fn hides_passwords() {
        for (url, shown) in [
            ("postgres://u:p@ss@db/ledger", "postgres://u:***@db/ledger"),
            (
                "postgres://u@db/ledger?password=p&sslmode=require",
                "postgres://u@db/ledger?password=***&sslmode=require",
            ),
            ("postgres://db:5432/ledger", "postgres://db:5432/ledger"),
        ] {
            assert_eq!(
                format!("{} {:?}", parse(url), parse(url)),
                format!("{shown} {shown}")
            );
        }
    }

    #[test]
    fn keeps_timeouts_of_the_url() {
        let timeout = Duration::from_millis(1500);
        assert_eq!(
            with_network_timeouts("postgres://db/ledger", timeout),
            "postgres://db/ledger?connect_timeout=1&tcp_user_timeout=1500&application_name=waybill"
        );
        assert_eq!(
            with_network_timeouts(
                "postgres://db/ledger?connect_timeout=9&application_name=a",
                timeout
            ),
            "postgres://db/ledger?connect_timeout=9&application_name=a&tcp_user_timeout=1500"
        );
    }
}
