//! The configuration, which consists of `WAYBILL_*` environment variables. Each has a default.

mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::store::{self, DatabaseUrl};

const PREFIX: &str = "WAYBILL_";

/// Variables that the build reads. They are not settings.
const BUILD_TIME: [&str; 2] = ["WAYBILL_COMMIT", "WAYBILL_BUILT_AT"];

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line for programs.
    Json,
}

/// The settings of the service. The environment variable of a field is `WAYBILL_` followed by its name in capitals.
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address and port to listen on. Port 0 selects a free port.
    #[serde(deserialize_with = "address")]
    pub http_addr: SocketAddr,
    /// The database: `sqlite://PATH` (with three slashes for an absolute path) or `postgres://USER:PASSWORD@HOST/NAME`.
    pub database_url: DatabaseUrl,
    /// The maximum number of connections to the database.
    #[serde(deserialize_with = "in_range::<1, 1000, _, _>")]
    pub database_pool_size: u32,
    /// The time to wait for a connection, a lock or a statement, in milliseconds.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub database_timeout_ms: Duration,
    /// Whether the URL leads to a pooler such as PgBouncer in transaction mode: `true` or `false`.
    pub database_transaction_pooling: bool,
    /// The least severe level that is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(with = "text")]
    pub log_level: LevelFilter,
    /// The format of the log: `text` or `json`.
    pub log_format: LogFormat,
    /// The maximum number of connections from clients. If more connect, those close that wait longest for a request.
    #[serde(deserialize_with = "in_range::<16, 65_536, _, _>")]
    pub http_connection_limit: u32,
    /// The maximum time to send the head of a request or to accept more of a response, in milliseconds.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub http_header_timeout_ms: Duration,
    /// The time after which a connection without a request closes, in milliseconds. It must be longer than that of
    /// proxies in front of the service, so that these never use a connection that is about to close.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub http_idle_timeout_ms: Duration,
    /// The maximum duration of a request, including the transfer of its body, in milliseconds.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub request_timeout_ms: Duration,
    /// The maximum size of a request body, in bytes.
    #[serde(deserialize_with = "in_range::<1, 0x1000_0000, _, _>")]
    pub request_body_limit_bytes: u32,
    /// The time to serve requests after SIGTERM while not ready, in milliseconds. It gives load balancers time to
    /// notice.
    #[serde(
        deserialize_with = "milliseconds::<0, _>",
        serialize_with = "as_milliseconds"
    )]
    pub shutdown_delay_ms: Duration,
    /// The time that requests in progress may take to finish after that delay, in milliseconds.
    #[serde(
        deserialize_with = "milliseconds::<0, _>",
        serialize_with = "as_milliseconds"
    )]
    pub shutdown_timeout_ms: Duration,

    /// The names of `WAYBILL_*` variables that this version doesn't know.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http_addr: (Ipv4Addr::LOCALHOST, 8080).into(),
            database_url: DatabaseUrl::Sqlite("waybill.db".into()),
            database_pool_size: 8,
            database_timeout_ms: Duration::from_secs(3),
            database_transaction_pooling: false,
            log_level: LevelFilter::INFO,
            log_format: LogFormat::Text,
            http_connection_limit: 256,
            http_header_timeout_ms: Duration::from_secs(10),
            http_idle_timeout_ms: Duration::from_secs(75),
            request_timeout_ms: Duration::from_secs(10),
            request_body_limit_bytes: 64 * 1024,
            shutdown_delay_ms: Duration::ZERO,
            shutdown_timeout_ms: Duration::from_secs(20),
            unknown: Vec::new(),
        }
    }
}

/// How to treat a `WAYBILL_*` variable that this version doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Ignore it with a warning, so that an older image starts with the settings of a newer chart.
    WarnOfUnknown,
    /// Report it as an error, because it is probably misspelled.
    RefuseUnknown,
}

/// The variables with invalid values, one per line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration:\n  {}", .0.join("\n  "))]
pub struct Error(Vec<String>);

impl Config {
    /// Reads the configuration from the environment of the process.
    pub fn from_env(strictness: Strictness) -> Result<Self, Error> {
        // `std::env::vars` panics if any variable isn't valid UTF-8, even one that isn't ours.
        let variables =
            std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        Self::from_variables(variables, strictness)
    }

    fn from_variables(
        variables: impl Iterator<Item = (String, OsString)>,
        strictness: Strictness,
    ) -> Result<Self, Error> {
        let (mut known, mut unknown, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || BUILD_TIME.contains(&name.as_str()) {
                continue;
            }
            let value = match value::clean(value) {
                // Charts and shells often set a variable to an empty value instead of unsetting it.
                Ok(value) if value.is_empty() => continue,
                Ok(value) => value,
                Err(reason) => {
                    wrong.push(format!("{name}: {reason}"));
                    continue;
                }
            };
            // Errors of envy don't name the variable, so each variable is read by itself. This also reports all errors
            // at once. It works because every setting has a default.
            match read([(name.clone(), value.clone())]) {
                Ok(_) => known.push((name, value)),
                Err(reason) if reason.starts_with("unknown field") => unknown.push(name),
                Err(reason) => wrong.push(format!("{name}: {reason}")),
            }
        }
        if strictness == Strictness::RefuseUnknown {
            wrong.extend(
                unknown
                    .iter()
                    .map(|name| format!("{name}: no such setting; remove it or correct its name")),
            );
        }
        if !wrong.is_empty() {
            return Err(Error(wrong));
        }
        let config = read(known).map_err(|reason| Error(vec![reason]))?;
        Ok(Self { unknown, ..config })
    }

    /// The settings of the database.
    pub fn database(&self) -> store::Settings {
        store::Settings {
            url: self.database_url.clone(),
            timeout: self.database_timeout_ms,
            transaction_pooling: self.uses_transaction_pooling(),
        }
    }

    /// Only PostgreSQL has poolers.
    fn uses_transaction_pooling(&self) -> bool {
        self.database_transaction_pooling && !matches!(self.database_url, DatabaseUrl::Sqlite(_))
    }

    /// The name and value of each variable, without secrets.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(self) else {
            return BTreeMap::new();
        };
        let text = |value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        fields
            .into_iter()
            .map(|(field, value)| (format!("{PREFIX}{}", field.to_uppercase()), text(value)))
            .collect()
    }
}

/// Writes one `NAME=value` per line, without secrets.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.variables()
            .iter()
            .try_for_each(|(name, value)| writeln!(f, "{name}={value}"))
    }
}

fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, String> {
    envy::prefixed(PREFIX)
        .from_iter(variables)
        .map_err(|error| {
            // envy appends the value, which may contain a password, and the name without its prefix.
            let reason = error.to_string();
            reason
                .split(" while parsing value")
                .next()
                .unwrap_or_default()
                .to_owned()
        })
}

fn in_range<'de, const MIN: u32, const MAX: u32, D: Deserializer<'de>, T: From<u32>>(
    deserializer: D,
) -> Result<T, D::Error> {
    match String::deserialize(deserializer)?.parse::<u32>() {
        Ok(number) if (MIN..=MAX).contains(&number) => Ok(number.into()),
        Ok(number) => Err(de::Error::custom(format_args!(
            "{number} is not between {MIN} and {MAX}"
        ))),
        Err(_) => Err(de::Error::custom(format_args!(
            "expected a whole number from {MIN} to {MAX}, without a unit"
        ))),
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let address = String::deserialize(deserializer)?;
    address.parse().map_err(|_| {
        de::Error::custom("expected an IP address and a port, such as 0.0.0.0:8080 or [::]:8080")
    })
}

fn milliseconds<'de, const MIN: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    in_range::<MIN, 3_600_000, _, u64>(deserializer).map(Duration::from_millis)
}

fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_millis())
}

/// Reads and writes a value as text.
mod text {
    use std::str::FromStr;

    use super::*;

    pub(super) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: fmt::Display>,
    {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }

    pub(super) fn serialize<S: Serializer>(
        value: &impl fmt::Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)], strictness: Strictness) -> Result<Config, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()));
        Config::from_variables(variables, strictness).map_err(|error| error.to_string())
    }

    #[test]
    fn uses_defaults_without_variables() {
        let config = config(
            &[("HOME", "/root"), ("WAYBILL_LOG_LEVEL", "")],
            Strictness::RefuseUnknown,
        )
        .unwrap();
        assert_eq!(config.http_addr.to_string(), "127.0.0.1:8080");
        assert_eq!(config.database_url.to_string(), "sqlite://waybill.db");
        assert_eq!(config.log_level, LevelFilter::INFO);
    }

    #[test]
    fn variables_override_defaults() {
        let config = config(
            &[
                ("WAYBILL_HTTP_ADDR", "0.0.0.0:80"),
                ("WAYBILL_DATABASE_URL", "postgres://ledger@db/ledger"),
                ("WAYBILL_LOG_FORMAT", "json"),
                ("WAYBILL_SHUTDOWN_DELAY_MS", "250"),
            ],
            Strictness::RefuseUnknown,
        )
        .unwrap();
        assert_eq!(config.http_addr.port(), 80);
        assert_eq!(
            config.database_url.to_string(),
            "postgres://ledger@db/ledger"
        );
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.shutdown_delay_ms, Duration::from_millis(250));
    }

    #[test]
    fn reports_every_invalid_value_with_its_variable() {
        let error = config(
            &[
                ("WAYBILL_HTTP_ADDR", "localhost"),
                ("WAYBILL_DATABASE_URL", "mysql://ledger:hunter2@db/ledger"),
                ("WAYBILL_DATABASE_POOL_SIZE", "0"),
                ("WAYBILL_DATABASE_TIMEOUT_MS", "soon"),
                ("WAYBILL_LOG_LEVEL", "loud"),
                ("WAYBILL_LOG_FORMAT", "xml"),
                ("WAYBILL_REQUEST_TIMEOUT_MS", "3600001"),
            ],
            Strictness::WarnOfUnknown,
        )
        .unwrap_err();
        let mut lines = error.lines();
        assert_eq!(lines.next(), Some("invalid configuration:"));
        for (line, expected) in lines.by_ref().zip([
            "WAYBILL_HTTP_ADDR: expected an IP address and a port, such as 0.0.0.0:8080 or [::]:8080",
            "WAYBILL_DATABASE_URL: expected sqlite://PATH or postgres://",
            "WAYBILL_DATABASE_POOL_SIZE: 0 is not between 1 and 1000",
            "WAYBILL_DATABASE_TIMEOUT_MS: expected a whole number from 1 to 3600000, without a unit",
            "WAYBILL_LOG_LEVEL: error parsing level",
            "WAYBILL_LOG_FORMAT: unknown variant `xml`, expected `text` or `json`",
            "WAYBILL_REQUEST_TIMEOUT_MS: 3600001 is not between 1 and 3600000",
        ]) {
            assert!(
                line.trim().starts_with(expected),
                "{line:?} does not start with {expected:?}"
            );
        }
        assert_eq!(lines.next(), None);
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn ignores_white_space_around_a_value() {
        let config = config(
            &[
                ("WAYBILL_DATABASE_URL", "sqlite:///data/x.db\n"),
                ("WAYBILL_DATABASE_POOL_SIZE", "4\r\n"),
                ("WAYBILL_REQUEST_TIMEOUT_MS", "\n"),
            ],
            Strictness::RefuseUnknown,
        )
        .unwrap();
        assert_eq!(config.database_url.to_string(), "sqlite:///data/x.db");
        assert_eq!(config.database_pool_size, 4);
        assert_eq!(config.request_timeout_ms, Duration::from_secs(10));
    }

    #[test]
    fn names_the_variable_of_a_value_that_cannot_be_meant() {
        let url = "postgres://u:hunter2\r@h/db";
        let error = config(&[("WAYBILL_DATABASE_URL", url)], Strictness::WarnOfUnknown);
        let error = error.unwrap_err();
        let expected = "WAYBILL_DATABASE_URL: the value contains the invisible character U+000D";
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn rejects_unknown_variables_only_on_request() {
        let variables = [
            ("WAYBILL_HTP_ADDR", "0.0.0.0:80"),
            ("WAYBILL_PORT", "tcp://10.43.0.9:80"),
        ];
        let error = config(&variables, Strictness::RefuseUnknown).unwrap_err();
        assert!(
            error.contains("WAYBILL_HTP_ADDR: no such setting"),
            "{error}"
        );
        let config = config(&variables, Strictness::WarnOfUnknown).unwrap();
        assert_eq!(config.unknown, ["WAYBILL_HTP_ADDR", "WAYBILL_PORT"]);
    }

    #[test]
    fn ignores_variables_of_the_build() {
        assert!(config(&[("WAYBILL_COMMIT", "abc")], Strictness::RefuseUnknown).is_ok());
    }

    #[test]
    fn prints_variables_without_passwords() {
        let config = config(
            &[(
                "WAYBILL_DATABASE_URL",
                "postgres://ledger:hunter2@db/ledger",
            )],
            Strictness::RefuseUnknown,
        );
        let printed = config.unwrap().to_string();
        assert!(
            printed.contains("WAYBILL_DATABASE_URL=postgres://ledger:***@db/ledger\n"),
            "{printed}"
        );
        assert!(
            printed.contains("WAYBILL_REQUEST_TIMEOUT_MS=10000\n"),
            "{printed}"
        );
    }

    #[test]
    fn documents_every_variable() {
        let table = include_str!("../docs/service.md");
        for (name, default) in Config::default().variables() {
            let row = format!("| `{name}` | `{default}` |");
            assert!(table.contains(&row), "docs/service.md lacks {row}");
        }
    }
}
