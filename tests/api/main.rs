//! Black-box tests: they start the program and speak HTTP to it, on SQLite and on PostgreSQL.
//!
//! A file is named after the path, or the mode of the program, that it tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how tests report"
)]

mod deployments;
mod metrics;
mod modes;
mod openapi;
mod problems;
mod ready;
mod shutdown;
mod support;
mod tls;
mod version;
