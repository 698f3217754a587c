//! Builds the image of a commit, and looks into what was built.

mod builder;
pub(crate) mod image;
pub(crate) mod scan;
