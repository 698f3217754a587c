//! The Gitea server.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use devkit::http::{Client, Tls};
use devkit::process::command;
use devkit::tools;

use crate::sandbox::credentials::Credentials;
use crate::sandbox::host::{Host, ids};
use crate::sandbox::layout::{INSIDE, Layout};
use crate::sandbox::network::FORGE;
use crate::sandbox::service::Service;

/// Starts Gitea and waits until it answers.
///
/// # Errors
/// When its configuration cannot be written, or it does not become ready.
pub(super) fn start(layout: &Layout, host: &Host, credentials: &Credentials) -> Result<()> {
    let folder = layout.state("forge");
    let (uid, gid) = ids("nobody")?;
    if !folder.join("app.ini").exists() {
        fs::create_dir_all(&folder)?;
        let share = tools::shared_file(&Layout::inside().cache, "gitea", "templates")?;
        let share = share
            .parent()
            .context("the folder of Gitea's templates has no parent")?;
        let text = include_str!("../../platform/forge.ini")
            .replace("@STATIC@", &share.display().to_string())
            .replace("@SECRET@", &credentials.forge_secret)
            .replace("@TOKEN@", &credentials.forge_token);
        for (file, text) in [
            ("app.ini", text),
            (
                "tls.crt",
                fs::read_to_string(layout.state("pki/forge.crt"))?,
            ),
            (
                "tls.key",
                fs::read_to_string(layout.state("pki/forge.key"))?,
            ),
        ] {
            let path = folder.join(file);
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))?;
            chown(&path, Some(uid), Some(gid))?;
        }
        chown(&folder, Some(uid), Some(gid))?;
    }
    let mut variables = host.variables();
    variables.retain(|(name, _)| name != "HOME" && name != "KUBECONFIG");
    variables.push(("HOME".into(), format!("{INSIDE}/forge")));
    variables.push(("USER".into(), "nobody".into()));
    let gitea = Service {
        name: "gitea",
        argv: [
            "gitea",
            "web",
            "--config",
            &format!("{INSIDE}/forge/app.ini"),
        ]
        .map(str::to_owned)
        .to_vec(),
        variables,
        user: Some("nobody"),
    };
    gitea.ensure(layout)?;
    let authority = Tls::authority(&layout.state("pki/web-ca.crt"))?;
    let probe = Client::new(&format!("https://{FORGE}"), authority);
    gitea.wait(layout, Duration::from_secs(60), || {
        probe.text("/api/healthz").is_ok()
    })
}

/// Gitea's command-line program, as the user that the server runs as.
///
/// # Errors
/// When the machine has no such user.
pub(super) fn gitea(host: &Host, args: &[&str]) -> Result<Command> {
    let (uid, gid) = ids("nobody")?;
    let mut gitea = command(
        "setpriv",
        [
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".into(),
            "gitea".into(),
        ],
    );
    gitea
        .args(args)
        .args(["--config", &format!("{INSIDE}/forge/app.ini")])
        .env("PATH", host.search_path())
        .env("HOME", format!("{INSIDE}/forge"))
        .env("USER", "nobody")
        .current_dir(format!("{INSIDE}/forge"));
    Ok(gitea)
}

/// What Gitea printed when a command failed, without the command line: that may hold a password.
pub(super) fn printed(error: &devkit::process::Error) -> String {
    match error {
        devkit::process::Error::Failed { output, .. } => output.clone(),
        other => other.to_string(),
    }
}
