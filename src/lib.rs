//! The deployment ledger.
//!
//! `http` → `domain` ← `store`: the [domain] knows neither HTTP nor databases, only [store] knows diesel, only [http]
//! knows axum, and [app] wires them together.

pub mod app;
pub mod build;
pub mod config;
pub mod domain;
pub mod healthcheck;
pub mod http;
pub mod logging;
pub mod store;
