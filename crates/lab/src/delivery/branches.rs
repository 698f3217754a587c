//! The branches of the environments in the forge.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::delivery::{Delivery, Environment};
use devkit::forge::RepositoryEdit;
use jiff::Timestamp;
use serde::Deserialize;

use crate::expect::{Verdict, eventually};
use crate::forge::Forge;
use crate::sandbox::layout::Layout;

/// The file in a new lab's state with the time of the first push.
const PUSHED: &str = "pushed";

/// When [`push_first`] pushed to the first environment's branch; `None` if it did not.
pub fn first_push_time(layout: &Layout) -> Option<Timestamp> {
    let text = fs::read_to_string(layout.state(PUSHED)).ok()?;
    text.parse().ok()
}

/// Pushes the checkout's HEAD to all branches of a new lab, so that CI begins while the cluster starts.
///
/// # Errors
/// When the forge does not take a push or does not process it.
pub fn push_first(layout: &Layout, checkout: &Path) -> Result<()> {
    let forge = Forge::new(layout)?;
    let delivery = layout.delivery()?;
    let first = delivery.first();
    if forge.tip(&first.branch)?.is_some() {
        return Ok(());
    }
    // Actions are off until the first environment's branch is pushed, the one that is built: a run for each branch would
    // only compete for the machine's cores. The forge accepts a push first and processes it later. Only then it looks
    // whether Actions are on.
    create(&forge, &delivery, checkout)?;
    let others = &delivery.environments()[1..];
    eventually(
        "the forge has processed the pushes of all branches",
        Duration::from_secs(30),
        || {
            let feed: Vec<Activity> = forge.get("/activities/feeds?limit=50")?;
            let is_seen = |env: &&Environment| {
                let is_push = |entry: &Activity| {
                    entry.op_type == "commit_repo" && entry.ref_name == env.reference()
                };
                feed.iter().any(is_push)
            };
            Ok(match others.iter().find(|env| !is_seen(env)) {
                None => Verdict::Met(()),
                Some(env) => Verdict::Pending(format!("{} is missing", env.branch)),
            })
        },
    )?;
    forge.edit_repository(&RepositoryEdit {
        has_actions: Some(true),
        ..RepositoryEdit::default()
    })?;
    fs::write(layout.state(PUSHED), Timestamp::now().to_string())
        .context("cannot write the time of the push")?;
    push_head(&forge, checkout, first)
}

fn push_head(forge: &Forge, checkout: &Path, env: &Environment) -> Result<()> {
    let git = forge.git(checkout);
    Ok(git.push(&forge.url(), "HEAD", &env.reference())?)
}

/// An entry of Gitea's feed of what happened in a repository.
#[derive(Deserialize)]
struct Activity {
    op_type: String,
    ref_name: String,
}

/// Pushes HEAD to the branches that do not exist yet, except the first environment's. Returns whether one was missing.
/// Branch protection is set up afterwards.
///
/// # Errors
/// When the forge does not take a push.
pub fn create(forge: &Forge, delivery: &Delivery, checkout: &Path) -> Result<bool> {
    let mut created = false;
    for env in &delivery.environments()[1..] {
        if forge.tip(&env.branch)?.is_none() {
            push_head(forge, checkout, env)?;
            created = true;
        }
    }
    Ok(created)
}
