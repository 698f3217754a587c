//! T5. Someone changes staging's Deployment in the cluster. Argo CD reports it and changes nothing, and a sync restores what
//! git declares.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::cluster::kubectl::kubectl;
use crate::expect::{Verdict, eventually};

const APPLICATION: &str = "waybill-staging";
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is as in git,
    let staging = world.environment("staging");
    let (_, expected) = staging.current(&world.forge)?;
    staging.wait_deployed(&expected, LIMIT)?;
    let before = replicas(world)?;

    // When someone changes its Deployment,
    let edited = before + 1;
    let patch = json!({"spec": {"replicas": edited}}).to_string();
    let started = Instant::now();
    kubectl([
        "patch",
        "deployment",
        "waybill",
        "--namespace",
        APPLICATION,
        "--patch",
        &patch,
    ])
    .run_quietly()?;

    // Then Argo CD reports which object differs, and changes nothing by itself.
    staging.wait_compared(&expected.revision, &SyncStatus::OutOfSync, LIMIT)?;
    eprintln!(
        "  changed to OutOfSync: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let resources = staging.application()?.status.resources;
    let differing: Vec<&str> = resources
        .iter()
        .filter(|resource| resource.status == SyncStatus::OutOfSync)
        .map(|resource| resource.kind.as_str())
        .collect();
    ensure!(
        differing == ["Deployment"],
        "the objects that differ are {differing:?}"
    );
    ensure!(replicas(world)? == edited, "it was reverted without a sync");

    // When a user syncs, then it is as in git.
    ArgoCd::new(&world.kubernetes)?.sync(APPLICATION)?;
    eventually("the Deployment is as in git", LIMIT, || {
        let now = replicas(world)?;
        Ok(if now == before {
            Verdict::Met(())
        } else {
            Verdict::Pending(format!("it wants {now} replicas, not {before}"))
        })
    })?;
    staging.wait_deployed(&expected, LIMIT)
}

fn replicas(world: &World) -> Result<i32> {
    world
        .kubernetes
        .get::<Deployment>(APPLICATION, "waybill")?
        .and_then(|deployment| deployment.spec.replicas)
        .context("staging has no Deployment waybill")
}
