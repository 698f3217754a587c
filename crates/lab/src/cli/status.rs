//! `cargo lab status`

use std::fs;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::delivery::record::Delivery;
use crate::forge::api::PERSON;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;
use crate::sandbox::port_forward::{self, PortForward};

/// The exit code if no lab is running, as service managers use it.
const NOT_RUNNING: u8 = 3;

/// Shows the lab's addresses and log-ins.
pub(super) fn run(layout: &Layout, as_json: bool) -> Result<ExitCode> {
    let running = namespaces::find(layout).is_some();
    let forwards = if running {
        port_forward::list(layout)?
    } else {
        Vec::new()
    };
    if as_json {
        let delivery = Delivery::last(layout).unwrap_or_default();
        println!(
            "{}",
            json!({
                "running": running,
                "port_forwards": forwards,
                "shipped": delivery.map(|delivery| delivery.commit),
            })
        );
    } else if running {
        print(layout, &forwards);
    } else {
        println!(
            "no lab is running in {}; run `cargo lab up`",
            layout.state.display()
        );
    }
    Ok(if running {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_RUNNING)
    })
}

/// Prints the addresses and log-ins.
pub(super) fn print(layout: &Layout, forwards: &[PortForward]) {
    let password = Credentials::ensure(layout)
        .map(|credentials| credentials.person)
        .unwrap_or_default();
    let argocd = fs::read_to_string(layout.state("argocd-password")).unwrap_or_default();
    for (name, what, login) in [
        ("dev", "the service in dev", String::new()),
        ("staging", "the service in staging", String::new()),
        ("prod", "the service in prod", String::new()),
        (
            "argocd",
            "Argo CD (API only: the Go module does not contain the web page)",
            format!("admin / {argocd}"),
        ),
        (
            "forge",
            "Gitea: git, pull requests, Actions, registry",
            format!("{PERSON} / {password}"),
        ),
    ] {
        if let Some(forward) = forwards.iter().find(|forward| forward.name == name) {
            println!("  {:<26} {what}", forward.url());
            if !login.is_empty() {
                println!("  {:<26} {login}", "");
            }
        }
    }
    println!(
        "  {:<26} the cluster: `cargo lab exec -- kubectl get pods -A`",
        ""
    );
    println!(
        "  {:<26} the forge's certificate authority: {}",
        "",
        layout.state("pki/web-ca.crt").display()
    );
}
