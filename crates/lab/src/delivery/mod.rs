//! Deliveries: a commit's way to an environment, and what the environment runs.

pub mod branches;
pub mod environment;
pub mod record;
pub mod rollout;
pub mod ship;
