//! The metrics of the service and the route `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Api;
use super::problem::Problem;
use crate::build::{Build, VERSION};
use crate::logging;
use crate::store::PoolState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    state: &'static str,
}

/// The metrics of the service.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    http_connections: Gauge,
    connections: Family<PoolLabels, Gauge<u64, AtomicU64>>,
    max_connections: Gauge<u64, AtomicU64>,
    dropped_lines: Counter,
}

impl Metrics {
    pub(super) fn new(build: Build) -> Self {
        let mut registry = Registry::with_prefix("waybill");
        registry.register(
            "build",
            "The source that the service was built from",
            Info::new([
                ("version", VERSION),
                ("commit", build.commit),
                ("built_at", build.built_at),
            ]),
        );

        let http = registry.sub_registry_with_prefix("http");
        let requests = Family::default();
        http.register("requests", "Number of answered requests", requests.clone());
        // The buckets range from 1 ms to 8 s.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let duration = Family::new_with_constructor(buckets);
        http.register_with_unit(
            "request_duration",
            "Time from receiving a request to answering it",
            Unit::Seconds,
            duration.clone(),
        );
        let in_flight = Gauge::default();
        http.register(
            "requests_in_flight",
            "Number of requests in progress",
            in_flight.clone(),
        );

        let http_connections = Gauge::default();
        http.register(
            "connections",
            "Number of open connections from clients",
            http_connections.clone(),
        );

        let database = registry.sub_registry_with_prefix("database");
        let connections = Family::default();
        database.register(
            "connections",
            "Number of database connections by state",
            connections.clone(),
        );
        let max_connections = Gauge::default();
        database.register(
            "connections_max",
            "Maximum number of database connections",
            max_connections.clone(),
        );

        let dropped_lines = Counter::default();
        registry.sub_registry_with_prefix("log").register(
            "lines_dropped",
            "Number of log lines that were dropped because standard output did not accept them",
            dropped_lines.clone(),
        );

        Self {
            registry,
            requests,
            duration,
            in_flight,
            http_connections,
            connections,
            max_connections,
            dropped_lines,
        }
    }

    /// Counts a request as in progress until the result is dropped. This also happens if the client disconnects.
    pub(super) fn request_begins(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    /// Counts a connection as open until the result is dropped.
    pub(super) fn connection_opens(&self) -> Counted {
        Counted::new(&self.http_connections)
    }

    pub(super) fn request_ends(
        &self,
        method: &'static str,
        route: &str,
        status: u16,
        duration: Duration,
    ) {
        let route = route.to_owned();
        self.duration
            .get_or_create(&RouteLabels {
                method,
                route: route.clone(),
            })
            .observe(duration.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels {
                method,
                route,
                status,
            })
            .inc();
    }

    fn encode(&self, pool: PoolState) -> Result<String, std::fmt::Error> {
        for (state, count) in [("busy", pool.busy), ("idle", pool.idle)] {
            self.connections
                .get_or_create(&PoolLabels { state })
                .set(count.into());
        }
        self.max_connections.set(pool.max.into());
        self.dropped_lines
            .inner()
            .store(logging::dropped_lines(), Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Something that a gauge counts until this is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Read the metrics of the service.
///
/// The format is OpenMetrics text, which Prometheus reads.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "platform",
    operation_id = "readMetrics",
    responses(
        (status = OK, body = String, content_type = "application/openmetrics-text", description = "The metrics."),
        (
            status = INTERNAL_SERVER_ERROR,
            body = Problem,
            content_type = "application/problem+json",
            description = "The metrics could not be written.",
        ),
    ),
)]
pub(super) async fn scrape(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, Problem> {
    let text = api
        .metrics
        .encode(api.store.pool_state())
        .map_err(|error| {
            tracing::error!(%error, "failed to write the metrics");
            Problem::internal()
        })?;
    Ok((
        [(
            CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    ))
}
