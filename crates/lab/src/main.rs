//! `cargo lab`: the delivery pipeline on one machine. Kubernetes, Argo CD and Gitea with Actions and its registry run in
//! namespaces of their own, and leave nothing behind.

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

fn main() -> ExitCode {
    match cli::run(cli::Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
