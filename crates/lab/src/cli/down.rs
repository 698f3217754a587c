//! `cargo lab down`

use anyhow::{Result, bail};
use devkit::progress::Progress;

use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;

/// What happens to the data of a lab that is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// The next `up` continues with it.
    Keep,
    /// Nothing of the lab is left.
    Delete,
}

/// Stops the lab.
pub(super) fn run(layout: &Layout, data: Data, progress: Progress) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab runs as root, so only root can stop it; run `cargo lab down` as root");
    }
    let _lock = layout.lock()?;
    let runs =
        !namespaces::held_by(layout).is_empty() || !namespaces::control_groups(layout).is_empty();
    if !runs && !layout.state.exists() {
        eprintln!("there is no lab in {}", layout.state.display());
        return Ok(());
    }
    if data == Data::Delete {
        return progress.run("Stopping the lab and deleting its data", || {
            namespaces::remove(layout)
        });
    }
    if runs {
        progress.run("Stopping the lab", || namespaces::stop(layout))?;
    } else {
        eprintln!("no lab is running in {}", layout.state.display());
    }
    eprintln!(
        "its data is kept in {}: `cargo lab up` continues with it, `cargo lab down --volumes` deletes it",
        layout.state.display()
    );
    Ok(())
}
