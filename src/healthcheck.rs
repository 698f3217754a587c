//! `waybill healthcheck`, for probes that run a command. The image contains neither a shell nor curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks whether the service that listens on `address` is ready. Fails if it isn't or doesn't answer.
pub fn run(address: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(address);
    let status =
        ready_status(address).with_context(|| format!("no answer from http://{address}/ready; check that the service runs and that WAYBILL_HTTP_ADDR is its address"))?;
    if status != "200" {
        bail!("http://{address}/ready answered {status}");
    }
    Ok(())
}

fn ready_status(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET /ready HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    answer
        .split(' ')
        .nth(1)
        .map(str::to_owned)
        .context("the response is not HTTP")
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
        let asked = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:8080"), "[::1]:8080");
        assert_eq!(asked("10.0.0.7:80"), "10.0.0.7:80");
    }
}
