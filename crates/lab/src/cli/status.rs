//! `cargo lab status`

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use crate::delivery::record::Record;
use crate::forge::PERSON;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::layout::Layout;
use crate::sandbox::namespaces;
use crate::sandbox::port_forward::{self, PortForward};

/// The exit code if no lab is running, as service managers use it.
const NOT_RUNNING: u8 = 3;

/// Shows the lab's addresses, users and passwords.
pub(super) fn run(layout: &Layout, as_json: bool) -> Result<ExitCode> {
    let running = namespaces::find(layout).is_some();
    let forwards = if running {
        port_forward::list(layout)?
    } else {
        Vec::new()
    };
    if as_json {
        let record = Record::last(layout).unwrap_or_default();
        println!(
            "{}",
            json!({
                "running": running,
                "port_forwards": forwards,
                "shipped": record.map(|record| record.commit),
            })
        );
    } else if running {
        print(&mut std::io::stdout(), layout, &forwards)?;
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

/// Prints the addresses, users and passwords.
pub(super) fn print(
    to: &mut impl Write,
    layout: &Layout,
    forwards: &[PortForward],
) -> io::Result<()> {
    let password = Credentials::ensure(layout)
        .map(|credentials| credentials.person)
        .unwrap_or_default();
    let argocd = fs::read_to_string(layout.state("argocd-password")).unwrap_or_default();
    let mut forwards: Vec<&PortForward> = forwards.iter().collect();
    forwards.sort_by_key(|forward| forward.listen.port());
    for forward in forwards {
        let (what, login) = match forward.name.as_str() {
            "argocd" => (
                "Argo CD (API only: the Go module does not contain the web page)".to_owned(),
                Some(format!("admin / {argocd}")),
            ),
            "forge" => (
                "Gitea: git, pull requests, Actions, registry".to_owned(),
                Some(format!("{PERSON} / {password}")),
            ),
            environment => (format!("the service in {environment}"), None),
        };
        writeln!(to, "  {:<26} {what}", forward.url())?;
        if let Some(login) = login {
            writeln!(to, "  {:<26} {login}", "")?;
        }
    }
    writeln!(
        to,
        "  {:<26} the cluster: `cargo lab exec -- kubectl get pods -A`",
        ""
    )?;
    writeln!(
        to,
        "  {:<26} the forge's certificate authority: {}",
        "",
        layout.state("pki/web-ca.crt").display()
    )
}
