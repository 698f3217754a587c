//! Where the lab keeps things, seen from the host and from inside.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The state folder as the lab's own processes see it: a bind mount, so that every configuration
/// file can name fixed paths.
pub const INSIDE: &str = "/run/lab";

/// The cache folder as the lab's own processes see it.
pub const INSIDE_CACHE: &str = "/run/lab-cache";

/// The folders of one lab.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Everything that belongs to this lab and goes with it: databases, repositories, keys, logs.
    pub state: PathBuf,
    /// What outlives a lab and can always be made again: tools, images, build caches.
    pub cache: PathBuf,
}

impl Layout {
    /// Folders from the options, or the XDG defaults.
    ///
    /// # Errors
    /// When no home folder is known, or the state folder lies where the lab puts a layer of its own.
    pub fn new(state: Option<PathBuf>) -> Result<Self> {
        let home = std::env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|home| home.is_absolute())
            .context("HOME is not set to an absolute path; set it, or pass --state")?;
        let xdg = |name: &str, default: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .unwrap_or_else(|| home.join(default))
        };
        let state = match state {
            Some(path) => std::path::absolute(&path)
                .with_context(|| format!("state folder {}", path.display()))?,
            None => xdg("XDG_STATE_HOME", ".local/state").join("waybill/lab"),
        };
        for layered in ["/etc", "/var", "/tmp", "/run", "/proc", "/sys", "/dev"] {
            if state.starts_with(layered) {
                bail!(
                    "the state folder {} lies under {layered}, which the lab replaces inside; \
                     choose a folder elsewhere with --state",
                    state.display()
                );
            }
        }
        Ok(Self {
            state,
            cache: xdg("XDG_CACHE_HOME", ".cache").join("waybill"),
        })
    }

    /// The same lab as its own processes see it.
    pub fn inside() -> Self {
        Self {
            state: INSIDE.into(),
            cache: INSIDE_CACHE.into(),
        }
    }

    /// A short name that tells this lab's control groups from another lab's.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.state.as_os_str().as_encoded_bytes());
        format!("lab-{}", hex::encode(&digest[..4]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_the_lab_would_hide_is_refused() {
        let error = Layout::new(Some("/var/lib/lab".into())).unwrap_err();
        assert!(error.to_string().contains("lies under /var"), "{error}");
    }

    #[test]
    fn two_labs_have_two_ids() {
        let lab = |state: &str| Layout::new(Some(state.into())).unwrap().id();
        assert_ne!(lab("/srv/one"), lab("/srv/two"));
        assert_eq!(lab("/srv/one"), lab("/srv/one"));
    }
}
