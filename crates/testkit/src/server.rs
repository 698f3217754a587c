//! An HTTP server within the process, for tests of clients.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A request to the server.
#[derive(Clone, Debug)]
pub struct Request {
    /// The first line: `GET /path?query HTTP/1.1`.
    pub line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut next = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let line = next();
        let headers = std::iter::from_fn(|| {
            let line = next();
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        });
        let mut request = Self {
            line,
            headers: headers.collect(),
            body: Vec::new(),
        };
        let length = request.header("content-length").map(|n| n.parse().unwrap());
        request.body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut request.body).unwrap();
        request
    }

    /// The method: `GET`.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// A header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text.
    pub fn body(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, or null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Answers each request with a status and a body, and returns the address. The thread ends with the test's process.
pub fn serve(mut answer: impl FnMut(Request) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (status, body) = answer(Request::read(&stream));
            let length = body.len();
            // Only redirects need the location.
            let response = format!(
                "HTTP/1.1 {status} x\r\nLocation: /elsewhere\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            // A client that follows a redirect does not wait for the whole response.
            let _ = stream.write_all(response.as_bytes());
        }
    });
    address
}
