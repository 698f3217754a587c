//! The forge: Gitea with Actions, an image registry and a runner.

mod actions;
mod client;
mod log;
mod people;
pub mod pull_request;
mod repository;
mod runner;
pub mod runs;
mod server;

pub use client::{BOT, Forge, PERSON, url};

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::sandbox::credentials::Credentials;
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;

/// Starts the forge and sets it up: users, repository, secrets, actions and runner.
///
/// # Errors
/// When a part cannot be started or set up.
pub fn start(layout: &Layout, host: &Host, checkout: &Path) -> Result<()> {
    let credentials = Credentials::ensure(layout)?;
    server::start(layout, host, &credentials)?;
    let ready = layout.state("forge/ready");
    let is_new = !ready.exists();
    if is_new {
        people::create_users(host, &credentials)?;
    }
    let forge = Forge::new(layout)?;
    actions::publish(&forge, layout, checkout)?;
    if is_new {
        repository::set_up(&forge, layout, host)?;
        fs::write(ready, "")?;
    }
    people::create_maintainers(&forge)?;
    runner::start(layout, host)
}
