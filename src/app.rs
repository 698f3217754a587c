//! Puts the parts together and runs them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::build;
use crate::config::Config;
use crate::http::{self, Api};
use crate::store::{self, DatabaseUrl, Store};

/// Brings the database's schema up to date.
pub fn migrate(config: &Config) -> anyhow::Result<()> {
    let applied = store::migrate(&config.database_url, config.database_timeout_ms)?;
    tracing::info!(database = %config.database_url, applied = applied.join(", "), "the schema is up to date");
    Ok(())
}

/// Answers requests until SIGTERM or SIGINT.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config));
    // Doesn't wait for a statement that is under way for a client that has gone.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config) -> anyhow::Result<()> {
    let began = Instant::now();
    // First of all: the kernel drops signals that the first process of a container has no handler for.
    let mut signals = Signals::new()?;
    // Here nobody else can be using the file. On PostgreSQL `waybill migrate` does it, before any replica starts.
    if let DatabaseUrl::Sqlite(_) = config.database_url {
        migrate(&config)?;
    }
    let listener = TcpListener::bind(config.http_addr)
        .await
        .with_context(|| format!("cannot listen on {} (WAYBILL_HTTP_ADDR)", config.http_addr))?;
    let address = listener.local_addr()?;
    let store = Store::new(
        config.database_url,
        config.database_pool_size,
        config.database_timeout_ms,
    );
    let api = Api::new(store, config.request_timeout_ms);
    let router = http::router(Arc::clone(&api), config.request_body_limit_bytes as usize);

    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let listener = listener.tap_io(|stream| {
        // Fails only on a connection that is gone already.
        let _ = stream.set_nodelay(true);
    });
    let server = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopped.notified().await });
    let server = tokio::spawn(server.into_future());
    let milliseconds = began.elapsed().as_micros() as f64 / 1000.0;
    tracing::info!(%address, version = build::VERSION, commit = build::COMMIT, milliseconds, "listening");

    let reason = signals.next().await;
    tracing::info!(reason, delay = ?config.shutdown_delay_ms, "stopping");
    api.stop();
    tokio::time::sleep(config.shutdown_delay_ms).await;
    stop.notify_one();
    match tokio::time::timeout(config.shutdown_timeout_ms, server).await {
        Ok(ended) => ended??,
        Err(_) => {
            tracing::warn!("gave up on requests that did not end in WAYBILL_SHUTDOWN_TIMEOUT_MS")
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The signals that ask a process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
