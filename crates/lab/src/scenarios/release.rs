//! C12. A prerelease's tag on staging tags the image there, and creates a release that explains how to verify it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use devkit::process::Run;
use serde_json::Value;

use super::steps;
use super::world::World;
use crate::commit::short;
use crate::delivery::image_values::ImageValues;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{WorkflowRun, release};
use crate::sandbox::credentials::random;

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has an image,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let image = ImageValues::read(forge, "staging", "staging")?;
    let clone = world.clone("release", "staging")?;
    let commit = forge.head(&clone)?;
    let number = &random()?[..8];

    // When a commit that was never on staging gets a version tag,
    let git = |args: &[&str]| forge.git(&clone).args(args).read();
    git(&["commit", "--quiet", "--allow-empty", "--message", "Stray"])?;
    let stray = format!("v0.0.0-stray.x{number}");
    let elsewhere = steps::push_tag(world, &clone, &stray)?;

    // Then nothing is released.
    let log =
        WorkflowRun::wait_failed_job(forge, release(&stray), &elsewhere, "release", CI_LIMIT)?;
    ensure!(
        log.contains("is not on staging"),
        "the log gives no reason:\n{log}"
    );
    ensure!(
        forge.image_tags()? == tags,
        "{stray} changed the registry's tags"
    );

    // When the tip of staging gets a prerelease's tag,
    git(&["reset", "--quiet", "--hard", &commit])?;
    let version = format!("v0.0.0-rc.x{number}");
    steps::push_tag(world, &clone, &version)?;

    // Then the image has exactly two more tags, and `latest` is not one of them,
    WorkflowRun::wait(forge, release(&version), &commit, CI_LIMIT)?;
    let mut expected = tags;
    expected.extend([version.clone(), format!("sha-{}", short(&commit))]);
    let now = forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");

    // And the release says what the image is and how to verify it.
    let found = forge.repository("GET", &format!("/releases/tags/{version}"), None)?;
    is_explained(&found, &image.digest)
}

fn is_explained(found: &Value, digest: &str) -> Result<()> {
    ensure!(
        found["prerelease"] == true,
        "it is not a prerelease: {found}"
    );
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
