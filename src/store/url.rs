use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[cfg(feature = "postgres")]
use super::postgres::PostgresUrl;

/// The kind and location of the database.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum DatabaseUrl {
    /// An SQLite file, which is created if it doesn't exist.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl),
}

/// Errors never quote the URL, because it may contain a password.
impl FromStr for DatabaseUrl {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        match url.split_once("://") {
            Some(("sqlite", path)) if !path.is_empty() => sqlite_path(path).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            Some((scheme @ ("postgres" | "postgresql"), rest)) => {
                PostgresUrl::parse(scheme, rest).map(Self::Postgres)
            }
            #[cfg(not(feature = "postgres"))]
            Some(("postgres" | "postgresql", _)) => Err(
                "this program was built without PostgreSQL; build it with `--features postgres`",
            ),
            _ => Err("expected sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME"),
        }
    }
}

/// The path in an SQLite URL. Other programs allow more in such a URL. Here it would become a part of the file's name.
fn sqlite_path(path: &str) -> Result<PathBuf, &'static str> {
    let is_escape = |part: &str| {
        part.get(..2)
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    if path.starts_with(":memory:") {
        // Each connection would have its own database in memory.
        Err("connections can't share a database in memory; use a file")
    } else if path.contains(['?', '#']) {
        Err("an SQLite URL has no parameters; write only sqlite://PATH")
    } else if path.starts_with("file:") {
        Err("SQLite's own URLs are not supported; write sqlite://PATH without file:")
    } else if path.split('%').skip(1).any(is_escape) {
        Err("the path of an SQLite URL is not percent-encoded; write the characters themselves")
    } else if path.ends_with('/') {
        Err("the path of the SQLite file is a folder; add the name of a file")
    } else {
        Ok(path.into())
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

/// Writes the URL without its secrets.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => fmt::Display::fmt(url, f),
        }
    }
}

/// Writes the URL without its secrets.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
            parse("sqlite:///data/100%/waybill.db"),
            DatabaseUrl::Sqlite("/data/100%/waybill.db".into())
        );
        assert!(matches!(
            parse("postgresql://db/ledger"),
            DatabaseUrl::Postgres(_)
        ));
    }

    #[test]
    fn refuses_what_would_become_another_file() {
        for (wrong, reason) in [
            ("", "expected sqlite://PATH"),
            ("waybill.db", "expected sqlite://PATH"),
            ("sqlite:waybill.db", "expected sqlite://PATH"),
            ("sqlite://", "expected sqlite://PATH"),
            ("mysql://db/ledger", "expected sqlite://PATH"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite://:memory:?cache=shared", "in memory"),
            ("sqlite://x.db?mode=rwc", "no parameters"),
            ("sqlite:///data/x.db?mode=ro&cache=shared", "no parameters"),
            ("sqlite://x.db#main", "no parameters"),
            ("sqlite://file:x.db", "without file:"),
            ("sqlite:///my%20data/x.db", "not percent-encoded"),
            ("sqlite:///data/", "a folder"),
        ] {
            let error = wrong.parse::<DatabaseUrl>().unwrap_err();
            assert!(error.contains(reason), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn is_written_without_its_password() {
        let url = parse("postgres://u:secret@db/ledger");
        let shown = "postgres://u:***@db/ledger";
        assert_eq!(format!("{url} {url:?}"), format!("{shown} {shown}"));
    }
}
