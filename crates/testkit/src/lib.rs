//! What the tests of several crates use.
//!
//! It is a crate because cargo compiles a test again in every new checkout if the test includes a file of another
//! package.

#![forbid(unsafe_code)]

mod fuzz;
mod git;
pub mod github;
pub mod server;
mod template;

pub use fuzz::fuzz;
pub use git::{git, isolate_git};
pub use template::Template;

use std::path::PathBuf;

/// A `delivery.toml`, for the repositories that tests create.
pub const DELIVERY: &str = include_str!("delivery.toml");

/// The root of the project. Cargo runs a test in the folder of its package, two levels below.
///
/// # Panics
/// When there is no such folder.
#[must_use]
#[allow(clippy::expect_used, reason = "a test that cannot go on fails")]
pub fn root() -> PathBuf {
    std::fs::canonicalize("../..").expect("the project has a root")
}
