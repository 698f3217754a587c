//! Accepts connections and serves HTTP/1.1 on them.
//!
//! `axum::serve` limits neither the number of connections nor their time, and waits for silent ones when it stops.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::connection::{Connection, Phase, State};
use super::{Api, Limits, router};

/// The maximum size of the head of a request. It is larger than the longest path that hyper accepts.
const HEAD_LIMIT: usize = 72 * 1024;

/// The pause before the next attempt to find room for a connection.
const RETRY: Duration = Duration::from_millis(50);

/// The pause after a failure that is not the fault of a connection, such as a lack of files.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves requests until `stop` changes, then ends idle connections and waits for requests in progress.
pub async fn serve(listener: TcpListener, api: Arc<Api>, stop: watch::Receiver<()>) {
    let limit = api.limits.connections;
    let server = Arc::new(Server {
        router: router(Arc::clone(&api)),
        api,
        open: Mutex::default(),
    });
    let room = Arc::new(Semaphore::new(limit));
    let accept = async {
        loop {
            let stream = accept(&listener).await;
            let permit = server.make_room(&room).await;
            let server = Arc::clone(&server);
            tokio::spawn(server.connection(stream, permit, stop.clone()));
        }
    };
    let mut stopped = stop.clone();
    tokio::select! {
        () = accept => {}
        _ = stopped.changed() => {}
    }
    drop(listener);
    let all = u32::try_from(limit).unwrap_or(u32::MAX);
    let _ = room.acquire_many(all).await;
}

/// Waits for the next connection. Failures concern a single connection or pass by.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // This fails only if the connection has already been closed.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What all connections share.
struct Server {
    router: Router,
    api: Arc<Api>,
    open: Mutex<Vec<Arc<State>>>,
}

impl Server {
    /// Waits for room for one more connection. If there is none, closes the connection that waits longest for a request.
    async fn make_room(&self, room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            match Arc::clone(room).try_acquire_owned() {
                Ok(permit) => return Some(permit),
                Err(_) => self.close_oldest(),
            }
            if let Ok(permit) = timeout(RETRY, Arc::clone(room).acquire_owned()).await {
                return permit.ok();
            }
        }
    }

    fn close_oldest(&self) {
        let open = self.open();
        let waiting = open.iter().filter(|state| state.phase() != Phase::Request);
        if let Some(oldest) = waiting.min_by_key(|state| state.since()) {
            oldest.close.notify_one();
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<State>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection to its end.
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        _permit: Option<OwnedSemaphorePermit>,
        mut stop: watch::Receiver<()>,
    ) {
        let _counted = self.api.metrics.connection_opens();
        let state = Arc::new(State::new());
        self.open().push(Arc::clone(&state));
        self.exchange(stream, &state, &mut stop).await;
        self.open().retain(|other| !Arc::ptr_eq(other, &state));
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        state: &Arc<State>,
        stop: &mut watch::Receiver<()>,
    ) {
        let Limits {
            header_timeout,
            idle_timeout,
            ..
        } = self.api.limits;
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(|request| {
            state.enter(Phase::Request);
            let answer = router.call(request);
            Box::pin(async {
                let answer = answer.await;
                state.enter(Phase::Response);
                answer
            })
        });
        let stream = Connection::new(stream, Arc::clone(state), header_timeout, idle_timeout);
        let mut http = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            // A client may end its side after its request and wait for the response. hyper would drop both.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                // A request that has already arrived comes before the end of the connection.
                biased;
                ended = poll_fn(|context| http.poll_without_shutdown(context)) => break ended,
                () = state.close.notified() => {
                    if state.phase() != Phase::Request {
                        return;
                    }
                }
                _ = stop.changed(), if !stopping => {
                    if state.is_waiting() {
                        return;
                    }
                    stopping = true;
                    std::pin::Pin::new(&mut http).graceful_shutdown();
                }
            }
        };
        let ended_by_http = match ended {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a connection ended");
                error.is_parse()
            }
        };
        if ended_by_http {
            http.into_parts().io.into_inner().finish().await;
        }
    }
}
