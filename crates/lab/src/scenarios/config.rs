//! T3. A value of the ConfigMap is changed in git. The pods restart with the new value.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::world::World;
use crate::delivery::image_values::ImageValues;
use crate::delivery::rollout::Deployed;
use crate::delivery::ship;
use crate::expect::{Verdict, eventually};
use crate::forge::runs::{DEVELOP, WorkflowRun};
use crate::timeline::Recorder;

const FILE: &str = "charts/waybill/values-dev.yaml";

/// The gauge with the value of the setting.
const GAUGE: &str = "waybill_database_connections_max ";

pub(super) fn run(world: &World) -> Result<()> {
    // Given the service in dev has some pool size,
    let dev = world.dev();
    let before = pool_size(
        &dev.get("/metrics")
            .context("the service in dev does not answer")?,
    )?;
    let pods = uids(world)?;
    let image = ImageValues::read(&world.forge, "dev", "develop")?;
    let commit = dev
        .serving()
        .context("the service in dev does not answer")?;
    let after = if before == 4 { 3 } else { 4 };

    // When a pull request changes it and is merged,
    let clone = world.clone("config", "develop")?;
    let setting = |size: u32| format!("WAYBILL_DATABASE_POOL_SIZE: \"{size}\"");
    world.edit(&clone, FILE, &setting(before), &setting(after))?;
    world.commit(&clone, "dev: Change the pool size")?;
    let mut recorder = Recorder::start();
    let merged = ship::merge(
        &world.forge,
        &clone,
        "develop",
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
    let run = WorkflowRun::wait(&world.forge, DEVELOP, &merged, Duration::from_secs(300))?;
    run.ensure_conclusion("deliver", "skipped")?;
    ensure!(
        ImageValues::read(&world.forge, "dev", "develop")?.digest == image.digest,
        "the image in {FILE} changed"
    );
    Ok(())
}

fn pool_size(metrics: &str) -> Result<u32> {
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(GAUGE))
        .and_then(|value| value.trim().parse::<f64>().ok())
        .map(|value| value as u32)
        .with_context(|| format!("/metrics has no {GAUGE}"))
}

fn uids(world: &World) -> Result<Vec<String>> {
    Ok(world
        .dev()
        .pods()?
        .into_iter()
        .filter_map(|pod| pod.metadata.uid)
        .collect())
}
