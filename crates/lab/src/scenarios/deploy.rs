//! T1, C12. A code change is merged to `develop`; CI builds the image, gives it its tags and no other, and writes its
//! digest back; Argo CD sees that; the new version serves. Within the user's 8 minutes from the push.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::World;
use crate::delivery::environment::short;
use crate::delivery::ship;
use crate::timeline::{Clock, Journey};

/// The user's bound, in seconds.
const BUDGET: f64 = 8.0 * 60.0;

const CODE: &str = "src/http/probes.rs";
const TEST: &str = "tests/api/ready.rs";
const CHANGES: &str = "CHANGELOG.md";

pub(super) fn run(world: &World) -> Result<()> {
    // Given dev serves, and answers /health in some words,
    let dev = world.dev();
    let before = health(&dev.get("/health").context("dev does not serve")?)?;
    let mut tags = world.forge.image_tags()?;
    let clone = world.clone("deploy", "develop")?;
    // As long as the other, so that the code stays formatted.
    let after = if before == "ok" { "up" } else { "ok" };

    // When a pull request changes the words, with their test and a version's notes, and is merged,
    let code = |word: &str| format!("Condition {{ status: \"{word}\" }}");
    world.edit(&clone, CODE, &code(&before), &code(after))?;
    let test = fs::read_to_string(clone.join(TEST))?;
    ensure!(test.contains("/health"), "{TEST} does not test /health");
    let asserted = |word: &str| format!("\"status\": \"{word}\"");
    world.edit(&clone, TEST, &asserted(&before), &asserted(after))?;
    let version = version(world)?;
    let section = "## [Unreleased]\n";
    let notes = format!("{section}\n## [{version}]\n");
    world.edit(&clone, CHANGES, section, &notes)?;
    world.commit(&clone, "http: Say it in another word")?;
    let mut pull = Clock::start();
    let merged = ship::merge(
        &world.forge,
        &clone,
        "develop",
        "Say it in another word",
        &mut pull,
    )?;

    // Then the pipeline carries it to dev, where the new words are served.
    let mut clock = Clock::start();
    ship::follow(&world.forge, &dev, &merged, &mut clock, world.progress)?;
    let now = health(&dev.get("/health").context("dev does not serve")?)?;
    ensure!(now == after, "/health answers {now:?}, not {after:?}");
    let commit = short(&merged);
    tags.extend([
        "develop".to_owned(),
        format!("develop-{commit}"),
        format!("sha-{commit}"),
    ]);
    let published = world.forge.image_tags()?;
    ensure!(
        published == tags,
        "the tags are {published:?}, not {tags:?}"
    );
    let journey = Journey {
        commit: merged.clone(),
        built_commit: merged,
        url: String::new(),
        hops: clock.hops(),
    };
    eprint!("{}", journey.table());
    ensure!(
        journey.seconds() <= BUDGET,
        "{:.0} s from push to serving; the budget is {BUDGET:.0} s",
        journey.seconds()
    );
    Ok(())
}

/// One that nobody has released yet.
fn version(world: &World) -> Result<String> {
    let tags = world.forge.repository("GET", "/tags?limit=50", None)?;
    let tags = tags.as_array().into_iter().flatten();
    let ours = |tag: &&Value| {
        let name = tag["name"].as_str().unwrap_or_default();
        name.starts_with("v0.0.") && !name.contains('-')
    };
    Ok(format!("0.0.{}", tags.filter(ours).count() + 1))
}

fn health(answer: &str) -> Result<String> {
    let answer: Value = serde_json::from_str(answer)?;
    answer["status"]
        .as_str()
        .map(str::to_owned)
        .context("/health has no status")
}
