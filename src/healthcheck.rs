//! `waybill healthcheck`, for probes and smoke tests that run a command. The image contains neither a shell nor curl.

use std::fmt::{self, Display, Formatter};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::Uri;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name or address of the host. An IPv6 address has no brackets.
    host: String,
    port: u16,
    /// The path and the query.
    path: String,
}

impl From<SocketAddr> for Target {
    /// `/ready` of the service that listens on an address.
    fn from(address: SocketAddr) -> Self {
        let address = reachable(address);
        Self {
            host: address.ip().to_string(),
            port: address.port(),
            path: "/ready".to_owned(),
        }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    /// Reads a URL. Without a path it means `/ready`.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let uri: Option<Uri> = url.parse().ok();
        uri.as_ref()
            .and_then(Self::from_uri)
            .ok_or("the URL must have the form http://<host>[:<port>][<path>]")
    }
}

impl Target {
    fn from_uri(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        let host = authority.host();
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') || host.is_empty() {
            return None;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: if path == "/" { "/ready" } else { path }.to_owned(),
        })
    }

    /// The host and the port, as in a URL.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }

    /// The status of the answer.
    fn status(&self) -> anyhow::Result<String> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (path, host) = (&self.path, self.authority());
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())?;
        // Only the first line: the server may keep the connection open after its response.
        let mut answer = Vec::new();
        BufReader::new(stream.take(4096)).read_until(b'\n', &mut answer)?;
        String::from_utf8_lossy(&answer)
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
            .context("the response is not HTTP")
    }

    /// Connects to the first address of the host that accepts.
    fn connect(&self) -> io::Result<TcpStream> {
        let mut result = Err(io::Error::other("the host has no address"));
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            result = TcpStream::connect_timeout(&address, TIMEOUT);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

impl Display for Target {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}{}", self.authority(), self.path)
    }
}

/// Fails unless the target answers 200. `hint` says what to check if there is no answer.
pub fn run(target: &Target, hint: &str) -> anyhow::Result<()> {
    let status = target
        .status()
        .with_context(|| format!("no answer from {target}; check that {hint}"))?;
    if status != "200" {
        bail!("{target} answered {status}");
    }
    Ok(())
}

/// The address to connect to: the loopback address if the service listens on all addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_the_loopback_address_of_a_wildcard() {
        let asked =
            |address: &str| Target::from(address.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "http://127.0.0.1:8080/ready");
        assert_eq!(asked("[::]:8080"), "http://[::1]:8080/ready");
        assert_eq!(asked("10.0.0.7:80"), "http://10.0.0.7:80/ready");
    }

    #[test]
    fn reads_a_url() {
        let asked = |url: &str| url.parse::<Target>().unwrap().to_string();
        assert_eq!(asked("http://waybill"), "http://waybill:80/ready");
        assert_eq!(asked("http://waybill/"), "http://waybill:80/ready");
        assert_eq!(asked("http://[::1]:81/a?b=c"), "http://[::1]:81/a?b=c");
    }
}
