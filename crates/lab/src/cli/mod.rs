//! The commands of `cargo lab`.

pub mod up;
