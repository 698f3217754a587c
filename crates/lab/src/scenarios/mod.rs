//! The conformance scenarios: one file each, written as given, when, then. The user's budgets are
//! asserted; everything else about speed is only printed.

mod broken_image;
mod clean_teardown;
mod config;
mod deploy;
mod drift;
mod egress;
mod feature_branch;
mod no_retrigger;
mod production;
mod promotion;
mod protection;
mod pull_request;
mod release;
mod resource_tree;
mod rollback;
mod traffic;
mod untrusted_fork;
mod workflow_parity;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cli::up;
use crate::cluster::Kubernetes;
use crate::command::Run;
use crate::delivery::environment::Environment;
use crate::forge::Forge;
use crate::progress::Progress;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;

/// Something a person cares about, as a test.
struct Scenario {
    name: &'static str,
    /// The requirement it proves.
    id: &'static str,
    title: &'static str,
    /// Whether the jobs of its runs need scanners.
    scanners: bool,
    /// What has to be done on the host before, where there is a network.
    prepare: Option<fn() -> Result<()>>,
    run: Where,
}

enum Where {
    /// Against the running lab, from inside.
    Inside(fn(&World) -> Result<()>),
    /// On the host, with a lab of its own.
    Host(fn(&Layout) -> Result<()>),
}

static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "egress",
        id: "B1",
        title: "no packet can leave the lab",
        scanners: false,
        prepare: None,
        run: Where::Inside(egress::run),
    },
    Scenario {
        name: "workflow-parity",
        id: "B3",
        title: "the workflows that ran are the checkout's, byte for byte",
        scanners: false,
        prepare: None,
        run: Where::Inside(workflow_parity::run),
    },
    Scenario {
        name: "protection",
        id: "C21",
        title: "a rule of protection that is weakened or deleted is noticed",
        scanners: false,
        prepare: None,
        run: Where::Inside(protection::run),
    },
    Scenario {
        name: "resource-tree",
        id: "G6",
        title: "Argo CD shows what runs as a tree, down to the pods and their logs",
        scanners: false,
        prepare: None,
        run: Where::Inside(resource_tree::run),
    },
    Scenario {
        name: "no-retrigger",
        id: "C14",
        title: "a push that changes only values builds nothing",
        scanners: false,
        prepare: None,
        run: Where::Inside(no_retrigger::run),
    },
    Scenario {
        name: "config",
        id: "T3",
        title: "a configuration change travels from git into the running pods",
        scanners: false,
        prepare: None,
        run: Where::Inside(config::run),
    },
    Scenario {
        name: "promotion",
        id: "T4",
        title: "what dev runs reaches staging by an approval and a sync, and not without",
        scanners: false,
        prepare: None,
        run: Where::Inside(promotion::run),
    },
    Scenario {
        name: "deploy",
        id: "T1",
        title: "a code change travels from push to serving",
        scanners: false,
        prepare: None,
        run: Where::Inside(deploy::run),
    },
    Scenario {
        name: "rollback",
        id: "T2",
        title: "a version that turned out bad is taken back from Argo CD's history",
        scanners: false,
        prepare: None,
        run: Where::Inside(rollback::run),
    },
    Scenario {
        name: "drift",
        id: "T5",
        title: "an edit in the cluster is shown, and a sync undoes it",
        scanners: false,
        prepare: None,
        run: Where::Inside(drift::run),
    },
    Scenario {
        name: "broken-image",
        id: "T6",
        title: "an image that nobody has is Degraded with a reason, and a rollback heals",
        scanners: false,
        prepare: None,
        run: Where::Inside(broken_image::run),
    },
    Scenario {
        name: "untrusted-fork",
        id: "C11",
        title: "a fork's pull request finds no secret and publishes nothing",
        scanners: false,
        prepare: None,
        run: Where::Inside(untrusted_fork::run),
    },
    Scenario {
        name: "feature-branch",
        id: "C11",
        title: "a push to another branch is checked and publishes nothing",
        scanners: false,
        prepare: None,
        run: Where::Inside(feature_branch::run),
    },
    Scenario {
        name: "release",
        id: "C12",
        title: "a version tag on staging names the image there, and is explained",
        scanners: true,
        prepare: None,
        run: Where::Inside(release::run),
    },
    Scenario {
        name: "production",
        id: "T4",
        title: "a version of staging reaches prod by two approvals and a sync, and not by one",
        scanners: true,
        prepare: None,
        run: Where::Inside(production::run),
    },
    Scenario {
        name: "pull-request",
        id: "C4",
        title: "a pull request is checked; each kind of mistake is red at its job",
        scanners: true,
        prepare: Some(pull_request::prepare),
        run: Where::Inside(pull_request::run),
    },
    Scenario {
        name: "clean-teardown",
        id: "B1",
        title: "down leaves nothing, even of a lab that was killed",
        scanners: false,
        prepare: None,
        run: Where::Host(clean_teardown::run),
    },
];

/// What a scenario inside acts on.
struct World {
    layout: Layout,
    forge: Forge,
    kubernetes: Kubernetes,
    progress: Progress,
}

impl World {
    fn dev(&self) -> Environment<'_> {
        self.environment("dev")
    }

    fn environment<'a>(&'a self, name: &'a str) -> Environment<'a> {
        Environment {
            kubernetes: &self.kubernetes,
            name,
        }
    }

    /// A fresh clone of a branch, as a developer makes one.
    fn clone(&self, name: &str, branch: &str) -> Result<PathBuf> {
        let folder = self.layout.state("tmp").join(format!("scenario-{name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        self.forge
            .git(&self.layout.state("tmp"))
            .args(["clone", "--quiet", "--branch", branch, &Forge::url()])
            .arg(&folder)
            .run()?;
        Ok(folder)
    }

    /// Replaces text in a file of a clone; the text must be there.
    fn edit(&self, clone: &std::path::Path, file: &str, from: &str, to: &str) -> Result<()> {
        let path = clone.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {file}"))?;
        if !text.contains(from) {
            bail!("{file} does not hold {from:?}, which this scenario changes");
        }
        fs::write(&path, text.replacen(from, to, 1))
            .with_context(|| format!("could not write {file}"))
    }

    /// Commits everything in a clone.
    fn commit(&self, clone: &std::path::Path, message: &str) -> Result<()> {
        self.forge
            .git(clone)
            .args(["commit", "--quiet", "--all", "--message", message])
            .run()
    }
}

/// Runs scenarios on a lab that is brought up first, and ends that lab where it was not there before.
///
/// # Errors
/// When a name is unknown or the lab does not come up.
pub fn run(layout: &Layout, names: &[String], list: bool, progress: Progress) -> Result<ExitCode> {
    let chosen = named(names)?;
    if list {
        for scenario in chosen {
            println!(
                "{:<16} {:<4} {}",
                scenario.name, scenario.id, scenario.title
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let was_up = namespaces::find(layout).is_some();
    // Before: a lab sees the crates that were there when it began.
    for prepare in chosen.iter().filter_map(|scenario| scenario.prepare) {
        prepare()?;
    }
    up::up(layout, None, None, progress)?;
    // After: a lab begins with an empty folder.
    if chosen.iter().any(|scenario| scenario.scanners) {
        up::bring_scanners(layout, progress)?;
    }
    let init = namespaces::find(layout).context("the lab has ended")?;
    let mut failed = 0;
    for scenario in &chosen {
        eprintln!("── {} {}: {}", scenario.id, scenario.name, scenario.title);
        let started = Instant::now();
        let result = match scenario.run {
            Where::Inside(_) => {
                let status = namespaces::interactive(&mut up::enter(
                    layout,
                    init,
                    &["test", scenario.name],
                )?)
                .status()?;
                if status.success() {
                    Ok(())
                } else {
                    Err(anyhow::anyhow!("see above"))
                }
            }
            Where::Host(run) => run(layout),
        };
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("{} {} ... ok ({seconds:.1} s)", scenario.id, scenario.name),
            Err(error) => {
                failed += 1;
                println!(
                    "{} {} ... FAILED ({seconds:.1} s): {error:#}",
                    scenario.id, scenario.name
                );
            }
        }
    }
    println!(
        "scenarios: {} passed, {failed} failed",
        chosen.len() - failed
    );
    if failed > 0 {
        eprintln!("the lab is still up to look at: `cargo lab status`; `cargo lab down` ends it");
        return Ok(ExitCode::FAILURE);
    }
    if !was_up {
        up::down(layout, progress)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs scenarios from inside.
///
/// # Errors
/// When the lab is not there, or a scenario fails.
pub fn inside(layout: &Layout, names: &[String], progress: Progress) -> Result<ExitCode> {
    let world = World {
        layout: layout.clone(),
        forge: Forge::new(layout)?,
        kubernetes: Kubernetes::new(layout)?,
        progress,
    };
    for scenario in named(names)? {
        if let Where::Inside(run) = scenario.run {
            run(&world)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn named(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            SCENARIOS
                .iter()
                .find(|scenario| scenario.name == name)
                .with_context(|| {
                    let known: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
                    format!(
                        "no scenario is called {name:?}; there are {}",
                        known.join(", ")
                    )
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scenario_is_named() {
        let Err(error) = named(&["deplyo".into()]) else {
            panic!("deplyo is no scenario")
        };
        assert!(error.to_string().contains("\"deplyo\""), "{error}");
    }
}
