//! The container registry: the name of the image, and the credentials.

use crate::auth::basic;
use crate::workflow;
use anyhow::{Context, Result, ensure};
use devkit::process::command;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use tempfile::TempDir;

/// The repository of the image in the registry.
pub(super) struct Registry {
    image: String,
    /// A folder with a configuration file that has the credentials.
    login: Option<TempDir>,
}

impl Registry {
    /// The repository with the name of GITHUB_REPOSITORY in the registry REGISTRY (ghcr.io).
    ///
    /// Logs in as REGISTRY_USERNAME with REGISTRY_TOKEN. Without a token, programs use the login of the user, if any.
    pub(super) fn from_env() -> Result<Self> {
        let registry = workflow::var("REGISTRY").unwrap_or_else(|| "ghcr.io".to_owned());
        // Unlike forges, registries allow only lower-case names.
        let repository = workflow::require("GITHUB_REPOSITORY")?.to_ascii_lowercase();
        Ok(Self {
            image: format!("{registry}/{repository}"),
            login: login(&registry)?,
        })
    }

    /// Fails in a workflow without credentials, before a push would fail.
    pub(super) fn require_credentials(&self) -> Result<()> {
        ensure!(
            self.login.is_some() || !workflow::in_workflow(),
            "the variable REGISTRY_TOKEN is not set"
        );
        Ok(())
    }

    /// The name of the image, without a tag or digest.
    pub(super) fn image(&self) -> &str {
        &self.image
    }

    /// A command that finds the credentials.
    pub(super) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = command(program, args);
        if let Some(folder) = &self.login {
            // skopeo and buildah read the first variable, cosign and trivy the second.
            command
                .env("REGISTRY_AUTH_FILE", folder.path().join("config.json"))
                .env("DOCKER_CONFIG", folder.path());
        }
        command
    }
}

/// Docker's configuration file (<https://docs.docker.com/reference/cli/docker/login/>).
#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, Auth>,
}

#[derive(Serialize)]
struct Auth {
    auth: String,
}

/// Writes the credentials to a file that only this user can read. Arguments would be visible to other users.
fn login(registry: &str) -> Result<Option<TempDir>> {
    let Some(token) = workflow::var("REGISTRY_TOKEN") else {
        return Ok(None);
    };
    let user = workflow::require("REGISTRY_USERNAME")?;
    let auth = Auth {
        auth: basic(&user, &token),
    };
    let config = DockerConfig {
        auths: BTreeMap::from([(registry, auth)]),
    };
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.path().join("config.json"))
        .context("cannot create the file for the credentials of the registry")?;
    serde_json::to_writer(file, &config).context("cannot write the credentials of the registry")?;
    Ok(Some(folder))
}
