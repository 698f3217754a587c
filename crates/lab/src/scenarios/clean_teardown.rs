//! B1. After `down --volumes` nothing of a lab is left on the machine, even if the lab was killed before.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use devkit::process::{Run, command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::host::own_program;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;

pub(super) fn run(layout: &Layout) -> Result<()> {
    // Given a second lab beside the first,
    let mut folder = layout.state.as_os_str().to_owned();
    folder.push("-teardown");
    let second = Layout {
        state: folder.into(),
        cache: layout.cache.clone(),
    };
    let before = Traces::of_machine()?;
    let own = own_program()?;
    let lab = |action: &[&str]| {
        let mut lab = command(&own, ["--state"]);
        lab.arg(&second.state).args(action);
        lab
    };
    lab(&["up", "--only", "cluster"]).run_quietly()?;
    ensure!(
        !namespaces::control_groups(&second).is_empty(),
        "the second lab has no control groups"
    );

    // When the processes that keep it alive are killed, and `down --volumes` is called,
    for pid in namespaces::held_by(&second) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    lab(&["down", "--volumes"]).run_quietly()?;

    // Then the machine is as it was.
    ensure!(
        namespaces::held_by(&second).is_empty(),
        "a process of the lab is left"
    );
    ensure!(
        namespaces::control_groups(&second).is_empty(),
        "a control group of the lab is left"
    );
    ensure!(!second.state.exists(), "{} is left", second.state.display());
    let left = before.missing_in(&Traces::of_machine()?);
    ensure!(left.is_empty(), "left on the machine: {left:?}");
    Ok(())
}

/// What a lab could leave on the machine: mounts, network interfaces and firewall tables.
struct Traces(BTreeSet<String>);

impl Traces {
    fn of_machine() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
        let links = command("ip", ["-brief", "link"]).read()?;
        let tables = command("nft", ["list", "tables"]).read()?;
        Ok(Self(
            mounts
                .lines()
                .map(|line| format!("mount {line}"))
                .chain(links.lines().map(|line| format!("link {line}")))
                .chain(tables.lines().map(str::to_owned))
                .collect(),
        ))
    }

    /// What exists later and did not exist before.
    fn missing_in(&self, later: &Self) -> Vec<String> {
        later.0.difference(&self.0).cloned().collect()
    }
}
