mod url;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel::{Connection, ConnectionError, PgConnection, QueryResult, RunQueryDsl, select};

use super::failure::Failure;
use super::settings::Settings;

pub use url::PostgresUrl;

/// Connects to the server, and waits at most the time-out for the connection and for each statement.
pub(super) fn establish(url: &PostgresUrl, settings: &Settings) -> Result<PgConnection, Failure> {
    // This must precede libpq's own initialization. Otherwise OpenSSL frees its state when the process exits, while
    // threads of the pool may still use it.
    openssl_sys::init();
    let mut connection = PgConnection::establish(&url.connection_string(settings.timeout))?;
    let encoding: String = configure(&mut connection, settings)
        .and_then(|()| {
            connection.transaction(|connection| {
                select(sql::<Text>("current_setting('server_encoding')")).get_result(connection)
            })
        })
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    if encoding == "UTF8" {
        Ok(connection)
    } else {
        Err(Failure::Encoding(encoding))
    }
}

fn configure(connection: &mut PgConnection, settings: &Settings) -> QueryResult<()> {
    if settings.transaction_pooling {
        // The next transaction may run in another session, which knows neither prepared statements nor settings.
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        Ok(())
    } else {
        let timeout = settings.timeout.as_millis();
        connection.batch_execute(&format!("SET statement_timeout = {timeout}"))
    }
}

/// Whether the session refuses to write, as on a standby server.
pub(super) fn is_read_only(connection: &mut PgConnection) -> QueryResult<bool> {
    select(sql::<Bool>(
        "pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
    ))
    .get_result(connection)
}
