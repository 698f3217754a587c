//! `cargo lab down`

use anyhow::{Result, bail};
use devkit::progress::Progress;

use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;

/// Stops the lab and deletes its data.
pub(super) fn run(layout: &Layout, progress: Progress) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab runs as root, so only root can stop it; run `cargo lab down` as root");
    }
    let _lock = layout.lock()?;
    if namespaces::held_by(layout).is_empty()
        && !layout.state.exists()
        && namespaces::control_groups(layout).is_empty()
    {
        eprintln!("there is no lab in {}", layout.state.display());
        return Ok(());
    }
    progress.run("Stopping the lab", || namespaces::stop(layout))
}
