//! What people do with the database of a release, as the runbook says: they rotate its password without a failed request,
//! and restore it from a dump after it was lost.

use anyhow::{Result, ensure};
use devkit::http::{Client, Tls};
use devkit::process::Run;
use serde_json::json;

use super::own_release::{LIMIT, OwnRelease};
use super::traffic::Traffic;
use super::world::World;
use crate::cluster::database;
use crate::cluster::kubectl::kubectl;
use crate::expect::{Verdict, eventually};
use crate::sandbox::credentials::random;

pub(super) fn run(world: &World) -> Result<()> {
    OwnRelease::with(world, "scenario-database", 2, |release| {
        gets_another_password(world, release)?;
        is_restored(release)
    })
}

fn gets_another_password(world: &World, release: &OwnRelease) -> Result<()> {
    // Given a release that gets requests,
    let owner = release.namespace;
    let traffic = Traffic::start(format!("{}/api/v1/deployments", release.url()?));
    // when a second user with the rights of the first replaces it in the Secret, the pods restart, and the first may not
    // log in any more,
    let (user, password) = (format!("{owner}-2"), random()?);
    database::sql(
        "postgres",
        &format!(
            "CREATE ROLE \"{user}\" LOGIN PASSWORD '{password}' IN ROLE \"{owner}\";
            ALTER ROLE \"{user}\" SET role = \"{owner}\";"
        ),
    )?;
    let staging = world.staging()?.entry;
    let values = world.forge.values(staging, world.trunk())?;
    database::set_address(owner, &values, &user, &password)?;
    release.restart()?;
    database::sql("postgres", &format!("ALTER ROLE \"{owner}\" NOLOGIN;"))?;
    // then no request fails, also of pods that start later.
    release.restart()?;
    eprintln!("  {}", traffic.all_answered()?);
    let users = "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database() AND client_addr IS NOT NULL;";
    let users = database::sql(owner, users)?;
    ensure!(users.trim() == user, "{users:?} are connected, not {user}");
    Ok(())
}

fn is_restored(release: &OwnRelease) -> Result<()> {
    // Given a dump of the database,
    let name = release.namespace;
    let api = Client::new(&format!("{}/api/v1", release.url()?), Tls::none());
    let record = json!({
        "application": "shop", "environment": "prod", "version": "v1.4.0", "actor": "alice",
        "commit": "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567",
        "image_digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    });
    api.execute("POST", "/deployments", &record)?;
    let dump = database::dump(name)?;
    // when the database is lost,
    database::sql(
        "postgres",
        &format!("DROP DATABASE \"{name}\" WITH (FORCE);"),
    )?;
    is_ready(release, false)?;
    // and a person creates it again and restores the dump,
    database::sql(
        "postgres",
        &format!("CREATE DATABASE \"{name}\" OWNER \"{name}\";"),
    )?;
    database::sql(name, &dump)?;
    // then the service is ready by itself, and has the record.
    is_ready(release, true)?;
    // A moment later, the Service leads to its pods again.
    eventually("the record is there", LIMIT, || {
        let records = api.text("/deployments?application=shop")?;
        Ok(match records.contains("v1.4.0") {
            true => Verdict::Met(()),
            false => Verdict::Failed(format!("it is missing: {records}")),
        })
    })?;
    let restarted = release.pods()?.into_iter().any(|pod| {
        let containers = pod.status.and_then(|status| status.container_statuses);
        containers
            .into_iter()
            .flatten()
            .any(|container| container.restart_count > 0)
    });
    ensure!(!restarted, "a pod had to restart");
    Ok(())
}

/// Waits until all pods of the release are ready, or none is.
fn is_ready(release: &OwnRelease, wanted: bool) -> Result<()> {
    let what = format!("the release is {}ready", if wanted { "" } else { "not " });
    eventually(&what, LIMIT, || {
        let path = "jsonpath={.status.readyReplicas}/{.status.replicas}";
        let words = ["get", "--namespace", release.namespace, "--output", path];
        let ready = kubectl(words).arg(release.deployment()).read()?;
        let met = match ready.split_once('/') {
            Some((ready, all)) if wanted => ready == all,
            Some((ready, _)) => ready.is_empty(),
            None => false,
        };
        Ok(match met {
            true => Verdict::Met(()),
            false => Verdict::Pending(format!("{ready} pods are ready")),
        })
    })
}
