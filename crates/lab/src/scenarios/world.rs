//! What a scenario acts on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use devkit::process::Run;
use devkit::progress::Progress;

use crate::cluster::api::Kubernetes;
use crate::delivery::environment::Environment;
use crate::forge::api::Forge;
use crate::sandbox::layout::Layout;

/// The running lab, from inside.
pub struct World {
    /// The lab's folders.
    pub layout: Layout,
    /// The forge.
    pub forge: Forge,
    /// The cluster.
    pub kubernetes: Kubernetes,
    /// Where progress is shown.
    pub progress: Progress,
}

impl World {
    /// Connects to the forge and the cluster.
    ///
    /// # Errors
    /// When the lab's credentials or certificates cannot be read.
    pub fn new(layout: &Layout, progress: Progress) -> Result<Self> {
        Ok(Self {
            layout: layout.clone(),
            forge: Forge::new(layout)?,
            kubernetes: Kubernetes::new(layout)?,
            progress,
        })
    }

    /// The environment dev.
    pub fn dev(&self) -> Environment<'_> {
        self.environment("dev")
    }

    /// The environment with this name.
    pub fn environment<'a>(&'a self, name: &'a str) -> Environment<'a> {
        Environment::new(&self.kubernetes, name)
    }

    /// A new clone of a branch in the lab's folder for temporary files.
    ///
    /// # Errors
    /// When the branch cannot be cloned.
    pub fn clone(&self, name: &str, branch: &str) -> Result<PathBuf> {
        let folder = self.layout.state("tmp").join(format!("scenario-{name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        self.forge
            .git(&self.layout.state("tmp"))
            .args(["clone", "--quiet", "--branch", branch, &Forge::url()])
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

    /// Commits all changes of tracked files in a clone.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, clone: &Path, message: &str) -> Result<()> {
        self.forge
            .git(clone)
            .args(["commit", "--quiet", "--all", "--message", message])
            .run_quietly()?;
        Ok(())
    }
}
