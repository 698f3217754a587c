//! The image's repository in the registry: its name, its credentials, and who signs its images.

use crate::workflow;
use anyhow::{Context, Result, ensure};
use devkit::delivery::Delivery;
use devkit::http::basic;
use devkit::process::command;
use devkit::reference::{Digest, Repository};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use tempfile::TempDir;

/// The image's repository in the registry.
pub(super) struct Registry {
    repository: Repository,
    /// The ref whose workflow runs build and sign images: `refs/heads/develop`.
    signing_reference: String,
    /// A folder with a configuration file that has the credentials.
    login: Option<TempDir>,
}

impl Registry {
    /// The repository that delivery.toml names, in the registry of the variable REGISTRY if that is set.
    ///
    /// Logs in as REGISTRY_USERNAME with REGISTRY_TOKEN. Without a token, programs use the login of the user, if any.
    pub(super) fn from_env(delivery: &Delivery) -> Result<Self> {
        let repository = match workflow::var("REGISTRY") {
            Some(registry) => delivery
                .image_repository_in(&registry)
                .context("the variable REGISTRY has a wrong value")?,
            None => delivery.image_repository().clone(),
        };
        Ok(Self {
            login: login(repository.registry())?,
            signing_reference: delivery.first().reference(),
            repository,
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
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The name of one image: `ghcr.io/acme/shop@sha256:…`.
    pub(super) fn image(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.repository)
    }

    /// The ref whose workflow runs build and sign images.
    pub(super) fn signing_reference(&self) -> &str {
        &self.signing_reference
    }

    /// A command that finds the credentials.
    pub(super) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = command(program, args);
        if let Some(folder) = &self.login {
            let file = folder.path().join("config.json");
            // skopeo and buildah read the first variable, Helm the second, cosign and trivy the third.
            command
                .env("REGISTRY_AUTH_FILE", &file)
                .env("HELM_REGISTRY_CONFIG", &file)
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
    let Some(token) = workflow::secret("REGISTRY_TOKEN")? else {
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
