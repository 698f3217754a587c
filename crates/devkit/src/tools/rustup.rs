//! Components of the Rust toolchain.

use std::path::Path;

use super::Error;
use crate::process::{Run, command, find};
use crate::progress::Progress;

pub(super) fn is_installed(program: &str, component: &str) -> bool {
    match component {
        "llvm-tools" => llvm_tools_are_installed(),
        _ => find(program).is_some(),
    }
}

/// They are in a folder beside the toolchain's libraries; Nix has them elsewhere and sets a variable.
fn llvm_tools_are_installed() -> bool {
    let libraries = command("rustc", ["--print", "target-libdir"]).read();
    let beside = |libraries: String| Path::new(&libraries).with_file_name("bin/llvm-profdata");
    std::env::var_os("LLVM_PROFDATA").is_some()
        || libraries.is_ok_and(|path| beside(path).is_file())
}

pub(super) fn install(component: &str, progress: Progress) -> Result<(), Error> {
    progress.run(format!("Adding {component} to the Rust toolchain"), || {
        Ok(command("rustup", ["component", "add", component]).run_quietly()?)
    })
}
