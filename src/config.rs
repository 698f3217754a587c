//! Configuration: `WAYBILL_*` environment variables, each with a default.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::store::DatabaseUrl;

const PREFIX: &str = "WAYBILL_";

/// Read when the binary is built, so they say nothing about how it runs.
const BUILD_TIME: [&str; 2] = ["WAYBILL_COMMIT", "WAYBILL_BUILT_AT"];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The service's settings. A field's environment variable is its name in capitals after `WAYBILL_`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address to listen on. Port 0 takes a free one.
    pub http_addr: SocketAddr,
    /// `sqlite://PATH` (three slashes for an absolute path) or `postgres://USER:PASSWORD@HOST/NAME`.
    pub database_url: DatabaseUrl,
    /// Most connections to the database at once.
    #[serde(deserialize_with = "in_range::<1, 1000, _, _>")]
    pub database_pool_size: u32,
    /// How long to wait for a connection, a lock or a statement.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub database_timeout_ms: Duration,
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(with = "text")]
    pub log_level: LevelFilter,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// How long a request may take, the sending of its body included.
    #[serde(
        deserialize_with = "milliseconds::<1, _>",
        serialize_with = "as_milliseconds"
    )]
    pub request_timeout_ms: Duration,
    /// The largest request body.
    #[serde(deserialize_with = "in_range::<1, 0x1000_0000, _, _>")]
    pub request_body_limit_bytes: u32,
    /// After SIGTERM: how long to go on serving while not ready, until the load balancer has noticed.
    #[serde(
        deserialize_with = "milliseconds::<0, _>",
        serialize_with = "as_milliseconds"
    )]
    pub shutdown_delay_ms: Duration,
    /// Then: how long requests under way may take to end.
    #[serde(
        deserialize_with = "milliseconds::<0, _>",
        serialize_with = "as_milliseconds"
    )]
    pub shutdown_timeout_ms: Duration,

    /// Names of `WAYBILL_*` variables that this version doesn't know.
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
            log_level: LevelFilter::INFO,
            log_format: LogFormat::Text,
            request_timeout_ms: Duration::from_secs(10),
            request_body_limit_bytes: 64 * 1024,
            shutdown_delay_ms: Duration::ZERO,
            shutdown_timeout_ms: Duration::from_secs(20),
            unknown: Vec::new(),
        }
    }
}

/// What to do about a `WAYBILL_*` variable that this version doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Go on: an older image must start beside a newer chart.
    WarnOfUnknown,
    /// Fail: it is a typing error.
    RefuseUnknown,
}

/// Every variable that is wrong, one a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong configuration:\n  {}", .0.join("\n  "))]
pub struct Error(Vec<String>);

impl Config {
    /// Reads the process's environment.
    pub fn from_env(strictness: Strictness) -> Result<Self, Error> {
        // Lossily, as `std::env::vars` panics on what isn't UTF-8, whoever's variable it is.
        let variables = std::env::vars_os().map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        });
        Self::from_variables(variables, strictness)
    }

    fn from_variables(
        variables: impl Iterator<Item = (String, String)>,
        strictness: Strictness,
    ) -> Result<Self, Error> {
        let (mut known, mut unknown, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in variables {
            // Charts and shells write an empty value for "not set".
            if !name.starts_with(PREFIX) || value.is_empty() || BUILD_TIME.contains(&name.as_str())
            {
                continue;
            }
            // One at a time, because envy's errors don't name the variable, and to report all of them. That works
            // because each has a default.
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
                    .map(|name| format!("{name}: no such setting")),
            );
        }
        if !wrong.is_empty() {
            return Err(Error(wrong));
        }
        let config = read(known).map_err(|reason| Error(vec![reason]))?;
        Ok(Self { unknown, ..config })
    }

    /// Each variable's name with its value, without secrets.
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

/// One `NAME=value` a line, without secrets.
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
            // envy adds the value, which may hold a password, and the name without its prefix.
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
    match u32::deserialize(deserializer)? {
        number if (MIN..=MAX).contains(&number) => Ok(number.into()),
        number => Err(de::Error::custom(format_args!(
            "{number} is not between {MIN} and {MAX}"
        ))),
    }
}

fn milliseconds<'de, const MIN: u32, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    in_range::<MIN, 3_600_000, _, u64>(deserializer).map(Duration::from_millis)
}

fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_millis())
}

/// What is written and read as text.
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
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_variables(variables, strictness).map_err(|error| error.to_string())
    }

    #[test]
    fn without_variables_the_defaults_hold() {
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
    fn variables_override_them() {
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
    fn every_wrong_value_is_reported_by_its_variable() {
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
        assert_eq!(lines.next(), Some("wrong configuration:"));
        for (line, expected) in lines.by_ref().zip([
            "WAYBILL_HTTP_ADDR: invalid socket address syntax",
            "WAYBILL_DATABASE_URL: expected sqlite://PATH or postgres://",
            "WAYBILL_DATABASE_POOL_SIZE: 0 is not between 1 and 1000",
            "WAYBILL_DATABASE_TIMEOUT_MS: invalid digit found in string",
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
    fn an_unknown_variable_is_an_error_only_where_that_is_asked() {
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
    fn what_the_build_reads_is_no_setting() {
        assert!(config(&[("WAYBILL_COMMIT", "abc")], Strictness::RefuseUnknown).is_ok());
    }

    #[test]
    fn what_is_printed_can_be_read_again_and_holds_no_password() {
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
    fn each_variable_is_documented() {
        let table = include_str!("../docs/service.md");
        for (name, default) in Config::default().variables() {
            let row = format!("| `{name}` | `{default}` |");
            assert!(table.contains(&row), "docs/service.md lacks {row}");
        }
    }
}
