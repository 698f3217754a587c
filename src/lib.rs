//! Waybill, a ledger of deployments.
//!
//! [http] and [store] both depend on [domain], which depends on neither. Only [store] uses diesel, and only [http] uses
//! axum. [app] connects them.

#[cfg(not(any(debug_assertions, feature = "postgres")))]
compile_error!("a release must support PostgreSQL; build it with `--features postgres`");

/// The hash of the library's source, which the Dockerfile sets. Cargo compiles the library again when it changes, whatever
/// the times of the files are.
const _: Option<&str> = option_env!("WAYBILL_SOURCE_HASH");

pub mod app;
pub mod build;
pub mod config;
pub mod domain;
pub mod healthcheck;
pub mod http;
pub mod logging;
pub mod store;
