//! The repository on the forge: its settings, secrets and variables.

use std::fs;

use anyhow::{Context, Result};
use devkit::process::{Run, command};
use serde_json::json;

use super::api::{BOT, Forge, PERSON, REPOSITORY, client, owner_and_name, token};
use crate::sandbox::credentials::Credentials;
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;
use crate::sandbox::network::FORGE;

/// Creates the repository with the secrets and variables that the workflows read.
///
/// # Errors
/// When the forge refuses, or the signing key cannot be generated.
pub(super) fn set_up(forge: &Forge, layout: &Layout, host: &Host) -> Result<()> {
    let (owner, name) = owner_and_name()?;
    forge.ensure("/orgs", &json!({"username": owner, "visibility": "public"}))?;
    forge.ensure(
        &format!("/orgs/{owner}/repos"),
        &json!({"name": name, "default_branch": "main", "auto_init": false}),
    )?;
    // The first delivery enables Actions.
    forge.repository("PATCH", "", Some(&json!({"has_actions": false})))?;
    forge.repository(
        "PUT",
        &format!("/collaborators/{BOT}"),
        Some(&json!({"permission": "write"})),
    )?;

    let bot = client(layout, BOT, &forge.credentials.bot)?;
    let bot = token(&bot, BOT, "delivery", &["write:repository"])?;
    let registry = token(&forge.api, PERSON, "registry", &["write:package"])?;
    let keys = SigningKeys::ensure(layout, host, &forge.credentials)?;
    for (secret, value) in [
        ("DELIVERY_BOT_TOKEN", &bot),
        ("REGISTRY_TOKEN", &registry),
        ("COSIGN_PRIVATE_KEY", &keys.private),
        ("COSIGN_PASSWORD", &forge.credentials.signing),
    ] {
        forge.repository(
            "PUT",
            &format!("/actions/secrets/{secret}"),
            Some(&json!({"data": value})),
        )?;
    }
    for (variable, value) in [
        ("REGISTRY", FORGE),
        ("REGISTRY_USERNAME", PERSON),
        ("COSIGN_PUBLIC_KEY", &keys.public),
    ] {
        forge.ensure(
            &format!("/repos/{REPOSITORY}/actions/variables/{variable}"),
            &json!({"value": value}),
        )?;
    }
    Ok(())
}

/// The keys that sign images. The lab has no authority that could certify the identity of a workflow.
struct SigningKeys {
    private: String,
    public: String,
}

impl SigningKeys {
    fn ensure(layout: &Layout, host: &Host, credentials: &Credentials) -> Result<Self> {
        let folder = layout.state("signing");
        fs::create_dir_all(&folder)?;
        if !folder.join("cosign.pub").exists() {
            command("cosign", ["generate-key-pair"])
                .current_dir(&folder)
                .env("PATH", host.search_path())
                .env("COSIGN_PASSWORD", &credentials.signing)
                .run_quietly()?;
        }
        let read = |file: &str| {
            fs::read_to_string(folder.join(file))
                .with_context(|| format!("cannot read the lab's {file}"))
        };
        Ok(Self {
            private: read("cosign.key")?,
            public: read("cosign.pub")?,
        })
    }
}
