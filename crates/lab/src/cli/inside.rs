//! `cargo lab inside`: what `up` and `test` run inside the namespaces

use std::fs;
use std::iter;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use devkit::progress::Progress;

use crate::cluster::api::Kubernetes;
use crate::cluster::database;
use crate::delivery::environment::Environment;
use crate::delivery::{branches, ship};
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;
use crate::sandbox::network::{self, NODE};
use crate::sandbox::port_forward::Target;
use crate::sandbox::{mounts, pki};
use crate::scenarios::registry::{self, Place};
use crate::scenarios::world::World;
use crate::{argocd, cluster, forge};

/// How much of the lab to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// The namespaces and Kubernetes
    Cluster,
    /// Everything, but deliver nothing
    All,
}

/// What to run inside.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Set up mounts, network and certificates
    Prepare {
        /// The lab's state folder
        state: PathBuf,
        /// The cache folder
        cache: PathBuf,
        /// Cargo's folder
        cargo_home: PathBuf,
    },
    /// Start Kubernetes
    Cluster,
    /// Start Argo CD
    ArgoCd,
    /// Start the forge, the registry, the runner and the databases
    Forge,
    /// Connect the parts that run
    Connect,
    /// Push the checkout to a new forge
    Push,
    /// Deliver the checkout
    Ship,
    /// Run scenarios
    Test {
        /// The scenarios to run
        scenarios: Vec<String>,
    },
}

pub(super) fn run(action: Action, progress: Progress) -> Result<ExitCode> {
    let layout = Layout::inside();
    match action {
        Action::Prepare {
            state,
            cache,
            cargo_home,
        } => {
            mounts::mount(&state, &cache, &cargo_home)?;
            network::set_up()?;
            pki::ensure(&layout)?;
            pki::trust(&layout)?;
        }
        Action::Cluster => progress.run("Kubernetes", || {
            cluster::start(&layout, &Host::read(&layout)?)
        })?,
        Action::ArgoCd => progress.run("Argo CD", || argocd::install::install(&layout))?,
        Action::Forge => start_forge(&layout, progress)?,
        Action::Connect => {
            database::create_secrets(&layout)?;
            save_addresses(&layout)?;
        }
        Action::Push => branches::push_first(&layout, &layout.state("checkout"))?,
        Action::Ship => {
            ship::ship(&layout, &layout.state("checkout"), progress)?;
            save_addresses(&layout)?;
        }
        Action::Test { scenarios } => test(&layout, &scenarios, progress)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn start_forge(layout: &Layout, progress: Progress) -> Result<()> {
    let host = Host::read(layout)?;
    progress.run("Forge, registry and runner", || {
        forge::start(layout, &host, &layout.state("checkout"))
    })?;
    progress.run("PostgreSQL", || database::ensure(layout, &host))
}

/// Saves the addresses that the host's port-forwards lead to, and Argo CD's password.
fn save_addresses(layout: &Layout) -> Result<()> {
    let kubernetes = Kubernetes::new(layout)?;
    let delivery = layout.delivery()?;
    let target = |name: &str, port, address: &str, inner_port| -> Result<Target> {
        Ok(Target {
            name: name.to_owned(),
            port,
            address: SocketAddr::new(address.parse()?, inner_port),
        })
    };
    let argocd = argocd::api::address(&kubernetes)?;
    let mut targets = vec![
        target("argocd", 18081, &argocd, 80)?,
        target("forge", 18443, NODE, 443)?,
    ];
    // 18080, 18082, 18083 and so on.
    let ports = iter::once(18080).chain(18082..);
    for (env, port) in delivery.environments().iter().zip(ports) {
        // An environment that was never synced has no Service yet.
        if let Ok(address) = Environment::new(&kubernetes, &delivery, env).cluster_ip() {
            targets.push(target(&env.name, port, &address, 80)?);
        }
    }
    fs::write(
        layout.state("addresses.json"),
        serde_json::to_vec(&targets)?,
    )?;
    let password = layout.state("argocd-password");
    fs::write(&password, argocd::api::password(&kubernetes)?)?;
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn test(layout: &Layout, names: &[String], progress: Progress) -> Result<()> {
    let world = World::new(layout, progress)?;
    for scenario in registry::named(names)? {
        if let Place::Inside(run) = scenario.run {
            for need in scenario.needs {
                need.ensure(&world)?;
            }
            run(&world)?;
        }
    }
    Ok(())
}
