//! G10, G11, R3. The chart with prod's values and a canary: a good version is analysed and rolled out step by step, and a
//! version that does not become ready or answers errors is taken back automatically. No request fails meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::own_application::OwnApplication;
use super::pod_targets::PodTargets;
use super::prometheus::{self, Prometheus};
use super::traffic::Traffic;
use super::world::World;
use crate::argocd::application::HealthStatus;
use crate::cluster::api::Kubernetes;
use crate::cluster::database;
use crate::cluster::rollouts::{self, AnalysisPhase, AnalysisRun, Rollout, RolloutPhase};
use crate::expect::{Verdict, eventually};
use crate::sandbox::network::NODE;

/// The Application, its namespace and its database.
const NAME: &str = "scenario-canary";

/// The port of Prometheus on the node, which the controller's pod can reach.
const PROMETHEUS_PORT: u16 = 9090;

/// The metrics of the chart's AnalysisTemplate: requests of the analysis itself, and what Prometheus knows.
const METRICS: [&str; 2] = ["requests", "errors"];

/// The schema of the database that a version uses which answers errors.
const BROKEN: &str = "broken";

/// prod's deadline is longer, because a start may include a long migration.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(60);

/// How long a roll-out may take, with an analysis of two minutes before each step.
const LIMIT: Duration = Duration::from_secs(8 * 60);

/// How long it may take until the previous version is Healthy when Git asks for it again.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// How long the last requests take to reach Prometheus.
const SCRAPE_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(world: &World) -> Result<()> {
    let canary = Canary::new(world)?;
    canary.application.remove()?;
    rollouts::install()?;
    // If this fails, the namespace shows why.
    proves(world, &canary)?;
    canary.application.remove()?;
    rollouts::remove()
}

fn proves(world: &World, canary: &Canary) -> Result<()> {
    // Given a version that gets requests,
    let (prometheus, _targets) = start_prometheus(world)?;
    canary.application.create_database()?;
    let first = canary.values();
    canary.set(&first)?;
    let first = canary.wait_healthy(None)?;
    let traffic = Traffic::start(format!("{}/version", canary.url()?));

    // when another one is synced, then it replaces the first after a successful analysis of each step.
    let mut good = canary.values();
    good["config"] = json!({canary.setting("LOG_LEVEL"): "debug"});
    let started = Instant::now();
    canary.set(&good)?;
    let stable = canary.wait_healthy(Some(&first))?;
    report("a good version: synced to Healthy", started);
    canary.was_analysed(&prometheus, &stable)?;

    // When a version does not become ready, because its image does not exist, then it is taken back;
    let mut broken = good.clone();
    broken["image"]["digest"] = json!(format!("sha256:{}", "1".repeat(64)));
    let started = Instant::now();
    canary.set(&broken)?;
    let reason = canary.wait_aborted(&stable)?;
    report("a version that does not start: synced to aborted", started);
    eprintln!("    {reason}");
    // and as soon as Git asks for the previous version again, that is Healthy without further steps.
    canary.returns(&good, &stable)?;

    // When a version becomes ready, but answers with errors, then its analysis takes it back.
    canary.create_broken_schema()?;
    let mut broken = good.clone();
    broken["extraEnv"] =
        json!([{"name": "PGOPTIONS", "value": format!("-c search_path={BROKEN}")}]);
    let started = Instant::now();
    canary.set(&broken)?;
    let reason = canary.wait_aborted(&stable)?;
    report("a version that answers errors: synced to aborted", started);
    eprintln!("    {reason}");
    ensure!(
        reason.contains(METRICS[0]),
        "the analysis did not find the errors: {reason}"
    );
    canary.returns(&good, &stable)?;

    // All the time every request was answered.
    eprintln!("  {}", traffic.all_answered()?);
    Ok(())
}

/// Starts a Prometheus that the controller can reach, with the labels that the chart's PodMonitor gives to the metrics.
fn start_prometheus(world: &World) -> Result<(Prometheus, PodTargets)> {
    let folder = prometheus::folder(&world.layout.state("tmp"))?;
    let file = folder.join("pods.json");
    let settings = json!({
        "global": {"scrape_interval": "5s"},
        "scrape_configs": [{
            "job_name": "pods",
            "file_sd_configs": [{"files": [file], "refresh_interval": "5s"}],
        }],
    });
    let started = Prometheus::start(&folder, &address(), &settings)?;
    let kubernetes = Kubernetes::new(&world.layout)?;
    Ok((started, PodTargets::follow(kubernetes, NAME, file)))
}

/// The address of Prometheus.
fn address() -> String {
    format!("{NODE}:{PROMETHEUS_PORT}")
}

fn report(what: &str, started: Instant) {
    eprintln!("  {what}: {:.1} s", started.elapsed().as_secs_f64());
}

/// An Application with a canary of the service, apart from the environments.
struct Canary<'a> {
    world: &'a World,
    application: OwnApplication<'a>,
    values: Value,
}

impl<'a> Canary<'a> {
    /// The image that dev runs, and all that makes the canary of prod's values quicker or visible.
    fn new(world: &'a World) -> Result<Self> {
        let dev = world.delivery.first();
        let image = world.forge.image(dev, &dev.branch)?;
        let values = json!({
            "image": {"tag": image.tag.to_string(), "digest": image.digest.to_string()},
            "rollout": {
                "strategy": "canary",
                "progressDeadlineSeconds": PROGRESS_DEADLINE.as_secs(),
                "canary": {"prometheus": format!("http://{}", address())},
            },
        });
        let application = OwnApplication {
            automated: true,
            ..OwnApplication::new(world, NAME, world.delivery.last())
        };
        Ok(Self {
            world,
            application,
            values,
        })
    }

    fn values(&self) -> Value {
        self.values.clone()
    }

    /// The name of a setting, whose prefix is the service's name.
    fn setting(&self, name: &str) -> String {
        let prefix = self.world.delivery.name.replace('-', "_").to_uppercase();
        format!("{prefix}_{name}")
    }

    /// Declares values over those of prod, which Argo CD syncs.
    fn set(&self, values: &Value) -> Result<()> {
        self.application.set(values, &Value::Null)
    }

    fn rollout(&self) -> Result<Rollout> {
        let name = &self.world.delivery.name;
        let rollout = self.world.kubernetes.get(NAME, name)?;
        rollout.with_context(|| {
            let status = self
                .application
                .find()
                .map(|application| application.status);
            let conditions = status.map(|status| status.conditions).unwrap_or_default();
            let messages: Vec<_> = conditions.into_iter().map(|one| one.message).collect();
            format!("there is no Rollout {name} yet; {}", messages.join("; "))
        })
    }

    /// Waits until all pods run a version other than the one with this hash, and returns its hash.
    fn wait_healthy(&self, before: Option<&str>) -> Result<String> {
        let hash = eventually("the new version is Healthy", LIMIT, || {
            let rollout = self.rollout()?;
            let status = &rollout.status;
            let is_new = Some(status.stable_pod_hash.as_str()) != before;
            if rollout.is_observed() && status.phase == RolloutPhase::Healthy && is_new {
                return Ok(Verdict::Met(status.stable_pod_hash.clone()));
            }
            if status.abort {
                return Ok(Verdict::Failed(status.message.clone()));
            }
            Ok(pending(&rollout))
        })?;
        self.wait_reported(&HealthStatus::Healthy)?;
        Ok(hash)
    }

    /// Waits until the controller has taken a version back, and returns its reason. The version with this hash remains.
    fn wait_aborted(&self, stable: &str) -> Result<String> {
        let reason = eventually("the broken version is taken back", LIMIT, || {
            let rollout = self.rollout()?;
            let status = &rollout.status;
            if status.stable_pod_hash != stable {
                return Ok(Verdict::Failed("all pods run the broken version".into()));
            }
            let is_new = status.current_pod_hash != stable;
            if rollout.is_observed() && is_new && status.abort {
                return Ok(Verdict::Met(status.message.clone()));
            }
            Ok(pending(&rollout))
        })?;
        self.wait_reported(&HealthStatus::Degraded)?;
        Ok(reason)
    }

    /// Checks that the previous version is Healthy at once when its values return.
    fn returns(&self, values: &Value, stable: &str) -> Result<()> {
        let started = Instant::now();
        self.set(values)?;
        eventually("the previous version is Healthy", RETURN_LIMIT, || {
            let rollout = self.rollout()?;
            let status = &rollout.status;
            let is_back = status.current_pod_hash == stable && status.stable_pod_hash == stable;
            if rollout.is_observed() && is_back && status.phase == RolloutPhase::Healthy {
                return Ok(Verdict::Met(()));
            }
            Ok(pending(&rollout))
        })?;
        self.wait_reported(&HealthStatus::Healthy)?;
        report(
            "the previous version in Git again: synced to Healthy",
            started,
        );
        Ok(())
    }

    /// Waits until Argo CD reports this health.
    fn wait_reported(&self, health: &HealthStatus) -> Result<()> {
        let what = format!("Argo CD reports {health:?}");
        eventually(&what, RETURN_LIMIT, || {
            let now = self.application.find()?.status.health.status;
            Ok(match now == *health {
                true => Verdict::Met(()),
                false => Verdict::Pending(format!("it reports {now:?}")),
            })
        })
    }

    /// Checks that each analysis of the pods with this hash was successful, with requests of its own and with those that
    /// Prometheus knows.
    fn was_analysed(&self, prometheus: &Prometheus, hash: &str) -> Result<()> {
        let mut runs: Vec<AnalysisRun> = self.world.kubernetes.list(NAME)?;
        runs.retain(|run| run.is_of(hash));
        ensure!(!runs.is_empty(), "the pods {hash} were not analysed");
        for run in &runs {
            let results = &run.status.metric_results;
            let is_successful = |name: &str| {
                let mut found = results.iter().filter(|metric| metric.name == name);
                found.any(|metric| metric.phase == AnalysisPhase::Successful)
            };
            let is_complete = METRICS.into_iter().all(is_successful);
            ensure!(is_complete, "an analysis of {hash} gave {results:?}");
        }
        let query = format!(
            "sum({{__name__=~\".+_http_requests_total\",namespace=\"{NAME}\",job=\"{}\",route=\"/version\",\
             rollouts_pod_template_hash=\"{hash}\"}})",
            self.world.delivery.name
        );
        let counted = eventually("Prometheus counts requests", SCRAPE_LIMIT, || {
            let samples = prometheus.query(&query)?.into_iter();
            let mut values = samples.map(|sample| sample.value.1);
            Ok(match values.find(|value| value != "0") {
                Some(value) => Verdict::Met(value),
                None => Verdict::Pending(format!("there are none of {hash}")),
            })
        })?;
        eprintln!(
            "  {} analyses succeeded; Prometheus counted {counted} requests to the new pods",
            runs.len()
        );
        Ok(())
    }

    /// Creates a schema of the database with a record that no version can read. Pods that use it are ready, because its
    /// migrations are complete and it can be written.
    fn create_broken_schema(&self) -> Result<()> {
        let statements = format!(
            "set role \"{NAME}\";
            create schema {BROKEN};
            create table {BROKEN}.__diesel_schema_migrations as table public.__diesel_schema_migrations;
            create table {BROKEN}.deployments (like public.deployments including all);
            create table {BROKEN}.idempotency_keys (like public.idempotency_keys including all);
            insert into {BROKEN}.deployments values ('', '', '', '', '', '', '', '', now());"
        );
        database::sql(NAME, &statements).map(drop)
    }

    fn url(&self) -> Result<String> {
        let name = &self.world.delivery.name;
        let address = self.world.kubernetes.cluster_ip(NAME, name)?;
        Ok(format!("http://{address}"))
    }
}

fn pending<T>(rollout: &Rollout) -> Verdict<T> {
    let status = &rollout.status;
    Verdict::Pending(format!("it is {:?}: {}", status.phase, status.message))
}
