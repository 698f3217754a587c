//! A slow network between the service and PostgreSQL.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::{Database, Server};

/// What happens to the data that the server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Each packet takes this long.
    Delay(Duration),
    /// No packet arrives, until the network changes.
    Stalled,
}

/// Forwards connections to the PostgreSQL server, as slowly as the network is.
pub(crate) struct Proxy {
    port: u16,
    network: Arc<(Mutex<Network>, Condvar)>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fast = Network::Delay(Duration::ZERO);
        let network = Arc::new((Mutex::new(fast), Condvar::new()));
        let shared = Arc::clone(&network);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", Server::get().port)) else {
                    return;
                };
                let copies = client
                    .try_clone()
                    .and_then(|c| Ok((c, server.try_clone()?)));
                let (client_copy, server_copy) = copies.unwrap();
                let network = Arc::clone(&shared);
                thread::spawn(move || forward(client, server, || ()));
                thread::spawn(move || forward(server_copy, client_copy, || pass(&network)));
            }
        });
        Self { port, network }
    }

    pub(crate) fn set(&self, network: Network) {
        *self.network.0.lock().unwrap() = network;
        self.network.1.notify_all();
    }

    /// The database, at the address of the proxy.
    pub(crate) fn to(&self, mut database: Database) -> Database {
        let direct = format!(":{}/", Server::get().port);
        database.url = database.url.replace(&direct, &format!(":{}/", self.port));
        database
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, pass: impl Fn()) {
    let mut buffer = [0; 8192];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
    {
        pass();
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// Returns when a packet has passed the network.
fn pass((network, changed): &(Mutex<Network>, Condvar)) {
    let network = network.lock().unwrap();
    let network = changed
        .wait_while(network, |network| *network == Network::Stalled)
        .unwrap();
    if let Network::Delay(delay) = *network {
        drop(network);
        thread::sleep(delay);
    }
}
