//! Builds the image of a commit, scans it, and lists its components.

mod builder;
pub(crate) mod image;
mod index;
pub(crate) mod layout;
mod revision;
mod sbom;
pub(crate) mod scan;
