//! T3. A value of the ConfigMap is changed in git. The pods restart with the new value.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devkit::forge::Conclusion;

use super::world::World;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship;
use crate::expect::{Verdict, eventually};
use crate::forge::runs::{WorkflowRun, push};
use crate::timeline::Recorder;

/// The setting, without the prefix that the service's name gives it.
const SETTING: &str = "_DATABASE_POOL_SIZE";

/// The gauge with the value of the setting, also without its prefix.
const GAUGE: &str = "_database_connections_max ";

pub(super) fn run(world: &World) -> Result<()> {
    // Given the service in dev has some pool size,
    let dev = world.dev();
    let pods = uids(world)?;

    // when a pull request changes it and is merged,
    let change = Change::merge(world)?;
    let pushed = Instant::now();

    // then Argo CD applies it, new pods run the same image, and the new value is in effect.
    change.wait_in_effect(world)?;
    eprintln!(
        "  merged to in effect: {:.1} s",
        pushed.elapsed().as_secs_f64()
    );
    ensure!(
        uids(world)?.iter().all(|uid| !pods.contains(uid)),
        "a previous pod still exists"
    );

    // And CI built nothing for it.
    let branch = &dev.entry.branch;
    let Deployed {
        revision, digest, ..
    } = &change.expected;
    let limit = Duration::from_secs(300);
    let run = WorkflowRun::wait(&world.forge, &push(branch), revision, limit)?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    ensure!(
        world.forge.image(dev.entry, branch)?.digest == *digest,
        "the image in {} changed",
        dev.entry.values
    );
    Ok(())
}

/// A merged change of dev's pool size.
pub(super) struct Change {
    /// What Argo CD deploys.
    pub(super) expected: Deployed,
    size: u32,
}

impl Change {
    /// Changes the pool size in the values of dev by a pull request.
    ///
    /// # Errors
    /// When dev does not answer, or the pull request cannot be merged.
    pub(super) fn merge(world: &World) -> Result<Self> {
        let dev = world.dev();
        let metrics = dev.get("/metrics");
        let before = pool_size(&metrics.context("the service in dev does not answer")?)?;
        let (file, branch) = (&dev.entry.values, &dev.entry.branch);
        let digest = world.forge.image(dev.entry, branch)?.digest;
        let commit = dev.serving();
        let commit = commit.context("the service in dev does not answer")?;
        let size = if before == 4 { 3 } else { 4 };
        let clone = world.clone("config", branch)?;
        let setting = |size: u32| format!("{SETTING}: \"{size}\"");
        world.edit(&clone, file, &setting(before), &setting(size))?;
        world.commit(&clone, "dev: Change the pool size")?;
        let title = "Change dev's pool size";
        let mut recorder = Recorder::start();
        let revision = ship::merge(&world.forge, &clone, branch, title, &mut recorder)?;
        let expected = Deployed {
            revision,
            digest,
            commit,
        };
        Ok(Self { expected, size })
    }

    /// Waits until new pods have the value.
    ///
    /// # Errors
    /// When they have not in time.
    pub(super) fn wait_in_effect(&self, world: &World) -> Result<()> {
        let dev = world.dev();
        dev.wait_deployed(&self.expected, Duration::from_secs(180))?;
        let what = "the new pool size is in effect";
        eventually(what, Duration::from_secs(30), || {
            let now = pool_size(&dev.get("/metrics").unwrap_or_default())?;
            Ok(match now == self.size {
                true => Verdict::Met(()),
                false => Verdict::Pending(format!("it is {now}")),
            })
        })
    }
}

fn pool_size(metrics: &str) -> Result<u32> {
    metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.split_once(GAUGE))
        .and_then(|(_, value)| value.trim().parse::<f64>().ok())
        .map(|value| value as u32)
        .with_context(|| format!("/metrics has no gauge *{GAUGE}"))
}

fn uids(world: &World) -> Result<Vec<String>> {
    Ok(world
        .dev()
        .pods()?
        .into_iter()
        .filter_map(|pod| pod.metadata.uid)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_size_is_read_under_any_prefix() {
        let metrics =
            "# HELP shop_database_connections_max The most.\nshop_database_connections_max 4\n";
        assert_eq!(pool_size(metrics).unwrap(), 4);
        assert!(pool_size("").is_err());
    }
}
