//! A receiver of webhooks, which runs on the node during a scenario.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::progress::locked;

/// How long a sender may take for a request.
const LIMIT: Duration = Duration::from_secs(10);

/// The longest body that is read.
const LONGEST: usize = 1 << 20;

/// A server that keeps the bodies of all requests with the right token, until the scenario ends.
pub struct Receiver {
    /// The address that it listens on.
    pub url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    /// Starts it on an address of the node, with a port that is free.
    ///
    /// # Errors
    /// When it cannot listen on the address.
    pub fn start(address: &str, token: &str) -> Result<Self> {
        let listener = TcpListener::bind((address, 0))
            .with_context(|| format!("cannot listen on {address}"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let (kept, wanted) = (Arc::clone(&bodies), format!("Bearer {token}"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A request that is not complete is none.
                let Ok(request) = Request::read(&stream) else {
                    continue;
                };
                let is_known = request.authorization == wanted;
                if is_known {
                    // Before the answer: the sender may look for it then.
                    locked(&kept).push(request.body);
                }
                let _ = answer(&stream, is_known);
            }
        });
        Ok(Self { url, bodies })
    }

    /// The bodies of all requests so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        locked(&self.bodies).clone()
    }
}

/// What a sender wants.
#[derive(Default)]
struct Request {
    authorization: String,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        let mut reader = BufReader::new(stream);
        let (mut request, mut length) = (Self::default(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                // The request line has no colon with a space; an empty line ends the headers.
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse()?,
                "authorization" => value.clone_into(&mut request.authorization),
                _ => {}
            }
        }
        ensure!(length <= LONGEST, "the body has {length} bytes");
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        Ok(request)
    }
}

fn answer(mut stream: &TcpStream, is_known: bool) -> io::Result<()> {
    let status = if is_known {
        "204 No Content"
    } else {
        "401 Unauthorized"
    };
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use devkit::http::{Client, Tls};
    use serde_json::json;

    #[test]
    fn only_requests_with_the_token_are_kept() {
        let receiver = Receiver::start("127.0.0.1", "secret").unwrap();
        let client = |token| Client::new(&receiver.url, Tls::none()).with_token(token);
        let body = json!({"n": 1});
        assert!(client("guess").execute("POST", "/", &body).is_err());
        client("secret").execute("POST", "/", &body).unwrap();
        assert_eq!(receiver.bodies(), [body.to_string().into_bytes()]);
    }
}
