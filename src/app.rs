//! Connects the parts of the service and runs them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::build::{Build, VERSION};
use crate::config::Config;
use crate::http::{self, Api, Limits};
use crate::store::{self, DatabaseUrl, Store};

/// Applies the migrations that the database lacks. SIGTERM and SIGINT end this with an error.
pub fn migrate(config: &Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let settings = config.database();
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            applied = tokio::task::spawn_blocking(move || store::migrate(&settings)) => applied?,
            signal = signals.next() => bail!(
                "{signal} ended the migration of {}; the database has all of it or nothing, so run it again",
                config.database_url
            ),
        }
    });
    // The thread may still wait for the database. The end of the process ends its transaction.
    runtime.shutdown_background();
    report(config, &outcome?);
    Ok(())
}

fn report(config: &Config, applied: &[String]) {
    tracing::info!(database = %config.database_url, applied = applied.join(", "), "database schema is up to date");
}

/// Serves requests until the process receives SIGTERM or SIGINT.
pub fn serve(config: Config, build: Build) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config, build));
    // A statement may still run for a client that has disconnected. Shutdown doesn't wait for it.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config, build: Build) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut signals = Signals::new()?;
    // An SQLite file has a single user, so it is safe to migrate here. A PostgreSQL database can have several, so it is
    // migrated by `waybill migrate` before any replica starts.
    if matches!(config.database_url, DatabaseUrl::Sqlite(_)) {
        report(&config, &store::migrate(&config.database())?);
    }
    let listener = TcpListener::bind(config.http_addr).await.with_context(|| {
        format!(
            "cannot listen on {}; set WAYBILL_HTTP_ADDR to a free address",
            config.http_addr
        )
    })?;
    let address = listener.local_addr()?;
    let limits = Limits {
        connections: connection_limit(&config),
        header_timeout: config.http_header_timeout_ms,
        idle_timeout: config.http_idle_timeout_ms,
        request_timeout: config.request_timeout_ms,
        body: config.request_body_limit_bytes as usize,
    };
    let store = Store::new(config.database(), config.database_pool_size);
    let api = Api::new(store.clone(), limits, build);

    let (stop, stopped) = watch::channel(());
    let server = tokio::spawn(http::serve(listener, Arc::clone(&api), stopped));
    let milliseconds = began.elapsed().as_micros() as f64 / 1000.0;
    tracing::info!(%address, version = VERSION, commit = build.commit, milliseconds, "listening");

    let reason = tokio::select! {
        reason = signals.next() => reason,
        reason = store.unusable() => bail!("cannot use the database {}: {reason}", config.database_url),
    };
    tracing::info!(reason, delay = ?config.shutdown_delay_ms, "stopping");
    api.stop();
    tokio::time::sleep(config.shutdown_delay_ms).await;
    let _ = stop.send(());
    match tokio::time::timeout(config.shutdown_timeout_ms, server).await {
        Ok(ended) => ended?,
        Err(_) => {
            tracing::warn!(
                "aborted requests that did not finish within WAYBILL_SHUTDOWN_TIMEOUT_MS"
            )
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The maximum number of connections from clients: the setting, or fewer if the process may not open as many files.
fn connection_limit(config: &Config) -> usize {
    /// Standard streams, the listener, and what the runtime and libraries open.
    const OTHER_FILES: u64 = 24;
    /// An SQLite connection has the database and its write-ahead log open.
    const FILES_PER_DATABASE_CONNECTION: u64 = 2;
    /// With fewer files the service starts all the same, and may run out of them.
    const MINIMUM: u64 = 16;

    let setting = config.http_connection_limit;
    let reserved =
        OTHER_FILES + FILES_PER_DATABASE_CONNECTION * u64::from(config.database_pool_size);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let available = files.saturating_sub(reserved).max(MINIMUM);
    if available < u64::from(setting) {
        tracing::warn!(
            limit = available,
            files,
            "lowered WAYBILL_HTTP_CONNECTION_LIMIT, because the process may not open more files; raise `ulimit -n`"
        );
    }
    available.min(setting.into()) as usize
}

/// The signals that request a shutdown. Each command creates them first, because the kernel drops signals for which
/// process 1 of a container has no handler.
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
