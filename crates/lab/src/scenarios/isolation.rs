//! B7, C22. A commit on dev's branch changes neither prod's Application nor what runs in prod, although dev syncs
//! automatically: the Applications come from prod's branch, and the project of dev allows only dev's objects.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::git::Git;
use k8s_openapi::api::core::v1::ConfigMap;

use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::argocd::application::Application;
use crate::delivery::ship::SERVING_LIMIT;
use crate::expect::{Verdict, eventually};

/// The name of the objects that must not come into being.
const NAME: &str = "from-dev";

pub(super) fn run(world: &World) -> Result<()> {
    let clone = world.clone("isolation", world.trunk())?;
    let git = world.forge.bot_git(&clone);
    let result = attack(world, &clone, &git);
    // Whatever happened, dev is repaired.
    let repaired = repair(world, &git);
    result.and(repaired)
}

fn attack(world: &World, clone: &Path, git: &Git) -> Result<()> {
    // Given prod is synced by hand,
    let (dev, prod) = (world.dev(), world.environment(world.delivery.last()));
    let is_automatic = || -> Result<bool> { Ok(prod.application()?.spec.is_automatic()) };
    ensure!(!is_automatic()?, "prod syncs automatically");

    // when a commit on dev's branch makes it automatic, and adds an Application and an object in prod's namespace,
    let branch = &prod.entry.branch;
    let settings = |automated: bool| format!("branch: {branch}\n    automated: {automated}");
    let (from, to) = (settings(false), settings(true));
    world.edit(clone, "argocd/values.yaml", &from, &to)?;
    let manifests = format!("{}/templates/{NAME}.yaml", world.delivery.chart);
    let text = manifests_for(prod.namespace());
    fs::write(clone.join(&manifests), text).with_context(|| format!("cannot write {manifests}"))?;
    git.read(&["add", "--all"])?;
    git.read(&[
        "commit",
        "--quiet",
        "--message",
        "Try to change prod [skip ci]",
    ])?;
    push(world, git)?;

    // then Argo CD refuses to sync dev,
    let commit = git.head()?;
    eventually("Argo CD refuses the commit", SERVING_LIMIT, || {
        let operation = dev
            .application()?
            .status
            .operation_state
            .unwrap_or_default();
        let revision = operation.sync_result.unwrap_or_default().revision;
        Ok(
            match operation.message.contains("not permitted") && revision == commit {
                true => Verdict::Met(()),
                false => Verdict::Pending(format!("at {revision}: {}", operation.message)),
            },
        )
    })?;
    // creates nothing, and leaves prod as it was.
    let application = world.kubernetes.get::<Application>(NAMESPACE, NAME)?;
    ensure!(application.is_none(), "dev created an Application");
    let object = world.kubernetes.get::<ConfigMap>(prod.namespace(), NAME)?;
    ensure!(object.is_none(), "dev created an object in prod");
    ensure!(!is_automatic()?, "dev's branch changed prod's Application");
    let root = world
        .kubernetes
        .get::<Application>(NAMESPACE, &world.delivery.name)?;
    let root = root.context("Argo CD has no root Application")?;
    let (compared, tip) = (root.status.sync.revision, world.forge.tip(branch)?);
    ensure!(
        Some(&compared) == tip.as_ref(),
        "the Applications come from {compared}, not from the tip of {branch}"
    );
    Ok(())
}

/// Reverts the commit, and waits until dev is Synced.
fn repair(world: &World, git: &Git) -> Result<()> {
    let dev = world.dev();
    git.read(&["revert", "--no-commit", "HEAD"])?;
    git.read(&[
        "commit",
        "--quiet",
        "--message",
        "Revert the change of prod [skip ci]",
    ])?;
    push(world, git)?;
    let revision = git.head()?;
    let digest = world.forge.image(dev.entry, &revision)?.digest;
    dev.wait_synced(&revision, &digest, SERVING_LIMIT).map(drop)
}

fn push(world: &World, git: &Git) -> Result<()> {
    let branch = world.delivery.first().reference();
    Ok(git.push(&world.forge.url(), "HEAD", &branch)?)
}

/// An Application, and an object in another environment's namespace.
fn manifests_for(namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata:
  name: {NAME}
  namespace: {namespace}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {NAME}
  namespace: {NAMESPACE}
spec:
  project: default
  source:
    repoURL: https://example.com/charts.git
    path: .
  destination:
    server: https://kubernetes.default.svc
    namespace: {namespace}
"
    )
}
