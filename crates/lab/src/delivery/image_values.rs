//! The image that an environment's values file names.

use anyhow::{Context, Result};

use crate::forge::api::Forge;

/// The image in an environment's values file, as it is on a branch.
pub struct ImageValues {
    /// The tag, for people to read.
    pub tag: String,
    /// The digest, which the cluster pulls.
    pub digest: String,
}

impl ImageValues {
    /// Whether the environment has no image yet: the digest is the placeholder.
    pub fn is_placeholder(&self) -> bool {
        self.digest
            .trim_start_matches("sha256:")
            .bytes()
            .all(|digit| digit == b'0')
    }

    /// Reads the values file from the forge.
    ///
    /// # Errors
    /// When the file or a key is missing.
    pub fn read(forge: &Forge, environment: &str, reference: &str) -> Result<Self> {
        let file = format!("charts/waybill/values-{environment}.yaml");
        let text = forge.file(&file, reference)?;
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
                .map(|rest| {
                    rest.split('#')
                        .next()
                        .unwrap_or_default()
                        .trim()
                        .trim_matches('"')
                        .to_owned()
                })
                .with_context(|| format!("{file} on {reference} has no {key}"))
        };
        Ok(Self {
            tag: value("tag")?,
            digest: value("digest")?,
        })
    }
}
