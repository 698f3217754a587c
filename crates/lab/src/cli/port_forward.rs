//! `cargo lab port-forward`: the process that `up` starts on the host

use anyhow::Result;

use crate::sandbox::layout::Layout;
use crate::sandbox::port_forward;

/// Forwards ports until the lab ends.
pub(super) fn run(layout: &Layout, init: i32) -> Result<()> {
    port_forward::serve(layout, init)
}
