//! `cargo lab up`

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::inside::Part;
use super::status;
use crate::cluster::images;
use crate::delivery::record::Delivery;
use crate::progress::Progress;
use crate::sandbox::layout::Layout;
use crate::sandbox::port_forward::{self, PortForward};
use crate::sandbox::{checkout, debian, namespaces, start};
use crate::tools;

/// The tools that the lab runs. The jobs of workflows use others.
const TOOLS: &[&str] = &[
    "kubernetes",
    "argocd",
    "gitea",
    "helm",
    "coredns",
    "runner",
    "actionlint",
    "cosign",
];

/// The pipeline's steps that the jobs of workflows run. Their programs must be installed before: jobs have no network.
const STEPS: &[&str] = &[
    "lint", "coverage", "test", "security", "image", "scan", "publish", "deploy",
];

/// Starts the lab and delivers the checkout's HEAD to dev.
///
/// When this fails, what was started stays, and the next `up` continues from there.
pub(super) fn run(
    layout: &Layout,
    json: Option<&Path>,
    only: Option<Part>,
    progress: Progress,
) -> Result<()> {
    let checkout = checkout::root()?;
    debian::ensure_packages(progress)?;
    namespaces::check_machine()?;
    let _lock = layout.lock()?;
    let init = start(layout, &checkout, progress)?;
    continue_inside(layout, init, only)?;
    if only.is_some() {
        return Ok(());
    }
    let forwards = open_port_forwards(layout, init)?;
    report(layout, &forwards, json)
}

/// Prepares on the host what the lab needs, and starts the namespaces if they do not exist. Returns the first process.
fn start(layout: &Layout, checkout: &Path, progress: Progress) -> Result<i32> {
    let wanted = tools::named(TOOLS)?;
    tools::ensure(layout, &wanted, &progress)?;
    images::ensure(layout, progress)?;
    checkout::fetch_crates(checkout, progress)?;
    let pipeline = progress.run("Building the pipeline's program", || {
        checkout::build_pipeline(checkout)
    })?;
    let steps = checkout::step_tools(&pipeline, checkout, STEPS, tools::SCANNERS)?;
    let init = match namespaces::find(layout) {
        Some(init) if layout.state("prepared").exists() => init,
        _ => {
            let mut programs = tools::bin_folders(layout, &wanted);
            programs.extend(steps);
            start::start(layout, &programs, progress)?
        }
    };
    checkout::copy_in(layout, checkout, &pipeline)?;
    Ok(init)
}

fn continue_inside(layout: &Layout, init: i32, only: Option<Part>) -> Result<()> {
    let mut inside = start::enter_own(layout, init, &["up"])?;
    if let Some(part) = only.and_then(|part| part.to_possible_value()) {
        inside.args(["--only", part.get_name()]);
    }
    let status = namespaces::interactive(&mut inside)
        .status()
        .context("cannot start nsenter")?;
    if !status.success() {
        bail!(
            "the lab did not start completely; `cargo lab logs` lists its logs, `cargo lab up` continues, \
             `cargo lab down` stops it"
        );
    }
    Ok(())
}

fn open_port_forwards(layout: &Layout, init: i32) -> Result<Vec<PortForward>> {
    let targets: Vec<(String, SocketAddr)> =
        serde_json::from_slice(&fs::read(layout.state("addresses.json"))?)?;
    let targets: Vec<(&str, SocketAddr)> = targets
        .iter()
        .map(|(name, target)| (name.as_str(), *target))
        .collect();
    port_forward::ensure(layout, init, &targets)
}

/// Prints the timeline of the delivery and the lab's addresses.
fn report(layout: &Layout, forwards: &[PortForward], json: Option<&Path>) -> Result<()> {
    let mut delivery = Delivery::last(layout)?.context("nothing was delivered")?;
    delivery.url = forwards
        .iter()
        .find(|forward| forward.name == "dev")
        .context("there is no port-forward to dev")?
        .url();
    if let Some(path) = json {
        fs::write(path, serde_json::to_vec_pretty(&delivery)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}", delivery.timeline.table());
    status::print(layout, forwards);
    println!("\n  curl {}/version", delivery.url);
    Ok(())
}
