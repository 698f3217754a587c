//! `cargo pipeline prune` deletes old images from GitHub's registry.
//!
//! What Git names must stay: an environment runs it, or can go back to it. So the clone needs its whole history, and in
//! doubt nothing is deleted.

mod named;
mod obsolete;

use super::registry::Registry;
use super::version::is_prerelease;
use crate::project::root;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::Delivery;
use devkit::forge::{Forge, ImageVersion};
use devkit::git::Git;
use devkit::process::Run;
use devkit::reference::Digest;
use jiff::{SignedDuration, Timestamp};
use obsolete::{Manifest, obsolete};
use std::collections::{BTreeMap, BTreeSet};

/// GitHub's registry. Others have other ways to delete images.
const REGISTRY: &str = "ghcr.io";

/// The tag of the newest release.
const LATEST: &str = "latest";

/// Delete old images from GitHub's registry.
///
/// Lists the images that are not needed any more, and deletes them only with `--delete`. These images are kept:
///
/// - images that are younger than `--older-than`;
///
/// - of each values file of an environment, on the branch of each environment, the last images (`--keep`);
///
/// - the images that the values files have now on any branch, such as that of an open pull request;
///
/// - releases: images with a version tag or the tag `latest`, and those in the values files at a version tag.
///
/// With an image, its signatures, its attestations and the images of its platforms are kept. Needs a clone with all
/// branches, tags and history. Logs in to the forge with GITHUB_TOKEN, and to the registry as the other commands do.
#[derive(clap::Args)]
pub(crate) struct Prune {
    /// Age below which every image is kept, in days
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    older_than: u16,
    /// How many images of each values file are kept, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    keep: usize,
    /// Delete the images instead of only listing them
    #[arg(long)]
    delete: bool,
}

impl Prune {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(
            workflow::var("GITOPS_REPOSITORY").is_none(),
            "the values are in a separate repository (GITOPS_REPOSITORY), so this one does not name the images that are needed; nothing was deleted"
        );
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let registry = Registry::from_env(&delivery)?;
        let name = package(&registry, &delivery)?;
        let named = named::images(&Git::new(&root), &delivery, self.keep)?;
        let forge = Forge::from_env(&["GITHUB_TOKEN"])?;
        let package = forge.image_package(name)?;
        let versions = package.versions()?;
        let obsolete = self.select(&registry, &versions, named)?;
        let kept = versions.len() - obsolete.len();
        let mut failed = 0;
        for version in &obsolete {
            let (digest, tags) = (&version.digest, version.tags().join(", "));
            println!("{digest} of {} {tags}", version.created_at);
            if self.delete
                && let Err(error) = package.delete(version.id)
            {
                println!("  not deleted: {error}");
                failed += 1;
            }
        }
        let count = obsolete.len();
        ensure!(
            failed == 0,
            "{failed} of {count} versions were not deleted, for the reasons above"
        );
        match (count, self.delete) {
            (0, _) => println!("all {kept} versions are needed"),
            (_, true) => println!("{count} versions deleted, {kept} kept"),
            (_, false) => {
                println!("{count} versions are not needed, {kept} are: `--delete` deletes them");
            }
        }
        Ok(())
    }

    /// The versions to delete, in the order in which to delete them.
    fn select<'a>(
        &self,
        registry: &Registry,
        versions: &'a [ImageVersion],
        mut needed: BTreeSet<Digest>,
    ) -> Result<Vec<&'a ImageVersion>> {
        let age = SignedDuration::from_hours(24 * i64::from(self.older_than));
        let limit = Timestamp::now().checked_sub(age)?;
        for version in versions {
            let created: Timestamp = version.created_at.parse().with_context(|| {
                format!(
                    "GitHub says that {} was created at {:?}",
                    version.digest, version.created_at
                )
            })?;
            let is_release = version
                .tags()
                .iter()
                .any(|tag| tag == LATEST || is_prerelease(tag).is_ok());
            if created > limit || is_release {
                needed.insert(version.digest.clone());
            }
        }
        if versions
            .iter()
            .all(|version| needed.contains(&version.digest))
        {
            return Ok(Vec::new());
        }
        let mut manifests = BTreeMap::new();
        for version in versions {
            manifests.insert(version.digest.clone(), manifest(registry, &version.digest)?);
        }
        Ok(obsolete(versions, needed, &manifests))
    }
}

/// The name of the image among the packages of the repository's owner.
fn package<'a>(registry: &'a Registry, delivery: &Delivery) -> Result<&'a str> {
    let repository = registry.repository();
    if repository.registry() != REGISTRY {
        bail!(
            "the images are in {}, and this command deletes only those in {REGISTRY}: use what that registry offers (docs/pipeline.md)",
            repository.registry()
        );
    }
    let owned = repository.path().split_once('/');
    let owned = owned.filter(|(owner, _)| owner.eq_ignore_ascii_case(&delivery.owner));
    let (_, name) = owned.with_context(|| {
        format!(
            "{repository} does not belong to {}, the owner of this repository",
            delivery.owner
        )
    })?;
    Ok(name)
}

/// What a manifest in the registry refers to.
fn manifest(registry: &Registry, digest: &Digest) -> Result<Manifest> {
    let image = format!("docker://{}", registry.image(digest));
    let text = registry
        .command("skopeo", &["inspect", "--raw", &image])
        .read()
        .with_context(|| format!("cannot read {digest}; nothing was deleted"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{digest} is not an OCI manifest; nothing was deleted"))
}
