//! Argo CD: its installation, its API and its Applications.

pub mod api;
pub mod application;
pub mod install;
