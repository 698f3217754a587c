//! `cargo lab test`

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use devkit::progress::Progress;

use super::down::{self, Data};
use super::up;
use crate::cluster::rollouts;
use crate::sandbox::layout::Layout;
use crate::sandbox::{namespaces, start};
use crate::scenarios::needs::{self, Need};
use crate::scenarios::registry::{self, Place, Scenario};

/// Lists the scenarios with these names, or all.
pub(super) fn list(names: &[String]) -> Result<ExitCode> {
    let chosen = match names {
        [] => registry::all(),
        names => registry::named(names)?,
    };
    for Scenario {
        name, id, title, ..
    } in chosen
    {
        println!("{name:<22} {id:<4} {title}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the lab and runs scenarios. If all of them passed, it leaves the lab as it found it: running, stopped, or not
/// existing.
pub(super) fn run(layout: &Layout, names: &[String], progress: Progress) -> Result<ExitCode> {
    let chosen = registry::named(names)?;
    let was_running = namespaces::find(layout).is_some();
    let data = if namespaces::is_stopped(layout) {
        Data::Keep
    } else {
        Data::Delete
    };
    start_with_needs(layout, &chosen, progress)?;
    let init = start::running(layout)?;
    let failed = run_all(layout, init, &chosen);
    println!(
        "scenarios: {} passed, {failed} failed",
        chosen.len() - failed
    );
    if failed > 0 {
        eprintln!(
            "the lab is still running: `cargo lab status` shows its addresses, `cargo lab down` stops it"
        );
        return Ok(ExitCode::FAILURE);
    }
    if !was_running {
        down::run(layout, data, progress)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the lab with what scenarios need from the host.
fn start_with_needs(layout: &Layout, chosen: &[&Scenario], progress: Progress) -> Result<()> {
    let needs = || chosen.iter().flat_map(|scenario| scenario.needs);
    // Before the start: a lab sees the crates that were there when it started.
    for need in needs() {
        if let Need::Crate(dependency) = need {
            needs::fetch_crate(dependency)?;
        }
    }
    let options = up::Options {
        scanners: needs().any(|need| *need == Need::Scanners),
        ..up::Options::default()
    };
    up::run(layout, options, progress)?;
    if needs().any(|need| *need == Need::Rollouts) {
        rollouts::build(layout, progress)?;
    }
    Ok(())
}

/// Runs scenarios one after the other; those on the host run beside them. Returns how many failed.
fn run_all(layout: &Layout, init: i32, chosen: &[&Scenario]) -> usize {
    let (host, inside): (Vec<&Scenario>, Vec<&Scenario>) = chosen
        .iter()
        .partition(|scenario| matches!(scenario.run, Place::Host(_)));
    let failed = |scenarios: Vec<&Scenario>| {
        let scenarios = scenarios.into_iter();
        scenarios.filter(|one| !passes(layout, init, one)).count()
    };
    thread::scope(|scope| {
        let host = scope.spawn(|| failed(host));
        failed(inside) + host.join().unwrap_or(1)
    })
}

/// Runs a scenario, prints how it ended, and returns whether it passed.
fn passes(layout: &Layout, init: i32, scenario: &Scenario) -> bool {
    let Scenario {
        name, id, title, ..
    } = scenario;
    eprintln!("── {id} {name}: {title}");
    let started = Instant::now();
    let result = run_one(layout, init, scenario);
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("{id} {name} ... ok ({seconds:.1} s)"),
        Err(error) => println!("{id} {name} ... FAILED ({seconds:.1} s): {error:#}"),
    }
    result.is_ok()
}

fn run_one(layout: &Layout, init: i32, scenario: &Scenario) -> Result<()> {
    match scenario.run {
        Place::Inside(_) => {
            let mut inside = start::enter_own(layout, init, &["test", scenario.name])?;
            let status = namespaces::interactive(&mut inside).status()?;
            if !status.success() {
                bail!("see above");
            }
            Ok(())
        }
        Place::Host(run) => run(layout),
    }
}
