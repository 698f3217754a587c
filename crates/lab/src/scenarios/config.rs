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
    let before = pool_size(
        &dev.get("/metrics")
            .context("the service in dev does not answer")?,
    )?;
    let pods = uids(world)?;
    let (file, branch) = (&dev.entry.values, &dev.entry.branch);
    let image = world.forge.image(dev.entry, branch)?;
    let commit = dev
        .serving()
        .context("the service in dev does not answer")?;
    let after = if before == 4 { 3 } else { 4 };

    // When a pull request changes it and is merged,
    let clone = world.clone("config", branch)?;
    let setting = |size: u32| format!("{SETTING}: \"{size}\"");
    world.edit(&clone, file, &setting(before), &setting(after))?;
    world.commit(&clone, "dev: Change the pool size")?;
    let mut recorder = Recorder::start();
    let merged = ship::merge(
        &world.forge,
        &clone,
        branch,
        "Change dev's pool size",
        &mut recorder,
    )?;
    let pushed = Instant::now();

    // Then Argo CD applies it, new pods run the same image, and the new value is in effect.
    dev.wait_deployed(
        &Deployed {
            revision: merged.clone(),
            digest: image.digest.clone(),
            commit,
        },
        Duration::from_secs(180),
    )?;
    eventually(
        "the new pool size is in effect",
        Duration::from_secs(30),
        || {
            let now = pool_size(&dev.get("/metrics").unwrap_or_default())?;
            Ok(if now == after {
                Verdict::Met(())
            } else {
                Verdict::Pending(format!("it is {now}"))
            })
        },
    )?;
    eprintln!(
        "  merged to in effect: {:.1} s",
        pushed.elapsed().as_secs_f64()
    );
    ensure!(
        uids(world)?.iter().all(|uid| !pods.contains(uid)),
        "a previous pod still exists"
    );

    // And CI built nothing for it.
    let run = WorkflowRun::wait(
        &world.forge,
        &push(branch),
        &merged,
        Duration::from_secs(300),
    )?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    ensure!(
        world.forge.image(dev.entry, branch)? == image,
        "the image in {file} changed"
    );
    Ok(())
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
