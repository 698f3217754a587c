//! Publishes and signs images, and delivers them to the environments.

mod cosign;
pub(crate) mod deploy;
mod environment;
pub(crate) mod plan;
pub(crate) mod promote;
mod provenance;
pub(crate) mod publish;
mod reference;
mod registry;
pub(crate) mod release;
mod remote;
pub(crate) mod required;
pub(crate) mod sign;
pub(crate) mod tags;
pub(crate) mod verify;
