//! `cargo lab test`

use std::io::{self, BufRead, BufReader};
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use devkit::progress::Progress;

use super::down::{self, Data};
use super::up;
use crate::cluster::rollouts;
use crate::sandbox::layout::Layout;
use crate::sandbox::{namespaces, start};
use crate::scenarios::needs::{self, Need};
use crate::scenarios::queue::Queue;
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
pub(super) fn run(
    layout: &Layout,
    names: &[String],
    jobs: NonZero<usize>,
    pipeline: Option<&Path>,
    progress: Progress,
) -> Result<ExitCode> {
    let chosen = registry::named(names)?;
    let was_running = namespaces::find(layout).is_some();
    let data = if namespaces::is_stopped(layout) {
        Data::Keep
    } else {
        Data::Delete
    };
    start_with_needs(layout, &chosen, pipeline, progress)?;
    let init = start::running(layout)?;
    let failed = run_all(layout, init, &chosen, jobs.get());
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
fn start_with_needs(
    layout: &Layout,
    chosen: &[&Scenario],
    pipeline: Option<&Path>,
    progress: Progress,
) -> Result<()> {
    let needs = || chosen.iter().flat_map(|scenario| scenario.needs);
    // Before the start: a lab sees the crates that were there when it started.
    for need in needs() {
        if let Need::Crate(dependency) = need {
            needs::fetch_crate(dependency)?;
        }
    }
    let options = up::Options {
        scanners: needs().any(|need| *need == Need::Scanners),
        pipeline,
        ..up::Options::default()
    };
    up::run(layout, options, progress)?;
    if needs().any(|need| *need == Need::Rollouts) {
        rollouts::build(layout, progress)?;
    }
    Ok(())
}

/// Runs scenarios, as many beside each other as `jobs` says. Returns how many failed.
fn run_all(layout: &Layout, init: i32, chosen: &[&'static Scenario], jobs: usize) -> usize {
    let queue = Queue::new(chosen);
    let output = match jobs.min(chosen.len()) {
        1 => Output::Plain,
        _ => Output::Named,
    };
    thread::scope(|scope| {
        let worker = || {
            let mut failed = 0;
            while let Some(turn) = queue.next() {
                failed += usize::from(!passes(layout, init, turn.scenario, output));
            }
            failed
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        let failed = workers.into_iter().map(|worker| worker.join().unwrap_or(1));
        failed.sum()
    })
}

/// How a scenario's output is printed.
#[derive(Clone, Copy)]
enum Output {
    /// As it is.
    Plain,
    /// With the scenario's name before each line.
    Named,
}

/// Runs a scenario, prints how it ended, and returns whether it passed.
fn passes(layout: &Layout, init: i32, scenario: &Scenario, output: Output) -> bool {
    let Scenario {
        name, id, title, ..
    } = scenario;
    eprintln!("── {id} {name}: {title}");
    let started = Instant::now();
    let result = run_one(layout, init, scenario, output);
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("{id} {name} ... ok ({seconds:.1} s)"),
        Err(error) => println!("{id} {name} ... FAILED ({seconds:.1} s): {error:#}"),
    }
    result.is_ok()
}

fn run_one(layout: &Layout, init: i32, scenario: &Scenario, output: Output) -> Result<()> {
    match scenario.run {
        Place::Inside(_) => {
            let inside = start::enter_own(layout, init, &["test", scenario.name])?;
            let status = match output {
                Output::Plain => namespaces::interactive(&mut { inside }).status()?,
                Output::Named => run_named(inside, scenario.name)?,
            };
            ensure!(status.success(), "see above");
            Ok(())
        }
        Place::Host(run) => run(layout),
    }
}

/// Runs a command and prints its output line by line, each with a name.
fn run_named(mut command: Command, name: &str) -> Result<ExitStatus> {
    let (output, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?);
    let mut child = command.stderr(writer).spawn()?;
    // The command holds the other end of the pipe too.
    drop(command);
    for line in BufReader::new(output).split(b'\n') {
        eprintln!("{name:<22} │ {}", String::from_utf8_lossy(&line?));
    }
    Ok(child.wait()?)
}
