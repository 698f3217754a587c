//! What scenarios need before they start, and how that state is reached.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;
use devkit::delivery;
use devkit::forge::Commit;
use devkit::process::{Run, command};
use devkit::reference::Digest;

use super::part::{DELIVERED, Part};
use super::world::World;
use super::{deploy, production, steps};
use crate::argocd::api::ArgoCd;
use crate::argocd::application::SyncStatus;
use crate::delivery::environment::Environment;
use crate::delivery::ship::{self, CI_LIMIT, SERVING_LIMIT};
use crate::forge::runs::{WorkflowRun, push};
use crate::sandbox::network::FORGE;
use crate::timeline::Recorder;

/// A state of the lab that a scenario starts from. The lab always serves a commit in dev.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A crate in Cargo's cache on the host, as a line of Cargo.toml. Inside there is no network to fetch it from, and a
    /// lab sees the crates that were there when it started.
    Crate(&'static str),
    /// The scanners, which jobs skip if they are not installed.
    Scanners,
    /// The controller of Argo Rollouts and its image in the cache.
    Rollouts,
    /// The tip of dev's branch is the bot's write-back.
    WriteBack,
    /// The environment staging serves an image.
    Staging,
    /// The environment staging has run two images at least.
    StagingHistory,
    /// The environment staging is synced to the tip of its branch.
    Synced,
    /// The environment dev runs an image that staging does not run.
    Promotable,
    /// The environment before prod serves an image that has an SBOM: it was built when the scanners were installed.
    Sbom,
    /// The changelog in the environment before prod has a version that is not tagged.
    UnreleasedVersion,
    /// The environment prod serves an image.
    Production,
}

impl Need {
    /// Reaches the state inside the running lab, if it is not reached already. [`Need::Crate`], [`Need::Scanners`] and
    /// [`Need::Rollouts`] can only be reached on the host.
    ///
    /// # Errors
    /// When a delivery that the state needs fails.
    pub fn ensure(self, world: &World) -> Result<()> {
        if self.is_met(world)? {
            return Ok(());
        }
        eprintln!("── preparing: {}", self.description());
        match self {
            Self::Crate(_) | Self::Scanners | Self::Rollouts => Ok(()),
            Self::WriteBack | Self::Promotable => deploy::run(world),
            Self::Staging => {
                Self::Promotable.ensure(world)?;
                steps::promote(world, world.staging()?.entry).map(drop)
            }
            Self::StagingHistory => {
                Self::Staging.ensure(world)?;
                Self::Promotable.ensure(world)?;
                steps::promote(world, world.staging()?.entry).map(drop)
            }
            Self::Synced => sync(world, &world.staging()?),
            Self::Sbom => {
                deploy::run(world)?;
                promote_to_all(world)
            }
            Self::UnreleasedVersion => {
                match Self::Promotable.is_met(world)? {
                    true => add_version(world)?,
                    false => deploy::run(world)?,
                }
                promote_to_all(world)
            }
            Self::Production => {
                Self::UnreleasedVersion.ensure(world)?;
                Self::Sbom.ensure(world)?;
                production::run(world)
            }
        }
    }

    /// What reaching the state changes.
    pub fn changes(self) -> &'static [Part] {
        match self {
            Self::Crate(_) | Self::Scanners | Self::Rollouts => &[],
            Self::WriteBack | Self::Promotable => &[Part::Dev, Part::Images],
            Self::Synced => &[Part::Staging],
            Self::Staging | Self::StagingHistory | Self::Sbom | Self::UnreleasedVersion => {
                &[Part::Dev, Part::Staging, Part::Images]
            }
            Self::Production => DELIVERED,
        }
    }

    /// The states that stay once this one is reached, whatever other scenarios do.
    pub fn lasting(self) -> &'static [Self] {
        match self {
            Self::Staging => &[Self::Staging],
            Self::StagingHistory => &[Self::Staging, Self::StagingHistory],
            Self::Sbom => &[Self::Staging, Self::Sbom],
            Self::Production => &[Self::Staging, Self::Sbom, Self::Production],
            _ => &[],
        }
    }

    /// What it needs, for people.
    fn description(self) -> &'static str {
        match self {
            Self::Crate(_) => "a crate in Cargo's cache",
            Self::Scanners => "the scanners",
            Self::Rollouts => "the controller of Argo Rollouts",
            Self::WriteBack => "a write-back as the last commit on dev's branch",
            Self::Staging => "an image in staging",
            Self::StagingHistory => "two images in staging, one after the other",
            Self::Synced => "staging as in Git",
            Self::Promotable => "an image in dev that staging does not run",
            Self::Sbom => "an image before prod that has an SBOM",
            Self::UnreleasedVersion => "a version before prod that is not released",
            Self::Production => "an image in prod",
        }
    }

    /// Whether the lab is in this state.
    ///
    /// # Errors
    /// When the forge or the cluster does not answer.
    pub fn is_met(self, world: &World) -> Result<bool> {
        let forge = &world.forge;
        match self {
            Self::Crate(_) | Self::Scanners | Self::Rollouts => Ok(true),
            Self::WriteBack => {
                let first = world.delivery.first();
                let Some(tip) = forge.tip(&first.branch)? else {
                    return Ok(false);
                };
                let commit = forge.find_commit(&tip)?;
                Ok(commit.is_some_and(|commit| is_write_back(&commit, first)))
            }
            Self::Staging => Ok(world.staging()?.current(forge).is_ok()),
            Self::StagingHistory => {
                let staging = world.staging()?;
                let history = staging.application()?.status.history.into_iter();
                let digests: BTreeSet<String> = history
                    .filter_map(|entry| forge.image(staging.entry, &entry.revision).ok())
                    .map(|image| image.digest.to_string())
                    .collect();
                Ok(digests.len() > 1)
            }
            Self::Synced => {
                let staging = world.staging()?;
                let (_, deployed) = staging.current(forge)?;
                let is_synced = staging.application()?.status.sync.status == SyncStatus::Synced;
                Ok(is_synced && deployed.revision == staging.tip(forge)?)
            }
            Self::Promotable => {
                let digest = |env: &delivery::Environment| -> Result<Option<Digest>> {
                    Ok(forge.values(env, &env.branch)?.digest()?)
                };
                Ok(digest(world.delivery.first())? != digest(world.staging()?.entry)?)
            }
            Self::Sbom => {
                let env = world.delivery.tagged();
                let digest = forge.values(env, &env.branch)?.digest()?;
                Ok(digest.is_some_and(|digest| has_sbom(world, &digest)))
            }
            Self::UnreleasedVersion => {
                let branch = &world.delivery.tagged().branch;
                let changelog = forge.find_file("CHANGELOG.md", branch)?;
                match steps::newest_version(&changelog.unwrap_or_default()) {
                    None => Ok(false),
                    Some(version) => Ok(!forge.tags()?.contains(&version)),
                }
            }
            Self::Production => {
                let prod = world.environment(world.delivery.last());
                Ok(prod.current(forge).is_ok())
            }
        }
    }
}

/// Syncs an environment to the tip of its branch, and waits until it serves that.
fn sync(world: &World, environment: &Environment) -> Result<()> {
    let tip = environment.tip(&world.forge)?;
    let expected = steps::declared(world, environment.entry, tip)?;
    ArgoCd::new(&world.kubernetes)?.sync(&environment.application_name())?;
    environment.wait_deployed(&expected, SERVING_LIMIT)
}

/// Adds a version to the changelog on the trunk.
fn add_version(world: &World) -> Result<()> {
    let clone = world.clone("version", world.trunk())?;
    deploy::add_version(world, &clone)?;
    let title = "Add a version to the changelog";
    world.commit(&clone, title)?;
    let mut recorder = Recorder::start();
    let merged = ship::merge(&world.forge, &clone, world.trunk(), title, &mut recorder)?;
    WorkflowRun::wait(&world.forge, &push(world.trunk()), &merged, CI_LIMIT).map(drop)
}

/// Promotes the image of dev to all environments before prod, one after the other.
fn promote_to_all(world: &World) -> Result<()> {
    let mut promoted = world.promoted();
    promoted.try_for_each(|to| steps::promote(world, to).map(drop))
}

/// Whether a commit is a write-back to an environment, by the beginning of its message.
pub(super) fn is_write_back(commit: &Commit, env: &delivery::Environment) -> bool {
    let start = format!("chore(deploy): {env} ");
    commit.message.starts_with(&start)
}

/// Whether an image has a trusted SBOM, by the same check as the pipeline's `release` step.
fn has_sbom(world: &World, digest: &Digest) -> bool {
    let Ok(repository) = world.delivery.image_repository_in(FORGE) else {
        return false;
    };
    let key = world.layout.state("signing/cosign.pub");
    command(
        "cosign",
        ["verify-attestation", "--insecure-ignore-tlog=true"],
    )
    .arg(format!("--key={}", key.display()))
    .args(["--type", "cyclonedx"])
    .arg(format!("{repository}@{digest}"))
    .run_quietly()
    .is_ok()
}

/// Downloads a crate into Cargo's cache on the host.
///
/// # Errors
/// When it cannot be downloaded.
pub fn fetch_crate(dependency: &str) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
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
