use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, ConnectionResult, PgConnection};

/// Connects to the server, and waits at most `timeout` for the connection and for each statement.
pub(super) fn establish(url: &str, timeout: Duration) -> ConnectionResult<PgConnection> {
    // This must precede libpq's own initialization. Otherwise OpenSSL frees its state when the process exits, while
    // threads of the pool may still use it.
    openssl_sys::init();
    let mut connection = PgConnection::establish(&with_network_timeouts(url, timeout))?;
    let millis = timeout.as_millis();
    connection
        .batch_execute(&format!(
            "SET statement_timeout = {millis}; SET TIME ZONE 'UTC'"
        ))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Replaces the password in the authority or in a parameter with `***`.
pub(super) fn without_password(url: &str) -> String {
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
            assert_eq!(without_password(url), shown);
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
