//! Deployments and their rules; no HTTP, no database.

mod deployment;
mod query;
mod status;
mod text;

pub use deployment::{Change, Deployment, NewDeployment, Refusal};
pub use query::{Limit, Page, Query};
pub use status::Status;
pub use text::{Actor, Commit, IdempotencyKey, ImageDigest, Invalid, Name, Version};
