//! B6. dev is rolled back in Git by a commit of the bot, which puts it on hold. The hold stops the next write-back. After the
//! release, the version follows.

use anyhow::{Result, ensure};
use devkit::forge::Conclusion;

use super::steps::{self, ensure_held, run_command};
use super::world::World;
use crate::delivery::environment::Environment;
use crate::delivery::ship::{self, CI_LIMIT, SERVING_LIMIT};
use crate::forge::runs::{WorkflowRun, push};
use crate::timeline::Recorder;

pub(super) fn run(world: &World) -> Result<()> {
    let dev = world.dev();
    let build = Build::of(world, &dev)?;
    goes_back_by_a_commit(world, &dev)?;
    stays_after_a_build(world, &dev, &build)?;
    is_released_by_a_commit(world, &dev, &build)
}

/// The build of what an environment serves.
struct Build {
    commit: String,
    run: WorkflowRun,
}

impl Build {
    fn of(world: &World, environment: &Environment) -> Result<Self> {
        let entry = environment.entry;
        let commit = steps::built_from(world, entry, &environment.tip(&world.forge)?)?;
        let run = WorkflowRun::wait(&world.forge, &push(&entry.branch), &commit, CI_LIMIT)?;
        Ok(Self { commit, run })
    }

    /// Publishes the image and writes it back again.
    fn deliver(&self, world: &World) -> Result<()> {
        let conclusion = self.run.rerun_job(&world.forge, "deliver", CI_LIMIT)?;
        ensure!(
            conclusion == Some(Conclusion::Success),
            "the conclusion of deliver is {conclusion:?}"
        );
        Ok(())
    }
}

fn goes_back_by_a_commit(world: &World, dev: &Environment) -> Result<()> {
    // Given dev runs a version that is not its first,
    let (_, bad) = dev.current(&world.forge)?;
    // when a person starts the rollback, then the bot commits another image and a hold, and Argo CD deploys it.
    steps::start(
        world,
        steps::ROLLBACK,
        dev.entry,
        &[("reason", "the scenario")],
    )?;
    let good = steps::declared(world, dev.entry, dev.tip(&world.forge)?)?;
    ensure!(
        good.digest != bad.digest,
        "{} was not rolled back",
        dev.name()
    );
    ensure_held(world, dev, true)?;
    dev.wait_deployed(&good, SERVING_LIMIT)
}

fn stays_after_a_build(world: &World, dev: &Environment, build: &Build) -> Result<()> {
    // When a build is delivered, then its job succeeds, and dev stays as it is.
    let (before, image) = (
        dev.serving(),
        world.forge.image(dev.entry, &dev.tip(&world.forge)?)?,
    );
    build.deliver(world)?;
    let now = world.forge.image(dev.entry, &dev.tip(&world.forge)?)?;
    ensure!(
        now == image,
        "the hold did not stop the write-back: {now:?}"
    );
    ensure!(
        dev.serving() == before,
        "{} changed under a hold",
        dev.name()
    );
    Ok(())
}

fn is_released_by_a_commit(world: &World, dev: &Environment, build: &Build) -> Result<()> {
    // When the hold is released and the build is delivered again, then dev gets the version.
    run_command(world, &["release-hold", "--env", dev.name()])?;
    ensure_held(world, dev, false)?;
    build.deliver(world)?;
    let (commit, mut recorder) = (&build.commit, Recorder::start());
    ship::follow(&world.forge, dev, commit, &mut recorder, world.progress).map(drop)
}
