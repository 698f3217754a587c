//! The platforms that the image is built for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A platform of an image, by its operating system and its architecture in Go's words
/// (<https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Platform {
    /// Linux on x86_64.
    #[serde(rename = "linux/amd64")]
    Amd64,
    /// Linux on 64-bit Arm.
    #[serde(rename = "linux/arm64")]
    Arm64,
}

impl Platform {
    /// All platforms.
    const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The platform of an operating system and an architecture, as the configuration of an image names them.
    pub fn find(system: &str, architecture: &str) -> Option<Self> {
        let named = |platform: &Self| platform.architecture() == architecture;
        Self::ALL
            .into_iter()
            .filter(|_| system == "linux")
            .find(named)
    }

    /// The platform of containers on this machine. On other systems than Linux they run in a virtual machine of the same
    /// architecture.
    pub fn of_machine() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The architecture: `amd64`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's name of the platform with a static C library. Source: The rustc book, "Platform Support".
    pub fn rust_target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}
