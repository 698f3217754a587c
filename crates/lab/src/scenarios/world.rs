//! What a scenario acts on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use devkit::delivery::{self, Delivery, Promotion};
use devkit::process::Run;
use devkit::progress::Progress;
use tempfile::TempDir;

use crate::cluster::api::Kubernetes;
use crate::delivery::environment::Environment;
use crate::forge::Forge;
use crate::sandbox::layout::Layout;

/// The running lab, from inside.
pub struct World {
    /// The lab's folders.
    pub layout: Layout,
    /// What the checkout's `delivery.toml` says.
    pub delivery: Delivery,
    /// The forge.
    pub forge: Forge,
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// Where progress is shown.
    pub progress: Progress,
    /// The clones of this scenario, removed when it ends. Scenarios that run beside each other have their own.
    clones: TempDir,
}

impl World {
    /// Connects to the forge and the cluster.
    ///
    /// # Errors
    /// When `delivery.toml`, the lab's credentials or its certificates cannot be read.
    pub fn new(layout: &Layout, progress: Progress) -> Result<Self> {
        Ok(Self {
            layout: layout.clone(),
            delivery: layout.delivery()?,
            forge: Forge::new(layout)?,
            kubernetes: Kubernetes::new(layout)?,
            progress,
            clones: tempfile::tempdir_in(layout.state("tmp"))?,
        })
    }

    /// The environment of an entry of `delivery.toml`.
    pub fn environment<'a>(&'a self, entry: &'a delivery::Environment) -> Environment<'a> {
        Environment::new(&self.kubernetes, &self.delivery, entry)
    }

    /// The environment that gets each build: dev.
    pub fn dev(&self) -> Environment<'_> {
        self.environment(self.delivery.first())
    }

    /// The first environment that versions are promoted to by a pull request: staging.
    ///
    /// # Errors
    /// When there is no such environment.
    pub fn staging(&self) -> Result<Environment<'_>> {
        let mut promoted = self.promoted();
        let entry = promoted.next().with_context(|| {
            format!(
                "this scenario needs an environment with `promotion = \"pull-request\"` in {}",
                delivery::FILE
            )
        })?;
        Ok(self.environment(entry))
    }

    /// The environments between the first and the last, in order.
    pub fn promoted(&self) -> impl Iterator<Item = &delivery::Environment> {
        let all = self.delivery.environments().iter();
        all.filter(|env| env.promotion == Promotion::PullRequest)
    }

    /// The branch that changes are merged to.
    pub fn trunk(&self) -> &str {
        &self.delivery.first().branch
    }

    /// A new clone of a branch, which replaces an earlier one of the same name.
    ///
    /// # Errors
    /// When the branch cannot be cloned.
    pub fn clone(&self, name: &str, branch: &str) -> Result<PathBuf> {
        let folder = self.clones.path().join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let git = self.forge.git(self.clones.path());
        git.command(&["clone", "--quiet", "--branch", branch, &self.forge.url()])
            .arg(&folder)
            .run_quietly()?;
        Ok(folder)
    }

    /// Replaces the first occurrence of a text in a file of a clone.
    ///
    /// # Errors
    /// When the file does not contain the text.
    pub fn edit(&self, clone: &Path, file: &str, from: &str, to: &str) -> Result<()> {
        let path = clone.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        if !text.contains(from) {
            bail!("{file} does not contain {from:?}, which this scenario changes");
        }
        fs::write(&path, text.replacen(from, to, 1)).with_context(|| format!("cannot write {file}"))
    }

    /// Commits all changes of tracked files in a clone, and returns the commit.
    ///
    /// # Errors
    /// When Git fails.
    pub fn commit(&self, clone: &Path, message: &str) -> Result<String> {
        let git = self.forge.git(clone);
        git.read(&["commit", "--quiet", "--all", "--message", message])?;
        Ok(git.head()?)
    }
}
