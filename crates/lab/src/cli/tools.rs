//! `cargo lab tools`

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::sandbox::layout::Layout;
use crate::tools;

/// Builds tools, or finds them on PATH, and prints their folders.
pub(super) fn run(layout: &Layout, names: &[String], progress: Progress) -> Result<()> {
    let wanted = if names.is_empty() {
        tools::TOOLS.iter().collect()
    } else {
        tools::named(names)?
    };
    tools::ensure(layout, &wanted, &progress)?;
    let folders = std::env::join_paths(tools::bin_folders(layout, &wanted))
        .context("the folder of a tool has a colon in its name")?;
    println!("{}", folders.to_string_lossy());
    Ok(())
}
