use std::fmt;
use std::time::Duration;

/// A connection URL, split by the rules of libpq (`conninfo_uri_parse_options` in its `fe-connect.c`). Those differ from
/// the rules for other URLs: a password may contain `?` and `#`, and there can be several hosts.
///
/// The service splits the URL itself and gives libpq the parameters. So it knows what the password is, and no message of
/// libpq quotes the URL.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    parameters: Vec<(String, String)>,
    shown: String,
}

/// The parameters that libpq 18 knows.
const KEYWORDS: [&str; 52] = [
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// The parameters whose values are secret.
const SECRET: [&str; 5] = [
    "oauth_client_secret",
    "password",
    "scram_client_key",
    "scram_server_key",
    "sslpassword",
];

/// The reason why a URL is refused. It never quotes the URL, because a part of the password may be anywhere in it.
pub(in crate::store) type Refusal = &'static str;

const AMBIGUOUS: Refusal = "the URL contains a character that must be percent-encoded, probably in the password: write @ \
                            as %40, / as %2F, ? as %3F and % as %25";

impl PostgresUrl {
    /// Splits a URL. `rest` is the part after `postgres://`.
    pub(in crate::store) fn parse(scheme: &str, rest: &str) -> Result<Self, Refusal> {
        let mut url = Self {
            parameters: Vec::new(),
            shown: format!("{scheme}://"),
        };
        // libpq looks for the login before the first slash, and ends it at the first at sign.
        let (login, rest) = match rest.find(['@', '/']) {
            Some(end) if rest[end..].starts_with('@') => (Some(&rest[..end]), &rest[end + 1..]),
            _ => (None, rest),
        };
        if let Some(login) = login {
            url.add_login(login)?;
        }
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        // libpq accepts an at sign here. Then the rest of a password becomes the name of a host or a database, and
        // libpq's messages print it.
        if place.contains('@') {
            return Err(AMBIGUOUS);
        }
        url.shown.push_str(place);
        url.add_hosts(hosts)?;
        if !database.is_empty() {
            url.add("dbname", decode(database)?);
        }
        for (index, parameter) in parameters.split_terminator('&').enumerate() {
            url.shown.push(if index == 0 { '?' } else { '&' });
            url.add_parameter(parameter)?;
        }
        Ok(url)
    }

    fn add_login(&mut self, login: &str) -> Result<(), Refusal> {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        // Without a slash before the parameters, libpq reads the beginning of `host?password=a@b` as a user.
        if user.contains('?') {
            return Err(AMBIGUOUS);
        }
        self.shown.push_str(user);
        if !user.is_empty() {
            self.add("user", decode(user)?);
        }
        if let Some(password) = password {
            self.shown.push_str(":***");
            if !password.is_empty() {
                self.add("password", decode(password)?);
            }
        }
        self.shown.push('@');
        Ok(())
    }

    fn add_hosts(&mut self, text: &str) -> Result<(), Refusal> {
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for entry in text.split(',') {
            let (host, port) = if let Some(address) = entry.strip_prefix('[') {
                let (address, port) = address
                    .split_once(']')
                    .filter(|(address, _)| !address.is_empty())
                    .ok_or("an IPv6 address must be in brackets, such as [::1]")?;
                match port.strip_prefix(':') {
                    Some(port) => (address, port),
                    None if port.is_empty() => (address, ""),
                    None => return Err("only a port may follow an IPv6 address"),
                }
            } else {
                entry.split_once(':').unwrap_or((entry, ""))
            };
            let port = decode(port)?;
            if !port.is_empty() && !port.parse::<u16>().is_ok_and(|port| port > 0) {
                return Err(
                    "the port is not a number from 1 to 65535; if the password contains @, / or %, \
                     percent-encode it as %40, %2F or %25",
                );
            }
            hosts.push(decode(host)?);
            ports.push(port);
        }
        for (keyword, values) in [("host", hosts.join(",")), ("port", ports.join(","))] {
            if !values.is_empty() {
                self.add(keyword, values);
            }
        }
        Ok(())
    }

    fn add_parameter(&mut self, parameter: &str) -> Result<(), Refusal> {
        const FORM: Refusal = "each parameter after ? must have the form name=value; write & as %26, = as %3D and % as \
                               %25 in values";
        let (keyword, value) = parameter
            .split_once('=')
            .filter(|(_, value)| !value.contains('='))
            .ok_or(FORM)?;
        let (keyword, decoded) = (decode(keyword)?, decode(value)?);
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(
                "a parameter after ? is none that PostgreSQL's client library knows; correct its name, and write \
                        & as %26 in values",
            );
        }
        let value = if SECRET.contains(&keyword.as_str()) {
            "***"
        } else {
            value
        };
        self.shown.push_str(&format!("{keyword}={value}"));
        match (keyword.as_str(), decoded.as_str()) {
            ("ssl", "true") => self.add("sslmode", "require".to_owned()),
            ("ssl", _) => return Err("the parameter ssl can only be true; use sslmode"),
            _ => self.add(&keyword, decoded),
        }
        Ok(())
    }

    fn add(&mut self, keyword: &str, value: String) {
        self.parameters.push((keyword.to_owned(), value));
    }

    /// The connection string for libpq. It has time-outs, because without them libpq waits about 15 minutes for a server
    /// that has disappeared, and two hours if that happens while the server runs a statement.
    pub(super) fn connection_string(&self, timeout: Duration) -> String {
        let seconds = timeout.as_secs().max(1).to_string();
        let defaults = [
            ("connect_timeout", seconds.clone()),
            ("tcp_user_timeout", timeout.as_millis().to_string()),
            ("keepalives_idle", seconds.clone()),
            ("keepalives_interval", seconds),
            ("fallback_application_name", "waybill".to_owned()),
        ];
        let given = self
            .parameters
            .iter()
            .map(|(keyword, value)| (keyword.as_str(), value));
        // Of two values for one parameter, libpq uses the last.
        defaults
            .iter()
            .map(|(keyword, value)| (*keyword, value))
            .chain(given)
            .map(|(keyword, value)| {
                format!(
                    "{keyword}='{}'",
                    value.replace('\\', r"\\").replace('\'', r"\'")
                )
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Writes the URL without its secrets.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Decodes a part of the URL as libpq's `conninfo_uri_decode` does.
fn decode(text: &str) -> Result<String, Refusal> {
    let text = text.trim_matches(' ');
    if text.contains(' ') {
        return Err("the URL contains a space; write it as %20");
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let byte = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or("two hexadecimal digits must follow each % in the URL; write % itself as %25")?;
        if byte == 0 {
            return Err("the URL contains %00, which PostgreSQL does not allow");
        }
        bytes.push(byte);
        bytes.extend(part.bytes().skip(2));
    }
    String::from_utf8(bytes).map_err(|_| "the percent-encoded bytes in the URL are not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresUrl, Refusal> {
        let (scheme, rest) = url.split_once("://").unwrap();
        PostgresUrl::parse(scheme, rest)
    }

    fn parameters(url: &str) -> String {
        parse(url)
            .unwrap()
            .parameters
            .iter()
            .map(|(keyword, value)| format!("{keyword}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The expected values are those of libpq's own test, `src/interfaces/libpq/t/001_uri.pl`.
    #[test]
    fn splits_as_libpq_does() {
        for (url, expected) in [
            (
                "postgresql://uri-user:secret@host:12345/db",
                "user=uri-user password=secret host=host port=12345 dbname=db",
            ),
            (
                "postgresql://uri-user@host/db?",
                "user=uri-user host=host dbname=db",
            ),
            (
                "postgresql://host/db?user=uri-user&port=12345&",
                "host=host dbname=db user=uri-user port=12345",
            ),
            ("postgresql://host:/", "host=host"),
            ("postgresql://", ""),
            ("postgresql://?host=/path/to/socket", "host=/path/to/socket"),
            ("postgresql://%2Fvar%2Flib/db", "host=/var/lib dbname=db"),
            (
                "postgres://[2001:db8::1234]:5433/db",
                "host=2001:db8::1234 port=5433 dbname=db",
            ),
            (
                "postgres://h1:1,[::1],h3:3/db",
                "host=h1,::1,h3 port=1,,3 dbname=db",
            ),
            (
                "postgres://u%40corp:%3A%2F%25@h",
                "user=u@corp password=:/% host=h",
            ),
            ("postgres://:secret@h", "password=secret host=h"),
            (
                "postgres://u:p?w#x:y&z=1@h/db",
                "user=u password=p?w#x:y&z=1 host=h dbname=db",
            ),
            ("postgres://h?ssl=true", "host=h sslmode=require"),
            (
                "postgres://h/db?pass%77ord=a@b/c",
                "host=h dbname=db password=a@b/c",
            ),
        ] {
            assert_eq!(parameters(url), expected, "{url}");
        }
    }

    #[test]
    fn is_written_without_secrets() {
        for (url, shown) in [
            ("postgres://u:p?w@h/db", "postgres://u:***@h/db"),
            ("postgres://u:p#w@h/db?", "postgres://u:***@h/db"),
            ("postgres://:p:w@h:5432,i/db", "postgres://:***@h:5432,i/db"),
            (
                "postgres://u@h/db?pass%77ord=p@w&sslmode=require&",
                "postgres://u@h/db?password=***&sslmode=require",
            ),
            (
                "postgresql://h?sslpassword=p&oauth_client_secret=q",
                "postgresql://h?sslpassword=***&oauth_client_secret=***",
            ),
            ("postgres://db:5432/ledger", "postgres://db:5432/ledger"),
        ] {
            assert_eq!(parse(url).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn refuses_without_quoting_the_url() {
        for url in [
            "postgres://u:hunter@hunter@h/db",
            "postgres://u:hunter/hunter@h/db",
            "postgres://u:1/hunter@h/db",
            "postgres://u:hunter%hunter@h/db",
            "postgres://u:hunter%00@h/db",
            "postgres://u:hunter hunter@h/db",
            "postgres://u:hunter%FF@h/db",
            "postgres://h?password=hunter@hunter",
            "postgres://h/db?password=a&hunter",
            "postgres://h/db?password=a&hunter=b",
            "postgres://h/db?password=hunter=b",
            "postgres://h/db?hunter&&",
            "postgres://h:70000/db",
            "postgres://[::1/db",
            "postgres://[::1]x/db",
            "postgres://h/db?ssl=hunter",
        ] {
            let refusal = parse(url)
                .err()
                .unwrap_or_else(|| panic!("{url} was accepted"));
            assert!(!refusal.contains("hunter"), "{refusal}");
        }
    }

    #[test]
    fn parameters_of_the_url_replace_defaults() {
        let timeout = Duration::from_millis(1500);
        let string = |url| parse(url).unwrap().connection_string(timeout);
        assert_eq!(
            string(r"postgres://u:it's\@h/db?connect_timeout=9"),
            r"connect_timeout='1' tcp_user_timeout='1500' keepalives_idle='1' keepalives_interval='1' fallback_application_name='waybill' user='u' password='it\'s\\' host='h' dbname='db' connect_timeout='9'"
        );
    }
}
