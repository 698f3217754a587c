//! K6. The API server accepts the manifests of every environment, of the chart with each optional part, and of `argocd/`
//! with each of its options. It warns about none of them. Nothing is created.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::process::{Run, command};

use super::world::World;
use crate::argocd::api::NAMESPACE;
use crate::cluster::kubectl::kubectl;

/// The options of an environment in the values of `argocd/`.
const OPTIONS: &str = r#"{
    "branch": "main",
    "automated": false,
    "viewers": ["everyone"],
    "syncers": ["operators"],
    "syncWindows": [{"kind": "deny", "schedule": "0 0 24 12 *", "duration": "72h"}],
    "optionalKinds": ["HorizontalPodAutoscaler", "Ingress", "HTTPRoute", "ExternalSecret", "PodMonitor", "Rollout"]
}"#;

/// The API version and the name of a kind.
type Kind<'a> = (&'a str, &'a str);

pub(super) fn run(world: &World) -> Result<()> {
    let checkout = world.layout.state("checkout");
    let chart = checkout.join(&world.delivery.chart);
    let listed = kubectl(["api-resources", "--no-headers"]).read()?;
    let known: BTreeSet<Kind> = listed.lines().filter_map(listed_kind).collect();

    // When the manifests of each environment are sent to the API server, then it accepts them;
    for env in world.delivery.environments() {
        let values = checkout.join(&env.values);
        let manifests = render(&chart, &["--values".as_ref(), values.as_ref()])?;
        is_accepted(&env.values, &env.namespace, &manifests, &known)?;
    }
    // and those of the chart with each optional part;
    let folder = chart.join("ci");
    let files = fs::read_dir(&folder);
    let files = files.with_context(|| format!("cannot list {}", folder.display()))?;
    let namespace = &world.delivery.first().namespace;
    for file in files {
        let values = file?.path();
        let manifests = render(&chart, &["--values".as_ref(), values.as_ref()])?;
        is_accepted(&values.display().to_string(), namespace, &manifests, &known)?;
    }
    // and those of Argo CD, without and with each option.
    let argocd = checkout.join("argocd");
    let options = format!("environments.{}={OPTIONS}", world.delivery.last());
    let plain = render(&argocd, &[])?;
    is_accepted("argocd", NAMESPACE, &plain, &known)?;
    let all = render(&argocd, &["--set-json".as_ref(), options.as_ref()])?;
    is_accepted("argocd with options", NAMESPACE, &all, &known)
}

/// The kind in a line of `kubectl api-resources`, which ends with the API version, whether it is namespaced, and the
/// kind.
fn listed_kind(line: &str) -> Option<Kind<'_>> {
    let mut words = line.split_whitespace().rev();
    let kind = words.next()?;
    Some((words.nth(1)?, kind))
}

/// The manifests of a chart, without the pod of `helm test`: the API server takes a pod only after its service account
/// was created.
fn render(chart: &Path, options: &[&Path]) -> Result<String> {
    let mut helm = command("helm", ["template", "manifests", "--skip-tests"]);
    Ok(helm.arg(chart).args(options).read()?)
}

/// Checks that the API server accepts manifests without a warning. Kinds that the cluster does not have are left out.
fn is_accepted(name: &str, namespace: &str, manifests: &str, known: &BTreeSet<Kind>) -> Result<()> {
    let documents = manifests
        .split("---\n")
        .filter(|text| text.contains("kind: "));
    let (sent, left_out): (Vec<&str>, Vec<&str>) = documents.partition(|document| {
        let field = |prefix: &str| document.lines().find_map(|line| line.strip_prefix(prefix));
        let kind = field("apiVersion: ").zip(field("kind: "));
        kind.is_some_and(|kind| known.contains(&kind))
    });
    ensure!(!sent.is_empty(), "{name} renders no manifest");
    kubectl([
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--warnings-as-errors",
        "--namespace",
        namespace,
        "--filename",
        "-",
    ])
    .read_with(sent.join("---\n").as_bytes())
    .with_context(|| format!("the API server does not accept {name}"))?;
    eprintln!(
        "  {name}: {} accepted, {} of unknown kinds",
        sent.len(),
        left_out.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_its_version_and_name() {
        for (line, kind) in [
            (
                "deployments    deploy   apps/v1   true   Deployment",
                ("apps/v1", "Deployment"),
            ),
            ("bindings   v1   true   Binding", ("v1", "Binding")),
        ] {
            assert_eq!(listed_kind(line), Some(kind));
        }
        assert_eq!(listed_kind("nothing"), None);
    }
}
