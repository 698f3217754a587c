//! Scanners, which take long to build and are installed only for scenarios that need them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use super::checkout;
use super::layout::Layout;
use crate::progress::Progress;

/// Installs scanners in a lab, which may be running already.
///
/// # Errors
/// When a scanner cannot be built.
pub fn install(layout: &Layout, programs: &[&str], progress: Progress) -> Result<()> {
    let checkout = checkout::root()?;
    let pipeline = checkout::build_pipeline(&checkout)?;
    let folders = progress.run("Scanners", || {
        checkout::step_tools(&pipeline, &checkout, &["quality", "security", "scan"], &[])
    })?;
    let bin = layout.state("bin");
    fs::create_dir_all(&bin)?;
    for program in programs {
        let folder = folders.iter().find(|folder| folder.join(program).is_file());
        let Some(folder) = folder else {
            continue; // It is on PATH already, also inside.
        };
        let target = layout.seen_inside(folder).join(program);
        let wrapper = bin.join(program);
        fs::write(&wrapper, format!("#!/bin/sh\nexec {target:?} \"$@\"\n"))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
