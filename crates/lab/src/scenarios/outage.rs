//! G4. Argo CD is away while a change is merged. What runs continues to run, and when Argo CD returns, it applies the change.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use devkit::process::Run;

use super::config::Change;
use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::cluster::kubectl::{kubectl, wait_rolled_out};

/// The controller, which compares and syncs.
const CONTROLLER: &str = "statefulset/argocd-application-controller";

const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(world: &World) -> Result<()> {
    // Given Argo CD's controller is away,
    scale(0)?;
    let merged = merge(world);
    // Whatever happened, it returns.
    let returned = Instant::now();
    scale(1)?;
    let change = merged?;
    // then it applies the change.
    change.wait_in_effect(world)?;
    eprintln!(
        "  returned to in effect: {:.1} s",
        returned.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Merges a change of dev, and checks that dev stays as it is.
fn merge(world: &World) -> Result<Change> {
    let dev = world.dev();
    let before = dev.pods()?.len();
    let change = Change::merge(world)?;
    let now = dev.serving();
    ensure!(
        now.as_ref() == Some(&change.expected.commit) && dev.pods()?.len() == before,
        "dev changed to {now:?} without Argo CD"
    );
    Ok(change)
}

fn scale(replicas: u32) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    kubectl(["scale", CONTROLLER, "-n", NAMESPACE, &replicas]).run_quietly()?;
    wait_rolled_out(NAMESPACE, &[CONTROLLER], LIMIT)
}
