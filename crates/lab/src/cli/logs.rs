//! `cargo lab logs`

use std::fs::{self, File};
use std::io;

use anyhow::{Context, Result, bail};

use crate::sandbox::layout::Layout;

/// Prints the log of a part, or lists the parts.
pub(super) fn run(layout: &Layout, part: Option<&str>) -> Result<()> {
    let folder = layout.state("log");
    let mut parts: Vec<String> = fs::read_dir(&folder)
        .with_context(|| {
            format!(
                "there is no lab in {}; run `cargo lab up`",
                layout.state.display()
            )
        })?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".log").map(str::to_owned)
        })
        .collect();
    parts.sort();
    match part {
        None => parts.iter().for_each(|part| println!("{part}")),
        Some(part) if parts.iter().any(|known| known == part) => {
            let mut file = File::open(folder.join(format!("{part}.log")))?;
            io::copy(&mut file, &mut io::stdout().lock())?;
        }
        Some(part) => bail!(
            "there is no part {part:?}; the parts are {}",
            parts.join(", ")
        ),
    }
    Ok(())
}
