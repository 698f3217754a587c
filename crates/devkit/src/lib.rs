//! What both tools use: the pipeline (`cargo pipeline`) and the lab (`cargo lab`) depend on this crate and never on
//! each other.

pub mod process;
