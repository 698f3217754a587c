//! `cargo pipeline coverage` and `comment`, with a fake cargo and a fake forge.

mod comment;
#[path = "../common/mod.rs"]
mod common;
mod forge;
#[path = "../common/http.rs"]
mod http;
mod measure;
mod project;
