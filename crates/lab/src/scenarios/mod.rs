//! The conformance scenarios: one file for each, written as given, when, then. They assert the limits of time that the
//! requirements set, and only print other durations.

mod broken_image;
mod budget;
mod clean_teardown;
mod config;
mod database;
mod deploy;
mod drift;
mod egress;
mod environments;
mod feature;
mod feature_branch;
mod feature_to_production;
mod git_rollback;
mod isolation;
mod manifests;
mod migration;
mod monitoring;
pub mod needs;
mod no_retrigger;
mod own_release;
mod production;
mod promotion;
mod protection;
mod pull_request;
mod quorum;
pub mod registry;
mod release;
mod resource_tree;
mod rollback;
mod steps;
mod sync_rights;
mod traffic;
mod untested_merge;
mod untrusted_fork;
mod workflow_parity;
pub mod world;
