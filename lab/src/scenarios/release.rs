//! C12, C21. What dev runs is promoted to staging by a pull request, which nobody can merge without somebody else's
//! approval. A version tag there gives the same digest its names, and the forge a release that says how to check it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::World;
use crate::ci::{PULL_REQUEST, Run, release};
use crate::command::Run as _;
use crate::environment::{ImageValues, short};
use crate::forge::random;
use crate::ship::{self, CI_LIMIT};

const VALUES: &str = "charts/waybill/values-staging.yaml";

pub(super) fn run(world: &World) -> Result<()> {
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let clone = world.clone("release", "staging")?;
    let image = ImageValues::read(forge, "dev", "develop")?;
    let (number, merged) = promote(world, &clone)?;

    // When a commit that never was on staging gets a version tag,
    let stray = format!("v0.0.0-stray.{number}");
    let commit = tag(world, &clone, &stray, "origin/develop")?;

    // Then nothing is released.
    let log = Run::wait_red(forge, release(&stray), &commit, "release", CI_LIMIT)?;
    ensure!(
        log.contains("is not on staging"),
        "no reason is given:\n{log}"
    );
    ensure!(
        forge.image_tags()? == tags,
        "{stray} changed the registry's tags"
    );

    // When the merge gets one, of a preview,
    let version = format!("v0.0.0-rc.{number}");
    tag(world, &clone, &version, &merged)?;

    // Then the image has exactly two names more, of which none is `latest`,
    Run::wait(forge, release(&version), &merged, CI_LIMIT).context(
        "an image that was delivered before the lab had scanners has no bill of materials; \
         `cargo lab test deploy release` delivers another first",
    )?;
    let mut expected = tags;
    expected.extend([version.clone(), format!("sha-{}", short(&merged))]);
    let now = forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");

    // And the forge says what it is and how to check it.
    let found = forge.repository("GET", &format!("/releases/tags/{version}"), None)?;
    explained(&found, &image.digest)
}

/// The number of the pull request that brings dev's image to staging, and its merge commit.
fn promote(world: &World, clone: &Path) -> Result<(i64, String)> {
    // Given a pull request that gives staging the image of dev,
    let forge = &world.forge;
    let git = |args: &[&str]| forge.git(clone).args(args).read();
    let values = git(&["show", "origin/develop:charts/waybill/values-dev.yaml"])?;
    // Never the same file twice: an earlier run may have promoted this image already.
    let values = format!("# {}\n{values}", random()?);
    fs::write(clone.join(VALUES), values).with_context(|| format!("could not write {VALUES}"))?;
    git(&["add", VALUES])?;
    world.commit(clone, "staging: Run what dev runs")?;
    let title = "Run in staging what dev runs";
    let pull = ship::propose(forge, clone, "staging", "release", title)?;
    Run::wait(forge, PULL_REQUEST, &pull.commit, CI_LIMIT)?;

    // When nobody has approved it, then nobody can merge it, administrators included.
    let merge = format!("/pulls/{}/merge", pull.number);
    let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
    ensure!(merged.is_err(), "it was merged without an approval");

    // When somebody else does, then it is merged.
    let review = forge.review(&world.layout, "reviewer", pull.number);
    review.context("the reviewer could not approve")?;
    Ok((pull.number, ship::accept(forge, "staging", pull.number)?))
}

/// Pushes a tag for a commit of the clone, and says which commit that is.
fn tag(world: &World, clone: &Path, name: &str, commit: &str) -> Result<String> {
    let git = |args: &[&str]| world.forge.git(clone).args(args).read();
    git(&["fetch", "--quiet", "origin"])?;
    let commit = git(&["rev-parse", commit])?.trim().to_owned();
    git(&[
        "push",
        "--quiet",
        "origin",
        &format!("{commit}:refs/tags/{name}"),
    ])?;
    Ok(commit)
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
