use std::collections::HashSet;

use anyhow::{Context, anyhow};
use diesel::backend::Backend;
#[cfg(feature = "postgres")]
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{Database, establish};
use super::settings::Settings;
use super::{Error, schema};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
#[cfg(feature = "postgres")]
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The key of the lock during migrations. It is arbitrary, but all versions must use the same.
#[cfg(feature = "postgres")]
const ADVISORY_LOCK: i64 = 0x7761_7962_696c_6c00;

/// How many times the time-out for a lock a process waits while another one applies migrations.
#[cfg(feature = "postgres")]
const PATIENCE: u32 = 20;

/// Applies the migrations that the database lacks and returns their names. If several processes do this at the same
/// time, one applies them while the others wait.
pub fn migrate(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let url = &settings.url;
    let mut connection = establish(settings)
        .with_context(|| format!("cannot open the database {url}; check WAYBILL_DATABASE_URL"))?;
    let applied = match &mut connection {
        Database::Sqlite(connection) => {
            connection.immediate_transaction(|connection| apply(connection, SQLITE))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(connection) => connection.transaction(|connection| {
            // Migrations may take longer than the statements of a request, but not wait longer for a table. While they
            // do, all requests wait behind them.
            let patience = settings.timeout * PATIENCE;
            connection
                .batch_execute(&format!(
                    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = {}; \
                     SELECT pg_advisory_xact_lock({ADVISORY_LOCK}); SET LOCAL lock_timeout = {}",
                    patience.as_millis(),
                    settings.timeout.as_millis()
                ))
                .with_context(|| {
                    format!(
                        "cannot get the lock for migrations within {patience:?}; another `waybill migrate` may be running: \
                         run it again later, or find the session in pg_locks by the locktype 'advisory'"
                    )
                })?;
            apply(connection, POSTGRES)
        }),
    };
    applied.with_context(|| format!("cannot migrate the database {url}"))
}

fn apply<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> anyhow::Result<Vec<String>> {
    let applied = connection
        .run_pending_migrations(migrations)
        .map_err(|error| anyhow!(error))?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

/// Checks that the database has every migration that this program knows. It may have more, because an older version of
/// the program runs alongside a newer one during a roll-out.
pub(super) fn check(connection: &mut Database) -> Result<(), Error> {
    use schema::__diesel_schema_migrations::dsl;

    let known: Vec<String> = match connection {
        Database::Sqlite(_) => versions::<diesel::sqlite::Sqlite>(&SQLITE)?,
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => versions::<diesel::pg::Pg>(&POSTGRES)?,
    };
    // The harness of diesel would create the table if it doesn't exist.
    let applied: HashSet<String> = dsl::__diesel_schema_migrations
        .select(dsl::version)
        .load(connection)?
        .into_iter()
        .collect();
    let missing: Vec<_> = known
        .into_iter()
        .filter(|version| !applied.contains(version))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Outdated(missing.join(", ")))
    }
}

fn versions<DB: Backend>(migrations: &EmbeddedMigrations) -> Result<Vec<String>, Error> {
    use diesel::migration::MigrationSource;

    let migrations = MigrationSource::<DB>::migrations(migrations);
    let migrations = migrations.map_err(|error| Error::Internal(error.to_string()))?;
    Ok(migrations
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_migrations() {
        assert_eq!(
            versions::<diesel::sqlite::Sqlite>(&SQLITE).unwrap(),
            versions::<diesel::pg::Pg>(&POSTGRES).unwrap()
        );
    }
}
