//! T5. Somebody edits staging's Deployment in the cluster; Argo CD shows it and leaves it, and a sync makes it as in git.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::World;
use crate::argocd::ArgoCd;
use crate::cluster::kubectl;
use crate::command::Run as _;
use crate::expect::{Verdict, eventually};

const APPLICATION: &str = "waybill-staging";
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging is as in git,
    let staging = world.environment("staging");
    let (_, expected) = staging.current(&world.forge)?;
    staging.wait_deployed(&expected, LIMIT)?;
    let before = replicas(world)?;

    // When somebody edits its Deployment,
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
    .run()?;

    // Then Argo CD says which object differs, and changes nothing by itself.
    staging.wait_compared(&expected.revision, "OutOfSync", LIMIT)?;
    eprintln!(
        "  edited to OutOfSync: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let application = staging.application()?;
    let resources = application["status"]["resources"].as_array();
    let differing: Vec<&Value> = resources
        .into_iter()
        .flatten()
        .filter(|resource| resource["status"] == "OutOfSync")
        .map(|resource| &resource["kind"])
        .collect();
    ensure!(differing == ["Deployment"], "what differs is {differing:?}");
    ensure!(
        replicas(world)? == edited,
        "it was changed back without a sync"
    );

    // When a person syncs, then it is as in git.
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

fn replicas(world: &World) -> Result<i64> {
    let path = format!("/apis/apps/v1/namespaces/{APPLICATION}/deployments/waybill");
    let deployment = world.kubernetes.get(&path)?;
    deployment.unwrap_or_default()["spec"]["replicas"]
        .as_i64()
        .context("staging has no Deployment")
}
