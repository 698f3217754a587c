//! `cargo pipeline coverage` and `comment`, with a fake cargo and a fake forge.

mod comment;
#[path = "../common/mod.rs"]
mod common;
mod forge;
#[path = "../github/mod.rs"]
mod github;
#[path = "../../../devkit/src/test_server.rs"]
mod http;
mod measure;
mod project;
