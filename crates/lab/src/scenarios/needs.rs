//! What scenarios need before they start, and how that state is reached.

use std::fs;
use std::path::Path;

use anyhow::Result;
use devkit::process::{Run, command};

use super::world::World;
use super::{deploy, steps};
use crate::delivery::image_values::ImageValues;
use crate::forge::api::REPOSITORY;
use crate::sandbox::credentials::random;
use crate::sandbox::network::FORGE;

/// A state of the lab that a scenario starts from. The lab always serves a commit in dev.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A crate in Cargo's cache on the host, as a line of Cargo.toml. Inside there is no network to fetch it from, and a
    /// lab sees the crates that were there when it started.
    Crate(&'static str),
    /// The scanners, which jobs skip if they are not installed.
    Scanners,
    /// The tip of `develop` is the bot's write-back.
    WriteBack,
    /// The environment staging serves an image.
    Staging,
    /// The environment dev runs an image that staging does not run.
    Promotable,
    /// The environment staging serves an image that has an SBOM: it was built when the scanners were installed.
    Sbom,
    /// The changelog in staging has a version that is not tagged.
    UnreleasedVersion,
}

impl Need {
    /// Reaches the state inside the running lab, if it is not reached already. [`Need::Crate`] and [`Need::Scanners`] can
    /// only be reached on the host.
    ///
    /// # Errors
    /// When a delivery that the state needs fails.
    pub fn ensure(self, world: &World) -> Result<()> {
        if self.is_met(world)? {
            return Ok(());
        }
        eprintln!("── preparing: {}", self.description());
        match self {
            Self::Crate(_) | Self::Scanners => Ok(()),
            Self::WriteBack | Self::Promotable => deploy::run(world),
            Self::Staging => {
                Self::Promotable.ensure(world)?;
                steps::promote(world).map(drop)
            }
            Self::Sbom | Self::UnreleasedVersion => {
                deploy::run(world)?;
                steps::promote(world).map(drop)
            }
        }
    }

    /// What it needs, for people.
    fn description(self) -> &'static str {
        match self {
            Self::Crate(_) => "a crate in Cargo's cache",
            Self::Scanners => "the scanners",
            Self::WriteBack => "a write-back as the last commit on develop",
            Self::Staging => "an image in staging",
            Self::Promotable => "an image in dev that staging does not run",
            Self::Sbom => "an image in staging that has an SBOM",
            Self::UnreleasedVersion => "a version in staging's changelog that is not released",
        }
    }

    fn is_met(self, world: &World) -> Result<bool> {
        let forge = &world.forge;
        match self {
            Self::Crate(_) | Self::Scanners => Ok(true),
            Self::WriteBack => {
                let Some(tip) = forge.tip("develop")? else {
                    return Ok(false);
                };
                let commit = forge.repository("GET", &format!("/git/commits/{tip}"), None)?;
                let message = commit["commit"]["message"].as_str().unwrap_or_default();
                Ok(message.starts_with(WRITE_BACK))
            }
            Self::Staging => Ok(world.environment("staging").current(forge).is_ok()),
            Self::Promotable => {
                let dev = ImageValues::read(forge, "dev", "develop")?;
                let staging = ImageValues::read(forge, "staging", "staging")?;
                Ok(dev.digest != staging.digest)
            }
            Self::Sbom => {
                let image = ImageValues::read(forge, "staging", "staging")?;
                Ok(!image.is_placeholder() && has_sbom(world, &image.digest))
            }
            Self::UnreleasedVersion => {
                let changelog = forge.file("CHANGELOG.md", "staging")?;
                match steps::newest_version(&changelog) {
                    None => Ok(false),
                    Some(version) => Ok(!forge.has_tag(&version)?),
                }
            }
        }
    }
}

/// How the message of a write-back to dev starts.
pub(super) const WRITE_BACK: &str = "chore(deploy): dev";

/// Whether an image has a trusted SBOM, by the same check as the pipeline's `release` step.
fn has_sbom(world: &World, digest: &str) -> bool {
    let key = world.layout.state("signing/cosign.pub");
    command(
        "cosign",
        ["verify-attestation", "--insecure-ignore-tlog=true"],
    )
    .arg(format!("--key={}", key.display()))
    .args(["--type", "cyclonedx"])
    .arg(format!("{FORGE}/{REPOSITORY}@{digest}"))
    .run_quietly()
    .is_ok()
}

/// Downloads a crate into Cargo's cache on the host.
///
/// # Errors
/// When it cannot be downloaded.
pub fn fetch_crate(dependency: &str) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("waybill-{}", random()?));
    let fetched = fetch_in(&folder, dependency);
    let _ = fs::remove_dir_all(&folder);
    fetched
}

fn fetch_in(folder: &Path, dependency: &str) -> Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"prefetch\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n"
        ),
    )?;
    command("cargo", ["fetch", "--quiet"])
        .current_dir(folder)
        .run_quietly()?;
    Ok(())
}
