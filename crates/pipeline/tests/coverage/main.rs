//! `cargo pipeline coverage` and `comment`, with a fake cargo and a fake forge.

mod comment;
#[path = "../common/mod.rs"]
mod common;
mod forge;
mod measure;
mod project;

use testkit::server as http;
