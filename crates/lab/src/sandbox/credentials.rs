//! Passwords and secrets, generated for one lab.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::Layout;

/// Passwords and tokens, generated for one lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// The password of the person who uses the lab, on the forge.
    pub person: String,
    /// The password of the delivery bot, on the forge.
    pub bot: String,
    /// The secret that the forge signs webhooks to Argo CD with.
    pub webhook: String,
    /// The seed of the database users' passwords.
    database: String,
    /// The password of the key that signs images.
    pub signing: String,
    /// The forge's own secret key.
    pub forge_secret: String,
    /// The forge's token for its internal API.
    pub forge_token: String,
}

impl Credentials {
    /// Reads the lab's credentials, and generates them first in a new lab.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn ensure(layout: &Layout) -> Result<Self> {
        let path = layout.state("credentials.json");
        if let Ok(text) = fs::read_to_string(&path) {
            return serde_json::from_str(&text)
                .with_context(|| format!("cannot read {}", path.display()));
        }
        let credentials = Self {
            person: random()?,
            bot: random()?,
            webhook: random()?,
            database: random()?,
            signing: random()?,
            forge_secret: random()?,
            forge_token: random()?,
        };
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| Ok(serde_json::to_writer_pretty(file, &credentials)?))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(credentials)
    }

    /// The password of an environment's database user.
    pub fn database(&self, environment: &str) -> String {
        hex::encode(Sha256::digest(format!("{}/{environment}", self.database)))
    }
}

/// 192 random bits from the kernel, as hexadecimal digits.
///
/// # Errors
/// When /dev/urandom cannot be read.
pub fn random() -> Result<String> {
    let mut bytes = [0; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(hex::encode(bytes))
}
