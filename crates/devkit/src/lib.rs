//! What both tools use: the pipeline (`cargo pipeline`) and the lab (`cargo lab`) depend on this crate and never on
//! each other.

pub mod cache;
pub mod delivery;
pub mod env;
pub mod forge;
pub mod git;
pub mod http;
pub mod log;
pub mod output;
pub mod process;
pub mod progress;
pub mod reference;
pub mod text;
pub mod tools;
pub mod units;
pub mod values;
pub mod yaml;
