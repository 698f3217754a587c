//! The conformance scenarios: one file each, written as given, when, then.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::layout::Layout;
use crate::progress::Progress;

/// Runs scenarios on a lab that is brought up first.
///
/// # Errors
/// When a name is unknown or the lab does not come up.
pub fn run(_layout: &Layout, _names: &[String], _list: bool, _progress: Progress) -> Result<ExitCode> {
    bail!("soon")
}

/// Runs scenarios from inside.
///
/// # Errors
/// When the lab is not there.
pub fn inside(_layout: &Layout, _names: &[String], _progress: Progress) -> Result<ExitCode> {
    bail!("soon")
}
