//! G8. A Prometheus reads the metrics of the environments and of Argo CD. The chart's alerts and its dashboard find them, and
//! an environment that is missing raises an alert.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::process::{Run, command};
use serde::Deserialize;
use serde_json::{Value, json};

use super::prometheus::{self, Prometheus, SERVICE_PORT};
use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::expect::{Verdict, eventually};

const ADDRESS: &str = "127.0.0.1:9090";

/// A namespace without a release.
const EMPTY: &str = "scenario-monitoring";

/// Panels that have no data while nothing is wrong.
const EMPTY_PANELS: [&str; 2] = ["Failed requests", "Not ready"];

const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(world: &World) -> Result<()> {
    // Given Prometheus with the chart's alerts for dev and for a namespace in which nothing runs,
    let clone = world.clone("monitoring", world.trunk())?;
    let chart = clone.join(&world.delivery.chart);
    let prometheus = Monitoring::start(world, &chart)?;
    // then it reads the pods of dev and Argo CD,
    prometheus.reads_its_targets()?;
    // evaluates every alert, of which only that of the empty namespace is active,
    prometheus.only_the_missing_release_is_reported()?;
    // and every panel of the dashboard shows data.
    prometheus.fills(&chart, world)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    scrape_pool: String,
    health: String,
    last_error: String,
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    file: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: String,
    health: String,
    #[serde(default)]
    last_error: String,
    state: String,
}

#[derive(Deserialize)]
struct Dashboard {
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
struct Panel {
    title: String,
    targets: Vec<Query>,
}

#[derive(Deserialize)]
struct Query {
    expr: String,
}

/// A Prometheus with the chart's alerts.
struct Monitoring(Prometheus);

impl Monitoring {
    fn start(world: &World, chart: &Path) -> Result<Self> {
        let folder = prometheus::folder(&world.layout.state("tmp"))?;
        for namespace in [world.dev().namespace(), EMPTY] {
            let text = rules(world, chart, namespace)?;
            fs::write(folder.join(format!("{namespace}.rules.yaml")), text)?;
        }
        let started = Prometheus::start(&folder, ADDRESS, &settings(world)?)?;
        Ok(Self(started))
    }

    fn reads_its_targets(&self) -> Result<()> {
        eventually("Prometheus reads its targets", LIMIT, || {
            // Its API answers a moment after the start.
            let targets: Targets = match self.0.get("/targets?state=active") {
                Ok(targets) => targets,
                Err(error) => return Ok(Verdict::Pending(format!("{error:#}"))),
            };
            let targets = targets.active_targets;
            let down = targets.iter().find(|target| target.health != "up");
            if let Some(target) = down {
                let Target {
                    scrape_pool,
                    last_error,
                    ..
                } = target;
                return Ok(Verdict::Pending(format!("{scrape_pool}: {last_error}")));
            }
            let has = |pool| targets.iter().any(|target| target.scrape_pool == pool);
            Ok(match has(POOLS[0]) && has(POOLS[1]) {
                true => Verdict::Met(()),
                false => Verdict::Pending("a target is missing".into()),
            })
        })
    }

    fn only_the_missing_release_is_reported(&self) -> Result<()> {
        eventually("the alert of the empty namespace is active", LIMIT, || {
            let groups: Groups = self.0.get("/rules?type=alert")?;
            let mut active = Vec::new();
            for Group { file, rules } in groups.groups {
                for rule in rules {
                    if rule.health == "unknown" {
                        return Ok(Verdict::Pending(format!("{} waits", rule.name)));
                    }
                    ensure!(rule.health == "ok", "{}: {}", rule.name, rule.last_error);
                    if rule.state != "inactive" {
                        active.push((file.contains(EMPTY), rule.name));
                    }
                }
            }
            Ok(match active.as_slice() {
                [(true, name)] if name.ends_with("Down") => Verdict::Met(()),
                others => Verdict::Pending(format!("{others:?} are active")),
            })
        })
    }

    /// Checks that every panel of the dashboard has data for dev.
    fn fills(&self, chart: &Path, world: &World) -> Result<()> {
        let text = fs::read_to_string(chart.join("files/dashboard.json"))?;
        let dashboard: Dashboard = serde_json::from_str(&text)?;
        for Panel { title, targets } in dashboard.panels {
            for Query { expr } in targets {
                let query = expr
                    .replace("$namespace", world.dev().namespace())
                    .replace("$job", &world.delivery.name)
                    .replace("$__rate_interval", "1m");
                eventually(&format!("{title} has data"), LIMIT, || {
                    let found = self.0.query(&query).with_context(|| query.clone())?;
                    let empty = found.is_empty() && !EMPTY_PANELS.contains(&title.as_str());
                    Ok(match empty {
                        true => Verdict::Pending(query.clone()),
                        false => Verdict::Met(()),
                    })
                })?;
            }
        }
        Ok(())
    }
}

/// The names of what Prometheus reads.
const POOLS: [&str; 2] = ["service", "argocd"];

/// The alerts of the chart for a namespace, as a file of rules.
fn rules(world: &World, chart: &Path, namespace: &str) -> Result<String> {
    let manifest = command("helm", ["template", &world.delivery.name])
        .arg(chart)
        .args(["--show-only", "templates/prometheusrule.yaml"])
        .args(["--namespace", namespace])
        .args(["--set", "monitoring.rules.enabled=true"])
        .read()?;
    let (_, spec) = manifest
        .split_once("\nspec:\n")
        .context("the PrometheusRule has no spec")?;
    Ok(spec.to_owned())
}

/// The settings of Prometheus. The labels of the service's metrics are those that the chart's PodMonitor gives. Debian's
/// Prometheus does not find pods by itself.
fn settings(world: &World) -> Result<Value> {
    let address = world.kubernetes.cluster_ip(NAMESPACE, "argocd-metrics")?;
    let dev = world.dev();
    let mut pods = Vec::new();
    for pod in dev.pods()? {
        let address = pod.status.and_then(|status| status.pod_ip);
        let address = address.context("a pod has no address")?;
        pods.push(json!({
            "targets": [format!("{address}:{SERVICE_PORT}")],
            "labels": {
                "namespace": dev.namespace(),
                "pod": pod.metadata.name,
                "job": world.delivery.name,
            },
        }));
    }
    let argocd = json!({"targets": [format!("{address}:8082")]});
    Ok(json!({
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": ["*.rules.yaml"],
        "scrape_configs": [
            {"job_name": POOLS[0], "static_configs": pods},
            {"job_name": POOLS[1], "static_configs": [argocd]},
        ],
    }))
}
