//! Publishes and signs images, and delivers them to the environments.

mod branch;
mod change;
mod cosign;
pub(crate) mod deploy;
mod gate;
mod health;
pub(crate) mod hold;
mod moving_tag;
pub(crate) mod plan;
pub(crate) mod promote;
mod proposal;
mod provenance;
pub(crate) mod publish;
mod registry;
pub(crate) mod release;
pub(crate) mod release_hold;
mod remote;
pub(crate) mod required;
pub(crate) mod rescan;
pub(crate) mod rollback;
pub(crate) mod sign;
mod signing;
pub(crate) mod tags;
mod values_file;
mod verification;
pub(crate) mod verify;
mod version;
