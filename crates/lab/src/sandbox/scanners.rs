//! Scanners, which take long to build and are installed only for scenarios that need them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use devkit::process;
use devkit::progress::Progress;
use devkit::tools;

use super::layout::Layout;

/// Installs the scanners in a lab, which may be running already.
///
/// # Errors
/// When a scanner cannot be installed.
pub fn install(layout: &Layout, progress: Progress) -> Result<()> {
    let scanners = tools::SCANNERS.map(tools::named);
    let scanners = scanners.into_iter().collect::<Result<Vec<_>, _>>()?;
    let folders = tools::install(&layout.cache, &scanners, progress)?;
    let bin = layout.state("bin");
    fs::create_dir_all(&bin)?;
    for program in tools::SCANNERS {
        let mut installed = folders.iter().map(|folder| folder.join(program));
        // One that is on PATH here is not on the PATH of a lab that was started before.
        let found = installed.find(|file| file.is_file());
        let found = found.or_else(|| process::find(program));
        let found = found.with_context(|| format!("{program} is not on PATH"))?;
        let target = layout.seen_inside(&found);
        let wrapper = bin.join(program);
        fs::write(&wrapper, format!("#!/bin/sh\nexec {target:?} \"$@\"\n"))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
