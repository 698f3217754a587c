mod url;

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, PgConnection};

pub use url::PostgresUrl;

/// Connects to the server, and waits at most `timeout` for the connection and for each statement.
pub(super) fn establish(url: &PostgresUrl, timeout: Duration) -> ConnectionResult<PgConnection> {
    // This must precede libpq's own initialization. Otherwise OpenSSL frees its state when the process exits, while
    // threads of the pool may still use it.
    openssl_sys::init();
    let mut connection = PgConnection::establish(&url.connection_string(timeout))?;
    let millis = timeout.as_millis();
    connection
        .batch_execute(&format!(
            "SET statement_timeout = {millis}; SET TIME ZONE 'UTC'"
        ))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}
