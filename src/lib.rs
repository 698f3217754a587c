//! Waybill, a ledger of deployments.
//!
//! [http] and [store] both depend on [domain], which depends on neither. Only [store] uses diesel, and only [http] uses
//! axum. [app] connects them.

pub mod app;
pub mod build;
pub mod config;
pub mod domain;
pub mod healthcheck;
pub mod http;
pub mod logging;
pub mod store;
