//! Publishes an image, signs it, and brings it to the environments.

pub(crate) mod deploy;
mod environment;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod publish;
mod reference;
mod registry;
pub(crate) mod release;
pub(crate) mod sign;
pub(crate) mod tags;
