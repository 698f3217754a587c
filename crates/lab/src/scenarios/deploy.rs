//! T1, C12. A code change is merged to dev's branch. CI builds the image, pushes exactly the expected tags and writes the
//! digest back; Argo CD deploys it, and the new version is served within 8 minutes of the push.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::forge::Conclusion;
use serde::Deserialize;

use super::world::World;
use crate::delivery::ship::{self, CI_LIMIT};
use crate::forge::runs::{WorkflowRun, push};
use crate::timeline::Recorder;

/// The limit that the requirement sets, in seconds.
const BUDGET: f64 = 8.0 * 60.0;

const CODE: &str = "src/http/probes.rs";
const TEST: &str = "tests/api/ready.rs";
const CHANGES: &str = "CHANGELOG.md";

pub(super) fn run(world: &World) -> Result<()> {
    // Given the service in dev answers /health with some word,
    let dev = world.dev();
    let before = health(
        &dev.get("/health")
            .context("the service in dev does not answer")?,
    )?;
    let clone = world.clone("deploy", world.trunk())?;
    // Both words have the same length, so that the code stays formatted.
    let after = if before == "ok" { "up" } else { "ok" };

    // When a pull request changes the word, its test and the changelog, and is merged,
    let code = |word: &str| format!("Health {{ status: \"{word}\" }}");
    world.edit(&clone, CODE, &code(&before), &code(after))?;
    let test = fs::read_to_string(clone.join(TEST))?;
    ensure!(test.contains("/health"), "{TEST} does not test /health");
    let asserted = |word: &str| format!("\"status\": \"{word}\"");
    world.edit(&clone, TEST, &asserted(&before), &asserted(after))?;
    add_version(world, &clone)?;
    world.commit(&clone, "http: Change the word of /health")?;
    let mut pull = Recorder::start();
    let tags = world.forge.image_tags()?;
    let title = "Change the word of /health";
    let merged = ship::merge(&world.forge, &clone, world.trunk(), title, &mut pull)?;

    // Then it is deployed to dev, which serves the new word.
    is_delivered(world, &merged, tags)?;
    let now = health(
        &dev.get("/health")
            .context("the service in dev does not answer")?,
    )?;
    ensure!(now == after, "/health answers {now:?}, not {after:?}");
    Ok(())
}

/// Follows a merge whose tree the checks of a pull request have tested. The pipeline must build it without testing it
/// again, add exactly the tags of dev to `tags`, and deploy it within the limit.
///
/// # Errors
/// When one of these is not so.
pub(super) fn is_delivered(world: &World, merged: &str, tags: BTreeSet<String>) -> Result<()> {
    let dev = world.dev();
    let mut recorder = Recorder::start();
    ship::follow(&world.forge, &dev, merged, &mut recorder, world.progress)?;
    let run = WorkflowRun::wait(&world.forge, &push(world.trunk()), merged, CI_LIMIT)?;
    for job in ["lint", "security", "unit", "integration"] {
        run.ensure_conclusion(job, Conclusion::Skipped)?;
    }
    let mut expected = tags;
    expected.extend(dev.entry.image_tags(merged));
    let now = world.forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");
    let timeline = recorder.finish();
    eprint!("{}", timeline.table());
    ensure!(
        timeline.seconds() <= BUDGET,
        "{:.0} s from push to serving; the limit is {BUDGET:.0} s",
        timeline.seconds()
    );
    Ok(())
}

/// Adds a version that is not tagged yet to the changelog of a clone.
///
/// # Errors
/// When the forge does not answer, or the changelog has no section for unreleased changes.
pub(super) fn add_version(world: &World, clone: &Path) -> Result<()> {
    let tags = world.forge.tags()?;
    let ours = tags
        .iter()
        .filter(|name| name.starts_with("v0.0.") && !name.contains('-'));
    let section = "## [Unreleased]\n";
    let notes = format!("{section}\n## [0.0.{}]\n", ours.count() + 1);
    world.edit(clone, CHANGES, section, &notes)
}

/// The service's answer to `/health`.
#[derive(Deserialize)]
struct Health {
    status: String,
}

fn health(answer: &str) -> Result<String> {
    let health: Health = serde_json::from_str(answer).context("/health has no status")?;
    Ok(health.status)
}
