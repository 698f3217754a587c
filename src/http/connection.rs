//! A connection from a client, with the limits that hyper does not have.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, timeout};
use uuid::Uuid;

use super::problem::Problem;

/// The time for which the service reads on after its last response. Closing a connection with unread data would discard
/// a response that the client has not read yet (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_millis(500);

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client has sent nothing yet.
    New,
    /// The client has sent a part of the head of a request.
    Head,
    /// A handler works on a request.
    Request,
    /// The response is being sent.
    Response,
    /// The response has been sent.
    Idle,
}

/// The state of a connection, for the task that serves it and for the one that needs room.
pub(super) struct State {
    phase: Mutex<(Phase, Instant)>,
    /// Asks the connection to close, unless a handler works on a request.
    pub(super) close: Notify,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: Mutex::new((Phase::New, Instant::now())),
            close: Notify::new(),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        *self.lock() = (phase, Instant::now());
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().0
    }

    /// The time at which the phase began.
    pub(super) fn since(&self) -> Instant {
        self.lock().1
    }

    /// Whether the connection can close without a loss for the client.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase(), Phase::New | Phase::Head | Phase::Idle)
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A TCP connection that fails if the client takes too long, and on which hyper's own error responses have a body.
pub(super) struct Connection {
    stream: TcpStream,
    state: Arc<State>,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// The end of the time for the phase, which is the one that began at the given time.
    read_timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The end of the time for a write.
    write_timer: Option<Pin<Box<Sleep>>>,
    /// The response that replaces one of hyper, and how much of it has been sent.
    replacement: Option<(Vec<u8>, usize)>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        state: Arc<State>,
        header_timeout: Duration,
        idle_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            state,
            header_timeout,
            idle_timeout,
            read_timer: None,
            write_timer: None,
            replacement: None,
        }
    }

    /// Ends the connection after the last response.
    pub(super) async fn finish(mut self) {
        let mut rest = [0; 4096];
        let _ = timeout(LINGER, async {
            self.stream.shutdown().await?;
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        })
        .await;
    }

    /// Fails when the client has taken too long to send a request.
    fn poll_read_timer(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = match self.state.phase() {
            Phase::New | Phase::Head => self.header_timeout,
            Phase::Idle => self.idle_timeout,
            // The middleware limits the time of a request.
            Phase::Request | Phase::Response => return Poll::Pending,
        };
        let since = self.state.since();
        let (_, timer) = self
            .read_timer
            .take_if(|(start, _)| *start == since)
            .unwrap_or_else(|| (since, Box::pin(sleep(limit))));
        let (_, timer) = self.read_timer.insert((since, timer));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(too_slow())
    }

    fn poll_write_timer(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let limit = self.header_timeout;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(too_slow())
    }

    fn poll_write_now(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.poll_write_timer(context).map(Err),
            written => {
                self.write_timer = None;
                written
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_read_timer(context).map(Err),
            result => {
                if buffer.filled().len() > before
                    && matches!(self.state.phase(), Phase::New | Phase::Idle)
                {
                    self.state.enter(Phase::Head);
                }
                result
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() && self.state.is_waiting() {
            // Without a request, hyper writes only responses to what it cannot read as one.
            self.replacement = with_problem(bytes).map(|response| (response, 0));
        }
        while let Some((response, mut sent)) = self.replacement.take() {
            let result = self.poll_write_now(context, &response[sent..]);
            if let Poll::Ready(Ok(count)) = result {
                sent += count;
                if count > 0 && sent == response.len() {
                    return Poll::Ready(Ok(bytes.len()));
                }
            }
            self.replacement = Some((response, sent));
            match ready!(result) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.poll_write_now(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper flushes after it has written everything.
        if self.state.phase() == Phase::Response {
            self.state.enter(Phase::Idle);
            // hyper may not read again before something wakes it, and then no other timer would end the connection.
            if let Poll::Ready(error) = self.poll_read_timer(context) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client took too long")
}

/// The response with a problem that replaces hyper's response without a body.
fn with_problem(response: &[u8]) -> Option<Vec<u8>> {
    let status = response.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    let detail = match status {
        StatusCode::BAD_REQUEST => "the request is not valid HTTP/1.1",
        StatusCode::URI_TOO_LONG => "the path and the query are too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            "the request has more than 100 headers, or they are too long"
        }
        _ => return None,
    };
    let body = serde_json::to_string(&Problem::new(status, detail)).ok()?;
    let id = Uuid::now_v7();
    tracing::info!(request_id = %id, status = status.as_u16(), "rejected what is not a request");
    let headers = format!(
        "content-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n",
        body.len()
    );
    let head = std::str::from_utf8(response)
        .ok()?
        .replace("content-length: 0\r\n", &headers);
    Some(format!("{head}{body}").into_bytes())
}
