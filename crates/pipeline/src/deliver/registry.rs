//! The registry: what the image is called there, and how programs log in. Nothing else knows either.

use crate::auth::basic;
use crate::project::cmd;
use crate::workflow;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use tempfile::TempDir;

/// The repository of our image, in REGISTRY (ghcr.io).
pub(crate) struct Registry {
    image: String,
    login: Option<TempDir>,
}

impl Registry {
    /// Under the name of the forge's repository. Logs in as REGISTRY_USERNAME with REGISTRY_TOKEN; without a token
    /// the person's own login counts, and in a workflow what everybody may read.
    pub(crate) fn from_env() -> Result<Self> {
        let registry = workflow::var("REGISTRY").unwrap_or_else(|| "ghcr.io".to_owned());
        // Registries allow no capitals; forges do.
        let repository = workflow::require("GITHUB_REPOSITORY")?.to_ascii_lowercase();
        Ok(Self {
            image: format!("{registry}/{repository}"),
            login: login(&registry)?,
        })
    }

    /// Refuses to go on where a push would be without credentials.
    pub(crate) fn must_log_in(&self) -> Result<()> {
        ensure!(
            self.login.is_some() || !workflow::in_workflow(),
            "the variable REGISTRY_TOKEN is not set"
        );
        Ok(())
    }

    /// The image without tag or digest.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// A program that finds the credentials in a file, wherever it looks for them.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = cmd(program, args);
        if let Some(folder) = &self.login {
            // skopeo and buildah read the one, cosign and trivy the other.
            command
                .env("REGISTRY_AUTH_FILE", folder.path().join("config.json"))
                .env("DOCKER_CONFIG", folder.path());
        }
        command
    }
}

/// The credentials as a file that only this user can read: arguments could be read by others.
fn login(registry: &str) -> Result<Option<TempDir>> {
    let Some(token) = workflow::var("REGISTRY_TOKEN") else {
        return Ok(None);
    };
    let user = workflow::require("REGISTRY_USERNAME")?;
    let auths = json!({"auths": {registry: {"auth": basic(&user, &token)}}});
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.path().join("config.json"))
        .context("cannot make a file for the registry's credentials")?;
    serde_json::to_writer(file, &auths).context("cannot write the registry's credentials")?;
    Ok(Some(folder))
}
