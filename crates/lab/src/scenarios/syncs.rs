//! R2. A hundred changes of an Application in a row: Argo CD syncs each of them, by its own count.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use devkit::http::get_text;
use devkit::process::Run;
use serde_json::{Value, json};

use super::own_application::OwnApplication;
use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::argocd::application::{ApplicationStatus, HealthStatus, SyncStatus};
use crate::cluster::kubectl::kubectl;
use crate::expect::{Verdict, eventually};

const NAME: &str = "scenario-syncs";

/// How many syncs the requirement counts.
const SYNCS: u32 = 100;

/// The metric of the controller, and the phase of a sync that succeeded.
const METRIC: &str = "argocd_app_sync_total{";
const SUCCEEDED: &str = "phase=\"Succeeded\"";

const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(world: &World) -> Result<()> {
    let application = OwnApplication {
        automated: true,
        ..OwnApplication::new(world, NAME, world.staging()?.entry)
    };
    application.remove()?;
    // Given an Application that Argo CD syncs by itself, and its count of syncs,
    application.create_database()?;
    let dev = world.delivery.first();
    let digest = world.forge.image(dev, &dev.branch)?.digest;
    let values =
        |replicas: u32| json!({"image": {"digest": digest.as_str()}, "replicas": replicas});
    let before = Count::read()?;
    let started = Instant::now();
    // when it is changed again and again,
    for number in 0..SYNCS {
        // Never one replica: the chart would have no PodDisruptionBudget, and Argo CD prunes nothing by itself.
        change(&application, number, &values(2 + number % 2))?;
    }
    // then every sync has succeeded.
    let after = Count::read()?;
    let (succeeded, failed) = (
        after.succeeded - before.succeeded,
        after.failed - before.failed,
    );
    eprintln!(
        "  {succeeded} syncs succeeded and {failed} failed in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    ensure!(
        succeeded >= SYNCS && failed * 100 < succeeded,
        "{failed} syncs failed and {succeeded} succeeded"
    );
    application.remove()
}

/// Declares values, and waits until Argo CD has synced them and the pods are ready.
fn change(application: &OwnApplication, number: u32, values: &Value) -> Result<()> {
    let newest = |status: &ApplicationStatus| status.history.last().map(|entry| entry.id);
    let before = match number {
        0 => None,
        _ => newest(&application.find()?.status),
    };
    application.set(values, &Value::Null)?;
    eventually(&format!("sync {} of {SYNCS}", number + 1), LIMIT, || {
        let status = application.find()?.status;
        let id = newest(&status);
        let (sync, health) = (status.sync.status, status.health.status);
        let is_done = sync == SyncStatus::Synced && health == HealthStatus::Healthy;
        Ok(match id > before && is_done {
            true => Verdict::Met(()),
            false => Verdict::Pending(format!("it is {sync:?} and {health:?}")),
        })
    })
}

/// How many syncs of the Application have ended, as Argo CD counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    succeeded: u32,
    failed: u32,
}

impl Count {
    fn read() -> Result<Self> {
        let path = "jsonpath={.status.podIP}";
        let pod = "argocd-application-controller-0";
        let address = kubectl(["get", "pod", pod, "-n", NAMESPACE, "-o", path]).read()?;
        let metrics = get_text(&format!("http://{address}:8082/metrics"));
        let metrics = metrics.context("Argo CD's controller does not answer")?;
        Self::of(&metrics)
    }

    fn of(metrics: &str) -> Result<Self> {
        let mut count = Self::default();
        let name = format!("name=\"{NAME}\"");
        for line in metrics.lines().filter(|line| line.starts_with(METRIC)) {
            let (labels, value) = line.rsplit_once(' ').context("a metric has no value")?;
            let value = value.parse::<f64>()? as u32;
            match labels.contains(SUCCEEDED) {
                _ if !labels.contains(&name) => {}
                true => count.succeeded += value,
                false => count.failed += value,
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syncs_of_other_applications_do_not_count() {
        let metrics = "argocd_app_sync_total{name=\"scenario-syncs\",phase=\"Succeeded\"} 99\n\
            argocd_app_sync_total{name=\"scenario-syncs\",phase=\"Failed\"} 2\n\
            argocd_app_sync_total{name=\"other\",phase=\"Failed\"} 7\n";
        let expected = Count {
            succeeded: 99,
            failed: 2,
        };
        assert_eq!(Count::of(metrics).unwrap(), expected);
    }
}
