//! C11, C13. A fork's author can change the workflow in any way. It runs, but finds no secret and no credentials to publish
//! with, and its token can only read.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use serde_json::json;

use super::world::World;
use crate::commit::short;
use crate::forge::api::PERSON;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun};
use crate::sandbox::network::FORGE;

/// An attacker's workflow. It succeeds if it finds nothing.
const ATTACK: &str = "name: ci
on: pull_request
jobs:
  required:
    runs-on: ubuntu-latest
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
    if forge
        .request("GET", &format!("/repos/{PERSON}/waybill"), None)
        .is_err()
    {
        forge.repository("POST", "/forks", Some(&json!({})))?;
    }
    let clone = world.clone("fork", "develop")?;
    fs::write(clone.join(".github/workflows/ci.yaml"), ATTACK).context("cannot write ci.yaml")?;
    world.commit(&clone, "Look for secrets")?;
    let commit = forge.head(&clone)?;
    // A new branch each time, so that an earlier failure does not matter.
    let branch = format!("attack-{}", short(&commit));
    forge
        .git(&clone)
        .args(["push", "--quiet", "--force"])
        .arg(format!("https://{FORGE}/{PERSON}/waybill.git"))
        .arg(format!("HEAD:refs/heads/{branch}"))
        .run_quietly()?;

    // When its pull request is opened,
    let pull = forge.repository(
        "POST",
        "/pulls",
        Some(&json!({"head": format!("{PERSON}:{branch}"), "base": "develop", "title": "Look for secrets"})),
    )?;
    let number = pull["number"]
        .as_i64()
        .context("the pull request has no number")?;

    // Then its run finds nothing, and changes nothing.
    WorkflowRun::wait(forge, PULL_REQUEST, &commit, Duration::from_secs(300))?;
    ensure!(
        forge.image_tags()? == tags,
        "the fork changed the registry's tags"
    );
    ensure!(forge.tip("mine")?.is_none(), "the fork created a branch");
    let close = json!({"state": "closed"});
    forge.repository("PATCH", &format!("/pulls/{number}"), Some(&close))?;
    Ok(())
}
