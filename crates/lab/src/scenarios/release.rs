//! C12. A version tag on staging gives the image there its names, and the forge a release that says how to check it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::World;
use crate::command::Run as _;
use crate::delivery::environment::{ImageValues, short};
use crate::delivery::ship::CI_LIMIT;
use crate::forge::random;
use crate::forge::runs::{Run, release};

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has an image,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let image = ImageValues::read(forge, "staging", "staging")?;
    ensure!(
        !image.is_none(),
        "staging has no image; `cargo lab test promotion release` gives it one first"
    );
    let clone = world.clone("release", "staging")?;
    let commit = forge.head(&clone)?;
    let number = &random()?[..8];

    // When a commit that never was on staging gets a version tag,
    let git = |args: &[&str]| forge.git(&clone).args(args).read();
    git(&["commit", "--quiet", "--allow-empty", "--message", "Stray"])?;
    let stray = format!("v0.0.0-stray.x{number}");
    let elsewhere = tag(world, &clone, &stray)?;

    // Then nothing is released.
    let log = Run::wait_red(forge, release(&stray), &elsewhere, "release", CI_LIMIT)?;
    ensure!(
        log.contains("is not on staging"),
        "no reason is given:\n{log}"
    );
    ensure!(
        forge.image_tags()? == tags,
        "{stray} changed the registry's tags"
    );

    // When staging's own commit gets one, of a preview,
    git(&["reset", "--quiet", "--hard", &commit])?;
    let version = format!("v0.0.0-rc.x{number}");
    tag(world, &clone, &version)?;

    // Then the image has exactly two names more, of which none is `latest`,
    Run::wait(forge, release(&version), &commit, CI_LIMIT).context(
        "an image that was delivered before the lab had scanners has no bill of materials; \
         `cargo lab test deploy promotion release` delivers another first",
    )?;
    let mut expected = tags;
    expected.extend([version.clone(), format!("sha-{}", short(&commit))]);
    let now = forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");

    // And the forge says what it is and how to check it.
    let found = forge.repository("GET", &format!("/releases/tags/{version}"), None)?;
    explained(&found, &image.digest)
}

/// Pushes a tag for the commit that is checked out, and says which one that is.
pub(super) fn tag(world: &World, clone: &Path, name: &str) -> Result<String> {
    let reference = format!("HEAD:refs/tags/{name}");
    let mut git = world.forge.git(clone);
    git.args(["push", "--quiet", "origin", &reference]).run()?;
    world.forge.head(clone)
}

fn explained(found: &Value, digest: &str) -> Result<()> {
    ensure!(found["prerelease"] == true, "it is no preview: {found}");
    let notes = found["body"].as_str().unwrap_or_default();
    for text in [digest, "cosign verify", "sbom.cdx.json"] {
        ensure!(notes.contains(text), "the notes lack {text:?}:\n{notes}");
    }
    let assets = found["assets"].as_array().into_iter().flatten();
    let names: BTreeSet<&str> = assets.filter_map(|asset| asset["name"].as_str()).collect();
    let expected = BTreeSet::from(["SHA256SUMS", "sbom.cdx.json"]);
    ensure!(names == expected, "the release has the files {names:?}");
    Ok(())
}
