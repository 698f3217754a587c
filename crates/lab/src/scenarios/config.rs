//! T3. A value of the ConfigMap is changed in git; the pods start again with it, and it is in force.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::World;
use crate::delivery::environment::{Deployed, ImageValues};
use crate::delivery::ship;
use crate::expect::{Verdict, eventually};
use crate::forge::runs::{DEVELOP, Run};
use crate::timeline::Clock;

const FILE: &str = "charts/waybill/values-dev.yaml";

/// The gauge that shows the setting at work.
const GAUGE: &str = "waybill_database_connections_max ";

pub(super) fn run(world: &World) -> Result<()> {
    // Given dev serves with some pool size,
    let dev = world.dev();
    let before = pool_size(&dev.get("/metrics").context("dev does not serve")?)?;
    let pods: Vec<String> = uids(world)?;
    let image = ImageValues::read(&world.forge, "dev", "develop")?;
    let commit: serde_json::Value = serde_json::from_str(&dev.get("/version").unwrap_or_default())?;
    let after = if before == 4 { 3 } else { 4 };

    // When a pull request changes it and is merged,
    let clone = world.clone("config", "develop")?;
    let setting = |size: u32| format!("WAYBILL_DATABASE_POOL_SIZE: \"{size}\"");
    world.edit(&clone, FILE, &setting(before), &setting(after))?;
    world.commit(&clone, "dev: Change the pool size")?;
    let mut clock = Clock::start();
    let merged = ship::merge(
        &world.forge,
        &clone,
        "develop",
        "Change dev's pool size",
        &mut clock,
    )?;
    let pushed = Instant::now();

    // Then Argo CD applies it, the pods are others, the image is the same, and the new value is in force.
    dev.wait_deployed(
        &Deployed {
            revision: merged.clone(),
            digest: image.digest.clone(),
            commit: commit["commit"].as_str().unwrap_or_default().to_owned(),
        },
        Duration::from_secs(180),
    )?;
    eventually(
        "the new pool size is in force",
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
        "  merged to in force: {:.1} s",
        pushed.elapsed().as_secs_f64()
    );
    ensure!(
        uids(world)?.iter().all(|uid| !pods.contains(uid)),
        "a pod of before is still there"
    );

    // And CI has built nothing for it.
    let run = Run::wait(&world.forge, DEVELOP, &merged, Duration::from_secs(300))?;
    run.ensure("deliver", "skipped")?;
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
        .iter()
        .filter_map(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned))
        .collect())
}
