//! Deployments and their rules. This module depends on neither HTTP nor a database.

mod deployment;
mod query;
mod status;
mod text;

pub use deployment::{Change, Deployment, NewDeployment, Refusal};
pub use query::{Limit, Page, Query};
pub use status::{InitialStatus, Status};
pub use text::{Actor, Commit, IdempotencyKey, ImageDigest, Invalid, Name, Version};
