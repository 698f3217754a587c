//! Black-box tests. They start the program and send HTTP requests to it, on SQLite and on PostgreSQL.
//!
//! Each file is named after the path, the subcommand or the subject that it tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests report failures by panicking"
)]

mod configuration;
mod connections;
mod database;
mod deployments;
mod fuzz;
mod log;
mod metrics;
mod modes;
mod openapi;
mod problems;
mod ready;
mod shutdown;
mod support;
mod tls;
mod version;
