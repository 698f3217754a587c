//! T4, C22, G4, B4. What dev runs goes to staging: the bot proposes it, somebody approves it, somebody syncs it. Each is
//! needed, and what serves there in the end is dev's digest, as two pods on PostgreSQL.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::World;
use crate::argocd::ArgoCd;
use crate::delivery::environment::{Deployed, Environment, ImageValues, short};
use crate::delivery::ship::{self, CI_LIMIT, SERVING_LIMIT};
use crate::forge::BOT;
use crate::forge::runs::{PULL_REQUEST, Run, dispatch};

const WORKFLOW: &str = "promote.yaml";
const BRANCH: &str = "promote/staging";
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
    let proposal = proposed(world, "staging", &pull, &image.digest)?;
    // Its code was tested on develop, and its image built.
    for job in ["unit", "integration", "image"] {
        proposal.run.ensure(job, "skipped")?;
    }

    let now = staging.serving();
    ensure!(now == before, "staging went to {now:?} by a proposal");

    // Then it is there with one approval and a sync, and not before.
    let number = proposal.number;
    carry(
        world,
        &staging,
        ("staging", number, &["reviewer"]),
        image.digest,
        commit,
    )
}

/// A pull request of the bot, whose checks have passed.
pub(super) struct Proposal {
    pub(super) number: i64,
    /// What it gives the environment.
    pub(super) image: ImageValues,
    run: Run,
}

/// Waits for the checks of the bot's pull request, which must propose exactly this digest.
pub(super) fn proposed(
    world: &World,
    environment: &str,
    pull: &Value,
    digest: &str,
) -> Result<Proposal> {
    ensure!(pull["user"]["login"] == BOT, "it is not the bot's: {pull}");
    let number = pull["number"].as_i64().context("it has no number")?;
    let head = pull["head"]["sha"].as_str().context("it has no commit")?;
    let image = ImageValues::read(&world.forge, environment, head)?;
    ensure!(
        image.digest == digest,
        "{} is proposed, not {digest}",
        image.digest
    );
    let run = Run::wait(&world.forge, PULL_REQUEST, head, CI_LIMIT)?;
    Ok(Proposal { number, image, run })
}

/// Where a pull request goes, its number, and who approves it, one after the other.
pub(super) type Approval<'a> = (&'a str, i64, &'a [&'a str]);

/// Carries a pull request into an environment, and looks at each step that nothing happens without the next.
pub(super) fn carry(
    world: &World,
    environment: &Environment,
    approval: Approval,
    digest: String,
    commit: String,
) -> Result<Deployed> {
    let before = environment.serving();
    let revision = approved(world, approval)?;

    // Argo CD sees it, and waits;
    environment.wait_compared(&revision, "OutOfSync", SERVING_LIMIT)?;
    let now = environment.serving();
    ensure!(
        now == before,
        "{} went to {now:?} without a sync",
        environment.name
    );

    // when a person syncs, it serves.
    ArgoCd::new(&world.kubernetes)?.sync(&format!("waybill-{}", environment.name))?;
    let expected = Deployed {
        revision,
        digest,
        commit,
    };
    environment.wait_deployed(&expected, SERVING_LIMIT)?;
    Ok(expected)
}

/// The merge commit of a pull request that everybody approves, and that nobody merges before, administrators included.
pub(super) fn approved(world: &World, (base, number, people): Approval) -> Result<String> {
    let forge = &world.forge;
    let merge = format!("/pulls/{number}/merge");
    for person in people {
        let merged = forge.repository("POST", &merge, Some(&json!({"Do": "merge"})));
        ensure!(
            merged.is_err(),
            "it was merged before {person} had approved it"
        );
        forge.review(&world.layout, person, number)?;
    }
    ship::accept(forge, base, number)
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
