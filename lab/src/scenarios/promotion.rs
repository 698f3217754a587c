//! T4, C22, G4, B4. What dev runs goes to staging: the bot proposes it, somebody approves it, somebody syncs it. Each is
//! needed, and what serves there in the end is dev's digest, as two pods on PostgreSQL.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::World;
use crate::argocd::ArgoCd;
use crate::ci::{PULL_REQUEST, Run, dispatch};
use crate::environment::{Deployed, ImageValues, short};
use crate::forge::BOT;
use crate::ship::{self, CI_LIMIT};

const WORKFLOW: &str = "promote.yaml";
const BRANCH: &str = "promote/staging";
const SYNC_LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(world: &World) -> Result<()> {
    promote(world)?;
    let staging = world.environment("staging");
    let ready = staging.ready_pods()?;
    ensure!(ready == 2, "{ready} pods are ready in staging, not 2");
    Ok(())
}

/// Carries dev's image to staging, and looks at each step that nothing happens without the next. Returns what is
/// deployed then.
pub(super) fn promote(world: &World) -> Result<Deployed> {
    // Given dev serves an image,
    let forge = &world.forge;
    let staging = world.environment("staging");
    let image = ImageValues::read(forge, "dev", "develop")?;
    let commit = world.dev().serving().context("dev does not serve")?;
    let before = staging.serving();

    // When somebody asks for its promotion, then the bot proposes exactly that digest.
    let pull = propose(world)?;
    let number = pull["number"].as_i64().context("it has no number")?;
    ensure!(pull["user"]["login"] == BOT, "it is not the bot's: {pull}");
    let head = pull["head"]["sha"].as_str().context("it has no commit")?;
    let proposed = ImageValues::read(forge, "staging", head)?.digest;
    ensure!(
        proposed == image.digest,
        "{proposed} is proposed, and dev runs {}",
        image.digest
    );
    let run = Run::wait(forge, PULL_REQUEST, head, CI_LIMIT)?;
    // Its code was tested on develop, and its image built.
    for job in ["unit", "integration", "image"] {
        run.ensure(job, "skipped")?;
    }

    // When nobody has approved it, then nobody merges it, administrators included;
    let merge = format!("/pulls/{number}/merge");
    let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
    ensure!(merged.is_err(), "it was merged without an approval");
    // when somebody else has, it is merged.
    forge.review(&world.layout, "reviewer", number)?;
    let revision = ship::accept(forge, "staging", number)?;

    // Then Argo CD sees it, and waits.
    staging.wait_compared(&revision, "OutOfSync", SYNC_LIMIT)?;
    let now = staging.serving();
    ensure!(now == before, "staging went to {now:?} without a sync");

    // When a person syncs, then staging serves what dev serves.
    ArgoCd::new(&world.kubernetes)?.sync("waybill-staging")?;
    let expected = Deployed {
        revision,
        digest: image.digest,
        commit,
    };
    staging.wait_deployed(&expected, SYNC_LIMIT)?;
    Ok(expected)
}

/// Asks for the workflow, and returns the pull request that it opens.
fn propose(world: &World) -> Result<Value> {
    let forge = &world.forge;
    let tip = forge.tip("develop")?.context("there is no develop")?;
    forge.repository(
        "POST",
        &format!("/actions/workflows/{WORKFLOW}/dispatches"),
        Some(&json!({"ref": "develop"})),
    )?;
    Run::wait(forge, dispatch(WORKFLOW), &tip, CI_LIMIT)?;
    open_pull(world, "staging", BRANCH)?.with_context(|| {
        format!(
            "nothing is proposed: staging may have {} already; `cargo lab test deploy promotion` delivers another commit first",
            short(&tip)
        )
    })
}

/// The open pull request of a branch to another.
pub(super) fn open_pull(world: &World, base: &str, head: &str) -> Result<Option<Value>> {
    let path = format!("/pulls?state=open&base_branch={base}&limit=50");
    let pulls = world.forge.repository("GET", &path, None)?;
    let mut pulls = pulls.as_array().into_iter().flatten();
    Ok(pulls.find(|pull| pull["head"]["ref"] == head).cloned())
}
