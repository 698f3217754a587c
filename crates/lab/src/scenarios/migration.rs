//! The database of a release: replicas that start at once migrate an empty database once, a release runs on the schema of
//! a later one, and a migration that fails leaves the version before it serving.

use anyhow::{Context, Result, ensure};
use devkit::http::get_text;
use devkit::process::Run;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::json;

use super::own_release::{LIMIT, OwnRelease};
use super::traffic::Traffic;
use super::world::World;
use crate::cluster::database;
use crate::cluster::kubectl::kubectl;
use crate::expect::{Verdict, eventually};

/// The init container that migrates.
const MIGRATE: &str = "migrate";

const REPLICAS: usize = 3;

pub(super) fn run(world: &World) -> Result<()> {
    // Given an empty database, when the replicas of a release start at once,
    OwnRelease::with(world, "scenario-migration", REPLICAS, |release| {
        has_migrated_once(release)?;
        runs_on_a_newer_schema(release)?;
        survives_a_failed_migration(world, release)
    })
}

fn has_migrated_once(release: &OwnRelease) -> Result<()> {
    // then one of them migrates, and the others find the schema complete.
    let mut applied = Vec::new();
    for pod in release.pods()? {
        let name = pod.metadata.name.unwrap_or_default();
        let words = ["logs", "--namespace", release.namespace, &name];
        let log = kubectl(words).args(["--container", MIGRATE]).read()?;
        applied.extend(migrations(&log));
    }
    let migrated = applied.iter().filter(|names| !names.is_empty()).count();
    ensure!(
        applied.len() == REPLICAS && migrated == 1,
        "the {REPLICAS} replicas applied the migrations {applied:?}"
    );
    Ok(())
}

fn runs_on_a_newer_schema(release: &OwnRelease) -> Result<()> {
    // Given a later release has changed the schema, when replicas of this release start, then they serve.
    let newer = "ALTER TABLE deployments ADD COLUMN region TEXT;
        INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000');";
    database::sql(release.namespace, newer)?;
    release.restart()?;
    let answer = get_text(&format!("{}/api/v1/deployments", release.url()?));
    ensure!(
        answer.is_some(),
        "the release does not read the newer schema"
    );
    Ok(())
}

fn survives_a_failed_migration(world: &World, release: &OwnRelease) -> Result<()> {
    // Given a release that serves, and gets requests,
    let traffic = Traffic::start(format!("{}/api/v1/deployments", release.url()?));
    let name = release.deployment();
    // when the migration of the next one fails, because it cannot reach the database,
    let variable = database_variable(world, release)?;
    let broken =
        json!({"name": variable, "value": "postgres://nobody@127.0.0.1:1/none", "valueFrom": null});
    let container = json!({"name": MIGRATE, "env": [broken]});
    let patch = json!({"spec": {"template": {"spec": {"initContainers": [container]}}}});
    let patch = patch.to_string();
    let words = ["patch", "--namespace", release.namespace, &name];
    kubectl(words).args(["--patch", &patch]).run_quietly()?;
    eventually("the migration fails", LIMIT, || {
        let failed = release.pods()?.iter().any(has_failed_to_migrate);
        Ok(match failed {
            true => Verdict::Met(()),
            false => Verdict::Pending("no pod has failed to migrate".into()),
        })
    })?;
    // then no request fails,
    eprintln!("  {}", traffic.all_answered()?);
    // and as soon as the migration is repaired, the release rolls out.
    kubectl(["rollout", "undo", "--namespace", release.namespace, &name]).run_quietly()?;
    release.wait_rolled_out()
}

/// The variable with the address of the database, whose prefix is the service's name.
fn database_variable(world: &World, release: &OwnRelease) -> Result<String> {
    let deployment = world
        .kubernetes
        .get::<Deployment>(release.namespace, &world.delivery.name)?;
    let pod = deployment.and_then(|deployment| deployment.spec.template.spec);
    let containers = pod.and_then(|pod| pod.init_containers).unwrap_or_default();
    let mut names = containers
        .into_iter()
        .flat_map(|container| container.env.unwrap_or_default())
        .map(|variable| variable.name);
    names
        .find(|name| name.ends_with("_DATABASE_URL"))
        .context("the migration has no variable with the address of the database")
}

/// Whether the init container of a pod has ended with an error, once at least.
fn has_failed_to_migrate(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.init_container_statuses.as_ref());
    let mut containers = containers.into_iter().flatten();
    containers.any(|container| container.name == MIGRATE && container.restart_count > 0)
}

/// A line of the log of a migration.
#[derive(Deserialize)]
struct Line {
    /// The names of the migrations that it applied; empty if there were none to apply.
    applied: Option<String>,
}

/// What the migrations of a log applied.
fn migrations(log: &str) -> Vec<String> {
    let lines = log.lines();
    lines
        .filter_map(|line| serde_json::from_str::<Line>(line).ok()?.applied)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_what_was_applied() {
        let log =
            "{\"message\":\"starting\"}\n{\"message\":\"done\",\"applied\":\"20260101000000\"}\n";
        assert_eq!(migrations(log), ["20260101000000"]);
        assert_eq!(migrations("{\"applied\":\"\"}\n"), [""]);
    }
}
