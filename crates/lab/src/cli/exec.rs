//! `cargo lab exec`

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::sandbox::layout::Layout;
use crate::sandbox::{namespaces, start};

/// Runs a command inside, and exits with its exit code.
pub(super) fn run(layout: &Layout, argv: &[String]) -> Result<ExitCode> {
    let init = start::running(layout)?;
    let mut inside = start::enter(layout, init, argv)?;
    let status = namespaces::interactive(&mut inside)
        .status()
        .context("cannot start nsenter")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
