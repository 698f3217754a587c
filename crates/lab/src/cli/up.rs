//! `cargo lab up`

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use devkit::progress::Progress;
use devkit::tools::{self, Step};

use super::inside::Part;
use super::status;
use crate::cluster::images;
use crate::delivery::record::Delivery;
use crate::sandbox::layout::Layout;
use crate::sandbox::port_forward::{self, PortForward};
use crate::sandbox::{checkout, debian, namespaces, start};

/// The steps whose programs must be installed before the lab starts: the lab itself, and those of the workflows' jobs, which
/// have no network.
const STEPS: &[Step] = &[
    Step::Lab,
    Step::Lint,
    Step::Coverage,
    Step::Test,
    Step::Security,
    Step::Image,
    Step::Scan,
    Step::Publish,
    Step::Deploy,
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
    let programs = install_tools(layout, progress)?;
    images::ensure(layout, progress)?;
    checkout::fetch_crates(checkout, progress)?;
    let pipeline = progress.run("Building the pipeline's program", || {
        checkout::build_pipeline(checkout)
    })?;
    let init = match namespaces::find(layout) {
        Some(init) if layout.state("prepared").exists() => init,
        _ => start::start(layout, &programs, progress)?,
    };
    checkout::copy_in(layout, checkout, &pipeline)?;
    Ok(init)
}

/// Installs the programs of [`STEPS`], and returns the folders of those that are not on PATH.
fn install_tools(layout: &Layout, progress: Progress) -> Result<Vec<PathBuf>> {
    let mut wanted = tools::needed(STEPS);
    // Kubeconform needs schemas, which the lab does not have.
    wanted.retain(|tool| !tools::SCANNERS.contains(&tool.name) && tool.name != "kubeconform");
    let _no_services = debian::NoServices::new()?;
    Ok(tools::install(&layout.cache, &wanted, progress)?)
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
