//! Connects the parts of the service and runs them.

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

/// Applies the migrations that the database lacks.
pub fn migrate(config: &Config) -> anyhow::Result<()> {
    let applied = store::migrate(&config.database_url, config.database_timeout_ms)?;
    tracing::info!(database = %config.database_url, applied = applied.join(", "), "database schema is up to date");
    Ok(())
}

/// Serves requests until the process receives SIGTERM or SIGINT.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config));
    // A statement may still run for a client that has disconnected. Shutdown doesn't wait for it.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config) -> anyhow::Result<()> {
    let began = Instant::now();
    // This must come first, because the kernel drops signals for which process 1 of a container has no handler.
    let mut signals = Signals::new()?;
    // An SQLite file has a single user, so it is safe to migrate here. A PostgreSQL database can have several, so it is
    // migrated by `waybill migrate` before any replica starts.
    if matches!(config.database_url, DatabaseUrl::Sqlite(_)) {
        migrate(&config)?;
    }
    let listener = TcpListener::bind(config.http_addr).await.with_context(|| {
        format!(
            "cannot listen on {}; set WAYBILL_HTTP_ADDR to a free address",
            config.http_addr
        )
    })?;
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
        // This fails only if the connection has already been closed.
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
            tracing::warn!(
                "aborted requests that did not finish within WAYBILL_SHUTDOWN_TIMEOUT_MS"
            )
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The signals that request a shutdown.
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
