//! `cargo pipeline verify` verifies the signature and the provenance of images.

use super::gate::Gate;
use super::registry::Registry;
use super::verification::{require_commit, verify};
use crate::project::root;
use anyhow::Result;
use devkit::delivery::Delivery;
use devkit::git::Git;
use devkit::reference::Digest;

/// Verify an image, or the images that a change gives to the environments.
///
/// With `--digest`, verifies the signature and the provenance of one image. Trusts the workflow ci.yaml of
/// GITHUB_REPOSITORY on the branch of the first environment in delivery.toml or, if COSIGN_PUBLIC_KEY is set, only that
/// key.
///
/// With `--changed`, compares the values files of the environments between two commits. If the image of an environment
/// changes, it must verify, be built from a commit in the history of the change, and be the image that the environment
/// before has, or one that the environment had and now holds. Tag and digest may change, and no other key of `image`.
/// Needs all branches with their history.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// Digest of the image in the registry
    #[arg(long, required_unless_present = "changed")]
    digest: Option<Digest>,
    /// Commit that the image must have been built from
    #[arg(long, value_name = "SHA", requires = "digest")]
    commit: Option<String>,
    /// Verify the images that a change gives to the environments
    #[arg(long, conflicts_with = "digest")]
    changed: bool,
    /// Commit to compare with [default: where the workflow's event or this branch began]
    #[arg(long, value_name = "SHA", requires = "changed")]
    base: Option<String>,
}

impl Verify {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let Some(digest) = &self.digest else {
            return self.verify_change(&Git::new(&root), &delivery);
        };
        let registry = Registry::from_env(&delivery)?;
        let commit = verify(&registry, digest)?;
        if let Some(expected) = &self.commit {
            require_commit(&commit, expected)?;
        }
        println!(
            "{} is signed and was built from {commit}",
            registry.image(digest)
        );
        Ok(())
    }

    fn verify_change(&self, git: &Git, delivery: &Delivery) -> Result<()> {
        let mut gate = Gate::from_env(git, delivery)?;
        if let Some(base) = &self.base {
            gate.base = Some(git.require_commit(base)?);
        }
        let found = gate.check()?;
        if found.is_empty() {
            println!("no environment gets another image");
        }
        for line in found {
            println!("{line}");
        }
        Ok(())
    }
}
