//! `cargo lab`: the delivery pipeline on one machine. Kubernetes, Argo CD and Gitea with Actions and its registry run in
//! namespaces of their own, and leave nothing behind.

// Its macros print without a panic.
#[macro_use]
extern crate devkit;

mod argocd;
mod cli;
mod cluster;
mod delivery;
mod expect;
mod forge;
mod sandbox;
mod scenarios;
mod timeline;

use std::process::ExitCode;

use clap::Parser;
use devkit::output;

fn main() -> ExitCode {
    let code = cli::run(cli::Options::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    });
    output::finish(code)
}
