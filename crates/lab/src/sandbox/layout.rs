//! The folders of a lab, as the host and as the processes inside see them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use devkit::cache;
use devkit::delivery::Delivery;
use sha2::{Digest, Sha256};

/// The state folder as the processes inside see it: a bind mount, so that configuration files can name fixed paths.
pub const INSIDE: &str = "/run/lab";

/// The cache folder as the processes inside see it.
pub const INSIDE_CACHE: &str = "/run/lab-cache";

/// The configuration that gives programs inside an administrator's access to the cluster.
pub const KUBECONFIG: &str = "/run/lab/kubeconfig/admin";

/// The folders of one lab.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything that belongs to this lab and is deleted with it: databases, repositories, keys, logs.
    pub state: PathBuf,
    /// Tools, images and build caches. They outlive a lab and can always be rebuilt.
    pub cache: PathBuf,
}

impl Layout {
    /// The folders of the lab in `state`, or in the default state folder of the XDG specification.
    ///
    /// # Errors
    /// When HOME is not set, or the lab replaces the folder that the state folder is in.
    pub fn new(state: Option<PathBuf>) -> Result<Self> {
        let state = match state {
            Some(path) => std::path::absolute(&path)
                .with_context(|| format!("state folder {}", path.display()))?,
            None => default_state()?,
        };
        for layered in ["/etc", "/var", "/tmp", "/run", "/proc", "/sys", "/dev"] {
            if state.starts_with(layered) {
                bail!(
                    "the state folder {} is in {layered}, which the lab replaces inside; \
                     choose another folder with --state",
                    state.display()
                );
            }
        }
        Ok(Self {
            state,
            cache: cache::root()?,
        })
    }

    /// The folders as the processes inside see them.
    pub fn inside() -> Self {
        Self {
            state: INSIDE.into(),
            cache: INSIDE_CACHE.into(),
        }
    }

    /// What the checkout's `delivery.toml` says. [`super::checkout::copy_in`] makes the copy that is read here.
    ///
    /// # Errors
    /// When nothing was copied yet, or the file is not valid.
    pub fn delivery(&self) -> Result<Delivery> {
        Ok(Delivery::load(&self.state("checkout"))?)
    }

    /// A short name for this lab's control groups and lock, different for each state folder.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.state.as_os_str().as_encoded_bytes());
        format!("lab-{}", hex::encode(&digest[..4]))
    }

    /// Locks the lab, so that only one `up` or `down` works on it at a time. The lock ends with the returned file.
    ///
    /// # Errors
    /// When another process holds the lock, or the lock file cannot be created.
    pub fn lock(&self) -> Result<File> {
        let folder = self.cache("locks");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let file = File::create(folder.join(self.id()))?;
        if file.try_lock().is_err() {
            bail!(
                "another `cargo lab` is working on {}; wait until it has finished",
                self.state.display()
            );
        }
        Ok(file)
    }

    /// A path as processes inside see it: the cache has another one there.
    pub fn seen_inside(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.cache) {
            Ok(rest) => Self::inside().cache(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// A path in the state folder.
    pub fn state(&self, path: impl AsRef<Path>) -> PathBuf {
        self.state.join(path)
    }

    /// A path in the cache folder.
    pub fn cache(&self, path: impl AsRef<Path>) -> PathBuf {
        self.cache.join(path)
    }
}

/// `delivery/lab` in `$XDG_STATE_HOME`, which is `~/.local/state` by default.
fn default_state() -> Result<PathBuf> {
    let folder = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    let state = state.context("HOME is not set to an absolute path; set it, or pass --state")?;
    Ok(state.join("delivery/lab"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_the_lab_would_hide_is_refused() {
        let error = Layout::new(Some("/var/lib/lab".into())).unwrap_err();
        assert!(error.to_string().contains("is in /var"), "{error}");
    }

    #[test]
    fn two_labs_have_two_ids() {
        let lab = |state: &str| Layout::new(Some(state.into())).unwrap().id();
        assert_ne!(lab("/srv/one"), lab("/srv/two"));
        assert_eq!(lab("/srv/one"), lab("/srv/one"));
    }
}
