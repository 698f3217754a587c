//! G5, G6. Argo CD shows an environment as a tree, from the Deployment down to its pods, with the health of each object
//! and the pods' logs.

use anyhow::{Context, Result, bail, ensure};

use super::world::World;
use crate::argocd::api::ArgoCd;
use crate::argocd::application::{HealthStatus, TreeNode};

pub(super) fn run(world: &World) -> Result<()> {
    // Given the service in dev answers,
    let dev = world.dev();
    let application = dev.application_name();
    let commit = dev
        .serving()
        .context("the service in dev does not answer")?;

    // When a user opens dev in Argo CD,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let tree = argocd.tree(&application)?;

    // Then its pod is below the Deployment, and all are Healthy;
    let pods: Vec<&TreeNode> = tree.iter().filter(|node| node.kind == "Pod").collect();
    let [pod] = pods[..] else {
        bail!("Argo CD shows {} pods of dev, not 1", pods.len());
    };
    let replica_set = parent(&tree, pod).context("the pod has no parent")?;
    let deployment = parent(&tree, replica_set).context("the ReplicaSet has no parent")?;
    for (node, kind) in [
        (pod, "Pod"),
        (replica_set, "ReplicaSet"),
        (deployment, "Deployment"),
    ] {
        ensure!(
            node.kind == kind,
            "a {} is where the {kind} should be",
            node.kind
        );
        let health = node.health.as_ref().map(|health| &health.status);
        ensure!(
            health == Some(&HealthStatus::Healthy),
            "the health of the {kind} is {health:?}"
        );
    }
    // and Argo CD has the pod's log.
    let log = argocd.log(&application, pod, dev.service())?;
    ensure!(
        log.contains(&commit),
        "the pod's log lacks its commit:\n{log}"
    );
    Ok(())
}

/// The object that owns another.
fn parent<'a>(tree: &'a [TreeNode], node: &TreeNode) -> Option<&'a TreeNode> {
    let owner = node.parent_refs.first()?;
    tree.iter().find(|candidate| candidate.uid == owner.uid)
}
