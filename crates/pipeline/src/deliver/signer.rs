//! Who signs: the workflow itself where the forge gives it an identity, or a key.

use super::cosign::json_file;
use crate::workflow;
use anyhow::{Result, bail};
use serde::Serialize;
use tempfile::NamedTempFile;

const PRIVATE_KEY: &str = "COSIGN_PRIVATE_KEY";

/// The signer of an image or a chart.
pub(super) enum Signer {
    /// The workflow itself.
    Workflow,
    /// A key, without certificates and without a log. The files tell cosign that it has no services and no authorities.
    Key {
        /// Which services issue certificates.
        services: NamedTempFile,
        /// Which authorities are trusted.
        authorities: NamedTempFile,
    },
}

/// A configuration file of Sigstore without entries.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmptyConfiguration {
    media_type: String,
}

impl EmptyConfiguration {
    fn write(kind: &str) -> Result<NamedTempFile> {
        json_file(&Self {
            media_type: format!("application/vnd.dev.sigstore.{kind}"),
        })
    }
}

impl Signer {
    /// The key in COSIGN_PRIVATE_KEY, or else the workflow.
    ///
    /// # Errors
    /// When there is neither.
    pub(super) fn from_env() -> Result<Self> {
        if workflow::var(PRIVATE_KEY).is_some() {
            return Ok(Self::Key {
                services: EmptyConfiguration::write("signingconfig.v0.2+json")?,
                authorities: EmptyConfiguration::write("trustedroot+json;version=0.1")?,
            });
        }
        if workflow::var("ACTIONS_ID_TOKEN_REQUEST_URL").is_none() {
            bail!(
                "nothing to sign with: give the job the permission `id-token: write`, or the repository the secret {PRIVATE_KEY}"
            );
        }
        Ok(Self::Workflow)
    }

    /// The arguments of cosign.
    pub(super) fn arguments(&self) -> Vec<String> {
        match self {
            Self::Workflow => Vec::new(),
            Self::Key {
                services,
                authorities,
            } => vec![
                format!("--key=env://{PRIVATE_KEY}"),
                format!("--signing-config={}", services.path().display()),
                format!("--trusted-root={}", authorities.path().display()),
            ],
        }
    }
}
