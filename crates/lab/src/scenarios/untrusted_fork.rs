//! C11, C13. A fork's author can change the workflow in any way. It runs, but finds no secret and no credentials to publish
//! with, and its token can only read.

use std::fs;

use anyhow::{Context, Result, ensure};
use devkit::forge::NewPull;
use devkit::git::short;
use devkit::{markdown, plain};
use serde::de::IgnoredAny;
use serde_json::json;

use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun};
use crate::forge::{PERSON, url};

/// An attacker's workflow. It succeeds if it finds nothing.
const ATTACK: &str = "name: ci
on: pull_request
jobs:
  required:
    runs-on: ubuntu-24.04
    permissions: write-all
    steps:
      - env:
          FOUND: ${{ secrets.DELIVERY_BOT_TOKEN }}${{ secrets.REGISTRY_TOKEN }}${{ secrets.COSIGN_PRIVATE_KEY }}${{ secrets.COSIGN_PASSWORD }}
        run: test -z \"$FOUND\"
      - env:
          TOKEN: ${{ github.token }}
        run: |
          expect() {
            code=$(curl --silent --output /dev/null --write-out '%{http_code}' --header \"Authorization: Bearer $TOKEN\" \"${@:2}\")
            echo \"${*:2}: $code\"
            test \"$code\" = \"$1\"
          }
          here=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY
          expect 200 \"$here\"
          expect 403 \"$here/statuses/$GITHUB_SHA\" --json '{\"context\": \"mine\", \"state\": \"success\"}'
          expect 403 \"$here/branches\" --json '{\"new_branch_name\": \"mine\"}'
";

pub(super) fn run(world: &World) -> Result<()> {
    // Given a fork with a workflow that looks for secrets,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let fork = format!("{PERSON}/{}", world.delivery.name);
    let found: Option<IgnoredAny> = forge.api().find(&format!("/repos/{fork}"))?;
    if found.is_none() {
        forge.execute("POST", "/forks", &json!({}))?;
    }
    let clone = world.clone("fork", world.trunk())?;
    fs::write(clone.join(".github/workflows/ci.yaml"), ATTACK).context("cannot write ci.yaml")?;
    let title = "Look for secrets";
    let commit = world.commit(&clone, title)?;
    // A new branch each time, so that an earlier failure does not matter.
    let branch = format!("attack-{}", short(&commit));
    let reference = format!("refs/heads/{branch}");
    let git = forge.git(&clone);
    git.push_with(&["--force"], &url(&fork), &commit, &reference)?;

    // When its pull request is opened,
    let pull = forge.create_pull(&NewPull {
        head: &format!("{PERSON}:{branch}"),
        base: world.trunk(),
        title: &plain!("{}", title),
        body: &markdown!(""),
    })?;

    // Then its run finds nothing, and changes nothing.
    WorkflowRun::wait(forge, &PULL_REQUEST, &commit, CI_LIMIT)?;
    ensure!(
        forge.image_tags()? == tags,
        "the fork changed the registry's tags"
    );
    ensure!(forge.tip("mine")?.is_none(), "the fork created a branch");
    forge.close_pull(pull.number)?;
    Ok(())
}
