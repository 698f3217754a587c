use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(feature = "postgres")]
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel::{Connection, SqliteConnection};
use tokio::sync::watch;

use super::failure::Failure;
#[cfg(feature = "postgres")]
use super::postgres;
use super::settings::Settings;
use super::{DatabaseUrl, Error, sqlite};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum Database {
    #[cfg(feature = "postgres")]
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// What the service has learnt about the database. The pool and the store share it.
#[derive(Debug)]
pub(super) struct Health {
    /// The number of times that the database was found to be read-only.
    generation: AtomicU64,
    /// Whether a statement has failed since the last successful write by [super::Store::check].
    pub(super) unproven: AtomicBool,
    /// The reason why the service can never use the database.
    pub(super) unusable: watch::Sender<Option<String>>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            generation: AtomicU64::new(0),
            unproven: AtomicBool::new(true),
            unusable: watch::Sender::default(),
        }
    }
}

/// A connection in the pool.
pub(crate) struct Session {
    database: Database,
    settings: Settings,
    health: Arc<Health>,
    generation: u64,
    broken: bool,
}

impl Session {
    /// Runs `work`. If the database fails, the pool replaces this connection. If it is read-only, the pool replaces all
    /// of them: after a failover they are still connected to the server that was replaced.
    pub(super) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let result = if self.settings.transaction_pooling {
            let timeout = self.settings.timeout.as_millis();
            self.database.transaction(|database| {
                database.batch_execute(&format!("SET LOCAL statement_timeout = {timeout}"))?;
                work(database)
            })
        } else {
            work(&mut self.database)
        };
        if let Err(Error::Unavailable(_) | Error::ReadOnly) = result {
            self.broken = true;
            self.health.unproven.store(true, Ordering::Relaxed);
        }
        if let Err(Error::ReadOnly) = result {
            self.health.generation.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

/// Opens connections for the pool. The manager of diesel would try one kind of database after the other and hide the
/// reason of a failure.
pub(crate) struct Manager {
    settings: Settings,
    health: Arc<Health>,
    /// The file of an SQLite database.
    file: Option<sqlite::FileId>,
}

impl Manager {
    /// The file of an SQLite database must exist.
    pub(super) fn new(settings: Settings, health: Arc<Health>) -> Self {
        let file = sqlite::file_id(&settings.url);
        Self {
            settings,
            health,
            file,
        }
    }

    /// Fails if another file is at the path of an SQLite database, or none. Open connections would write to the previous
    /// file, which nobody sees any more, and a new one could apply its write-ahead log to the other file.
    fn check_file(&self) -> Result<(), Failure> {
        if self.file == sqlite::file_id(&self.settings.url) {
            Ok(())
        } else {
            Err(Failure::Replaced)
        }
    }
}

/// Opens a connection.
pub(super) fn establish(settings: &Settings) -> Result<Database, Failure> {
    match &settings.url {
        DatabaseUrl::Sqlite(path) => {
            Ok(sqlite::establish(path, settings.timeout).map(Database::Sqlite)?)
        }
        #[cfg(feature = "postgres")]
        DatabaseUrl::Postgres(url) => postgres::establish(url, settings).map(Database::Postgres),
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Session;
    type Error = Failure;

    fn connect(&self) -> Result<Session, Failure> {
        self.check_file()?;
        let generation = self.health.generation.load(Ordering::Relaxed);
        Ok(Session {
            database: establish(&self.settings)?,
            settings: self.settings.clone(),
            health: Arc::clone(&self.health),
            generation,
            broken: false,
        })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), Failure> {
        if session.generation < self.health.generation.load(Ordering::Relaxed) {
            return Err(Failure::Stale);
        }
        self.check_file()?;
        // diesel's ping prepares its statement, for which a pooler may use two sessions.
        Ok(session.database.batch_execute("SELECT 1")?)
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        std::thread::panicking() || session.broken || session.database.is_broken()
    }
}
