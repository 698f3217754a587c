//! The repository on the forge: its settings, secrets and variables.

use std::fs;

use anyhow::{Context, Result};
use devkit::forge::RepositoryEdit;
use devkit::process::{Run, command};
use serde_json::json;

use super::client::{BOT, Forge, PERSON, REPORTER, create_token};
use crate::sandbox::credentials::Credentials;
use crate::sandbox::host::Host;
use crate::sandbox::layout::Layout;
use crate::sandbox::network::FORGE;

/// Creates the repository with the secrets and variables that the workflows read.
///
/// # Errors
/// When the forge refuses, or the signing key cannot be generated.
pub(super) fn set_up(forge: &Forge, layout: &Layout, host: &Host) -> Result<()> {
    let (owner, name) = forge.owner_and_name();
    create(forge, owner, name)?;
    forge.edit_repository(&RepositoryEdit {
        // The first delivery enables Actions.
        has_actions: Some(false),
        ..RepositoryEdit::default()
    })?;
    forge.add_writer(BOT)?;

    let bot = forge.as_bot()?;
    let bot = create_token(&bot, BOT, "delivery", "write:repository")?;
    let registry = create_token(forge, PERSON, "registry", "write:package")?;
    let keys = SigningKeys::ensure(layout, host, &forge.credentials)?;
    for (secret, value) in [
        ("DELIVERY_BOT_TOKEN", &bot),
        ("REGISTRY_TOKEN", &registry),
        ("COSIGN_PRIVATE_KEY", &keys.private),
        ("COSIGN_PASSWORD", &forge.credentials.signing),
    ] {
        forge.set_secret(secret, value)?;
    }
    for (variable, value) in [
        ("REGISTRY", FORGE),
        ("REGISTRY_USERNAME", PERSON),
        ("COSIGN_PUBLIC_KEY", &keys.public),
        ("ARGOCD_ACCOUNT", REPORTER),
    ] {
        forge.set_variable(variable, value)?;
    }
    Ok(())
}

/// Creates an empty public repository and the organisation that owns it, unless they exist.
///
/// # Errors
/// When the forge refuses.
pub(super) fn create(forge: &Forge, owner: &str, name: &str) -> Result<()> {
    forge.create_if_missing("/orgs", &json!({"username": owner, "visibility": "public"}))?;
    let repository = json!({"name": name, "auto_init": false});
    forge.create_if_missing(&format!("/orgs/{owner}/repos"), &repository)?;
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
