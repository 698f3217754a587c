//! G5, G6. Argo CD shows an environment as a tree, from the Deployment down to its pods, says how each is, and has the
//! pods' logs.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::World;
use crate::argocd::ArgoCd;

const APPLICATION: &str = "waybill-dev";

pub(super) fn run(world: &World) -> Result<()> {
    // Given dev serves,
    let commit = world.dev().serving().context("dev does not serve")?;

    // When somebody looks at it in Argo CD,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let tree = argocd.tree(APPLICATION)?;

    // Then its pod hangs below the Deployment, and both are Healthy;
    let pods = tree.iter().filter(|node| node["kind"] == "Pod");
    let pods: Vec<&Value> = pods.collect();
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
        ensure!(node["kind"] == kind, "{} is no {kind}", node["kind"]);
        let health = &node["health"]["status"];
        ensure!(health == "Healthy", "the {kind} is {health}");
    }
    // and its log is there.
    let log = argocd.log(APPLICATION, pod)?;
    ensure!(
        log.contains(&commit),
        "the pod's log does not say which commit it is:\n{log}"
    );
    Ok(())
}

/// The node that owns another.
fn parent<'a>(tree: &'a [Value], node: &Value) -> Option<&'a Value> {
    let owner = &node["parentRefs"][0]["uid"];
    tree.iter().find(|candidate| candidate["uid"] == *owner)
}
