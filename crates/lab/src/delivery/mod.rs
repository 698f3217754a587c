//! Deliveries: a commit's way to an environment, and what the environment runs.

pub mod environment;
pub mod record;
pub mod rollout;
pub mod ship;
