//! T5. Someone changes staging's Deployment in the cluster. Argo CD reports it and changes nothing, and a sync restores what
//! Git declares.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::cluster::kubectl::kubectl;
use crate::delivery::environment::Environment;
use crate::expect::{Verdict, eventually};

const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is as in Git,
    let staging = world.staging()?;
    let (_, expected) = staging.current(&world.forge)?;
    staging.wait_deployed(&expected, LIMIT)?;
    let before = replicas(world, &staging)?;

    // When someone changes its Deployment,
    let edited = before + 1;
    let patch = json!({"spec": {"replicas": edited}}).to_string();
    let started = Instant::now();
    kubectl([
        "patch",
        "deployment",
        staging.service(),
        "--namespace",
        staging.namespace(),
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
    ensure!(
        replicas(world, &staging)? == edited,
        "it was reverted without a sync"
    );

    // When a user syncs, then it is as in Git.
    ArgoCd::new(&world.kubernetes)?.sync(&staging.application_name())?;
    eventually("the Deployment is as in Git", LIMIT, || {
        let now = replicas(world, &staging)?;
        Ok(if now == before {
            Verdict::Met(())
        } else {
            Verdict::Pending(format!("it has {now} replicas, not {before}"))
        })
    })?;
    staging.wait_deployed(&expected, LIMIT)
}

fn replicas(world: &World, environment: &Environment) -> Result<i32> {
    let (namespace, name) = (environment.namespace(), environment.service());
    world
        .kubernetes
        .get::<Deployment>(namespace, name)?
        .and_then(|deployment| deployment.spec.replicas)
        .with_context(|| format!("{namespace} has no Deployment {name}"))
}
