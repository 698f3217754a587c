//! `cargo lab up`

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use devkit::delivery::Delivery;
use devkit::progress::Progress;
use devkit::tools::{self, Step};

use super::inside::Part;
use super::status;
use crate::cluster::images;
use crate::delivery::record::Record;
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;
use crate::sandbox::port_forward::{self, PortForward, Target};
use crate::sandbox::{checkout, debian, dependencies, mounts, namespaces, scanners, start};

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

/// The file in the cache with the seconds that the last new lab took to serve its first commit.
const LAST_UP: &str = "last-up";

/// What `up` starts.
#[derive(Clone, Copy, Default)]
pub(super) struct Options<'a> {
    /// Where to write what was delivered, as JSON.
    pub(super) json: Option<&'a Path>,
    /// Only this part.
    pub(super) only: Option<Part>,
    /// The scanners too, so that CI runs them for the first commit.
    pub(super) scanners: bool,
    /// The program of `cargo pipeline`. Without it, `up` builds it.
    pub(super) pipeline: Option<&'a Path>,
}

/// Starts the lab and delivers the checkout's HEAD to the first environment.
///
/// When this fails, what was started stays, and the next `up` continues from there.
pub(super) fn run(layout: &Layout, options: Options, progress: Progress) -> Result<()> {
    let Options {
        json,
        only,
        scanners,
        pipeline,
    } = options;
    let checkout = checkout::root()?;
    namespaces::check_machine()?;
    let _lock = layout.lock()?;
    check_repository(layout, &checkout)?;
    let started = Instant::now();
    let runs = namespaces::find(layout).is_some();
    let is_new = !runs && !namespaces::is_stopped(layout);
    if is_new {
        eprintln!("{}", expected(layout));
    }
    let init = start(layout, &checkout, pipeline, progress)?;
    if only == Some(Part::Cluster) {
        return continue_inside(layout, init, "cluster");
    }
    // Dependencies are compiled and CI begins while the cluster starts, which leaves the processors idle at times.
    let dependencies = dependencies::start(layout, &checkout);
    let inside = |action| continue_inside(layout, init, action);
    let own_layout = layout.clone();
    let first_push = move || {
        dependencies.wait(progress);
        if scanners {
            scanners::install(&own_layout, progress)?;
        }
        match only {
            None => continue_inside(&own_layout, init, "push"),
            Some(_) => Ok(()),
        }
    };
    let first_push = thread::scope(|scope| {
        let cluster = scope.spawn(|| inside("cluster").and_then(|()| inside("argo-cd")));
        inside("forge")?;
        // Not in the scope: a cluster that fails is reported at once.
        let first_push = thread::spawn(first_push);
        joined(cluster.join())?;
        anyhow::Ok(first_push)
    })?;
    inside("connect")?;
    if is_new {
        eprintln!("These are ready to look at while CI delivers the commit:");
        status::print(
            &mut std::io::stderr(),
            layout,
            &open_port_forwards(layout, init)?,
        )?;
    }
    joined(first_push.join())?;
    if only.is_some() {
        return Ok(());
    }
    inside("ship")?;
    if is_new {
        let seconds = started.elapsed().as_secs().to_string();
        fs::write(layout.cache(LAST_UP), seconds).context("cannot write to the cache")?;
    }
    let forwards = open_port_forwards(layout, init)?;
    report(layout, &forwards, json)
}

/// How long a new lab will take.
fn expected(layout: &Layout) -> String {
    let last = fs::read_to_string(layout.cache(LAST_UP)).ok();
    match last.and_then(|seconds| seconds.trim().parse::<u64>().ok()) {
        Some(seconds) => format!(
            "Starting a new lab. The last one took {} min {} s on this machine.",
            seconds / 60,
            seconds % 60
        ),
        None => "Starting the first lab of this machine. It takes about half an hour on two cores: Go programs, images and \
                 dependencies are built once and kept in the cache. A later lab takes a few minutes."
            .to_owned(),
    }
}

/// Refuses to deliver a repository to the lab of another one.
fn check_repository(layout: &Layout, checkout: &Path) -> Result<()> {
    let ours = Delivery::load(checkout)?.repository();
    if namespaces::find(layout).is_none() && !namespaces::is_stopped(layout) {
        return Ok(());
    }
    // The copy is missing while the lab starts for the first time.
    let Ok(theirs) = layout.delivery().map(|delivery| delivery.repository()) else {
        return Ok(());
    };
    if ours != theirs {
        bail!(
            "the lab in {} belongs to {theirs}, not to {ours}; delete it with `cargo lab down --volumes`, \
             or start another one with --state",
            layout.state.display()
        );
    }
    Ok(())
}

/// Prepares on the host what the lab needs, and starts the namespaces if they do not exist. Returns the first process.
fn start(
    layout: &Layout,
    checkout: &Path,
    pipeline: Option<&Path>,
    progress: Progress,
) -> Result<i32> {
    let programs = install_tools(layout, progress)?;
    // Again: on a new machine, some checks had no programs before.
    namespaces::check_machine()?;
    let names = images::CLUSTER.into_iter().chain([images::BUILDER]);
    images::ensure(layout, &names.collect::<Vec<_>>(), progress)?;
    checkout::fetch_crates(checkout, progress)?;
    let pipeline = match pipeline {
        Some(program) => program.to_owned(),
        None => progress.run("Building `cargo pipeline`", || {
            checkout::build_pipeline(checkout)
        })?,
    };
    let init = match namespaces::find(layout) {
        Some(init) if layout.state("prepared").exists() => {
            mounts::copy_index(&layout.state, &Host::read(layout)?.cargo_home)?;
            init
        }
        _ => start::start(layout, &programs, progress)?,
    };
    checkout::copy_in(layout, checkout, &pipeline)?;
    Ok(init)
}

/// Installs the programs of [`STEPS`], and returns the folders of those that are not on PATH.
fn install_tools(layout: &Layout, progress: Progress) -> Result<Vec<PathBuf>> {
    let mut wanted = tools::needed(STEPS);
    wanted.retain(|tool| !tools::SCANNERS.contains(&tool.name));
    let _no_services = debian::NoServices::new()?;
    Ok(tools::install(&layout.cache, &wanted, progress)?)
}

/// The result of a thread.
fn joined(result: thread::Result<Result<()>>) -> Result<()> {
    result.unwrap_or_else(|_| bail!("a thread that starts a part of the lab panicked"))
}

fn continue_inside(layout: &Layout, init: i32, action: &str) -> Result<()> {
    let mut inside = start::enter_own(layout, init, &[action])?;
    let status = namespaces::interactive(&mut inside)
        .status()
        .context("cannot start nsenter")?;
    if !status.success() {
        bail!(
            "the lab did not start completely; `cargo lab logs` lists its logs, `cargo lab up` continues, \
             `cargo lab down --volumes` removes it"
        );
    }
    Ok(())
}

fn open_port_forwards(layout: &Layout, init: i32) -> Result<Vec<PortForward>> {
    let targets: Vec<Target> = serde_json::from_slice(&fs::read(layout.state("addresses.json"))?)?;
    port_forward::ensure(layout, init, &targets)
}

/// Prints the timeline of the delivery and the lab's addresses.
fn report(layout: &Layout, forwards: &[PortForward], json: Option<&Path>) -> Result<()> {
    let delivery = layout.delivery()?;
    let mut record = Record::last(layout)?.context("nothing was delivered")?;
    let name = &delivery.first().name;
    record.url = forwards
        .iter()
        .find(|forward| forward.name == *name)
        .with_context(|| format!("there is no port-forward to {name}"))?
        .url();
    if let Some(path) = json {
        fs::write(path, serde_json::to_vec_pretty(&record)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("\n{}", record.timeline.table());
    status::print(&mut std::io::stdout(), layout, forwards)?;
    println!("\n  curl {}/version", record.url);
    Ok(())
}
