//! Checks the code, its tests, its dependencies and its configuration.

mod clippy;
pub(crate) mod coverage;
mod identity;
pub(crate) mod lint;
mod policy;
pub(crate) mod quality;
pub(crate) mod schemas;
mod scope;
pub(crate) mod security;
pub(crate) mod test;
pub(crate) mod thresholds;
