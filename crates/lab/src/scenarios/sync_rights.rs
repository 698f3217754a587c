//! B7, C22. The roles of an environment's project say who sees it and who syncs it. No role syncs another environment, or a
//! commit that is not on the environment's branch.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devkit::process::{Run, command};
use serde_json::{Value, json};

use super::world::World;
use crate::argocd::api::{ArgoCd, NAMESPACE};
use crate::cluster::kubectl::{apply, kubectl};
use crate::expect::{Verdict, eventually};

/// The environment of the roles, and another one. Nothing is deployed to them: all syncs are dry runs.
const ENVIRONMENT: &str = "rights";
const OTHER: &str = "rights-other";

/// Accounts of Argo CD that have the names of the environment's groups, and one that is in no group. Argo CD treats the name
/// of an account like that of a group.
const VIEWER: &str = "rights-viewers";
const SYNCER: &str = "rights-syncers";
const NOBODY: &str = "rights-nobody";

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(world: &World) -> Result<()> {
    let manifests = manifests(world)?;
    let result = apply(NAMESPACE, &manifests)
        .and_then(|()| set_accounts(&json!("apiKey")))
        .and_then(|()| try_rights(world));
    // Whatever happened, nothing is left.
    let removed = delete(&manifests).and_then(|()| set_accounts(&Value::Null));
    result.and(removed)
}

fn try_rights(world: &World) -> Result<()> {
    // Given an environment with viewers and syncers, and an account for each role and for none,
    let argocd = ArgoCd::new(&world.kubernetes)?;
    let account = |name| argocd.account(name, LIMIT);
    let (viewer, syncer, nobody) = (account(VIEWER)?, account(SYNCER)?, account(NOBODY)?);
    let (ours, other) = (application(world, ENVIRONMENT), application(world, OTHER));
    let unmerged = world.forge.tip(world.trunk())?.context("no trunk")?;

    // then a syncer may sync its branch;
    eventually("a syncer may sync", LIMIT, || {
        Ok(match syncer.dry_run(&ours, None) {
            Ok(()) => Verdict::Met(()),
            Err(error) => Verdict::Pending(error.to_string()),
        })
    })?;
    // but not another environment, and no other commit;
    ensure_denied(
        "a syncer of another environment",
        syncer.dry_run(&other, None),
    )?;
    ensure_denied(
        "a syncer of an unmerged commit",
        syncer.dry_run(&ours, Some(&unmerged)),
    )?;
    // a viewer sees it, and may not sync it or roll it back;
    viewer
        .tree(&ours)
        .context("a viewer does not see the environment")?;
    ensure_denied("a viewer's sync", viewer.dry_run(&ours, None))?;
    ensure_denied("a viewer's rollback", viewer.rollback(&ours, 0))?;
    // and who has no role sees nothing.
    ensure_denied("an account without a role", nobody.tree(&ours))?;
    ensure_denied("an account without a role", nobody.dry_run(&ours, None))
}

/// Checks that Argo CD refused a request because of missing rights.
fn ensure_denied<T>(who: &str, result: Result<T>) -> Result<()> {
    let Err(error) = result else {
        bail!("Argo CD accepted a request of {who}");
    };
    let text = format!("{error:#}");
    ensure!(
        text.contains("answered 403") && text.contains("permission denied"),
        "Argo CD refused a request of {who} for another reason: {text}"
    );
    Ok(())
}

fn application(world: &World, environment: &str) -> String {
    format!("{}-{environment}", world.delivery.name)
}

/// The projects and Applications of the two environments.
fn manifests(world: &World) -> Result<String> {
    let clone = world.clone("rights", &world.delivery.last().branch)?;
    let staging = world.staging()?;
    let entry = |name: &str| {
        json!({
            "branch": staging.entry.branch,
            "namespace": format!("scenario-{name}"),
            "automated": false,
            "viewers": [VIEWER],
            "syncers": [SYNCER],
        })
    };
    let mut other = entry(OTHER);
    other["viewers"] = json!([]);
    other["syncers"] = json!([]);
    let mut environments = json!({ ENVIRONMENT: entry(ENVIRONMENT), OTHER: other });
    for env in world.delivery.environments() {
        environments[&env.name] = Value::Null;
    }
    let manifests = command("helm", ["template", "argocd"])
        .arg(clone.join("argocd"))
        .args(["--show-only", "templates/appproject.yaml"])
        .args(["--show-only", "templates/application.yaml"])
        .args(["--set", &format!("repoURL={}", world.forge.url())])
        .args(["--set", "commitStatus="])
        .args(["--set-json", &format!("environments={environments}")])
        .read()?;
    // The chart has no values for these environments.
    let values = |name: &str| format!("values-{name}.yaml");
    Ok(manifests.replace(&values(ENVIRONMENT), &values(staging.name())))
}

fn delete(manifests: &str) -> Result<()> {
    let words = ["delete", "--ignore-not-found", "-n", NAMESPACE, "-f", "-"];
    kubectl(words).read_with(manifests.as_bytes())?;
    Ok(())
}

/// Sets what the accounts can do; null removes them.
fn set_accounts(capability: &Value) -> Result<()> {
    let accounts = [VIEWER, SYNCER, NOBODY].map(|name| (format!("accounts.{name}"), capability));
    let data: serde_json::Map<String, Value> = accounts
        .into_iter()
        .map(|(key, value)| (key, value.clone()))
        .collect();
    let patch = json!({ "data": data }).to_string();
    let words = ["patch", "configmap", "argocd-cm", "-n", NAMESPACE];
    kubectl(words)
        .args(["--type", "merge", "--patch", &patch])
        .run_quietly()?;
    Ok(())
}
