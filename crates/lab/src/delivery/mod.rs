//! How a commit is delivered: pull requests, workflow runs, and the environments that run the result.

pub mod environment;
pub mod ship;
