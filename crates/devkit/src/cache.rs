//! The user's cache: one folder for everything that can be downloaded or built again.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No variable names a folder for it.
    #[error("neither XDG_CACHE_HOME nor HOME is set to an absolute path; set one of them")]
    NoHome,
    /// The disk is full or read-only, or the folder belongs to another user.
    #[error("cannot write to the cache folder {}", path.display())]
    Write {
        /// What could not be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The cache of the pipeline and the lab: `delivery` in `$XDG_CACHE_HOME`, which is `~/.cache` by default.
///
/// # Errors
/// When neither XDG_CACHE_HOME nor HOME is an absolute path.
pub fn root() -> Result<PathBuf, Error> {
    let folder = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Ok(cache.ok_or(Error::NoHome)?.join("delivery"))
}

/// A short key for the content that something in a cache is built from.
pub fn content_key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..6])
}

/// Locks a name in a cache until the result is dropped. Waits for another process that holds it.
///
/// # Errors
/// When the cache cannot be written.
pub fn lock(cache: &Path, name: &str) -> Result<File, Error> {
    let locks = cache.join("locks");
    let path = locks.join(name);
    let open = || {
        fs::create_dir_all(&locks)?;
        let file = File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|source| Error::Write {
        path: path.clone(),
        source,
    })
}

/// Fills the folder `tools/<name>` of a cache, unless it exists. `fill` gets a temporary folder, which is renamed at
/// the end: an interrupted installation leaves nothing that looks complete.
///
/// # Errors
/// When the cache cannot be written, and those of `fill`.
pub fn folder<E: From<Error>>(
    cache: &Path,
    name: &str,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let tools = cache.join("tools");
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    // The jobs of one machine share the cache.
    let _lock = lock(cache, name)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let part = tools.join(format!("{name}.part"));
    let write = |source| Error::Write {
        path: part.clone(),
        source,
    };
    if part.exists() {
        fs::remove_dir_all(&part).map_err(write)?;
    }
    fs::create_dir_all(&part).map_err(write)?;
    fill(&part)?;
    fs::rename(&part, &folder).map_err(write)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    enum Failure {
        Cache,
        Network,
    }

    impl From<Error> for Failure {
        fn from(_: Error) -> Self {
            Self::Cache
        }
    }

    fn write(file: &Path) -> Result<(), Failure> {
        fs::write(file, "x").map_err(|_| Failure::Cache)
    }

    #[test]
    fn a_folder_that_exists_is_not_filled_again() {
        let cache = tempfile::tempdir().unwrap();
        let filled = folder(cache.path(), "x-1", |part| write(&part.join("it"))).unwrap();
        assert_eq!(filled, cache.path().join("tools/x-1"));
        assert!(filled.join("it").is_file());
        let again = folder(cache.path(), "x-1", |_| Err(Failure::Network)).unwrap();
        assert_eq!(again, filled);
    }

    #[test]
    fn after_a_failure_the_next_installation_starts_with_an_empty_folder() {
        let cache = tempfile::tempdir().unwrap();
        let failed = folder(cache.path(), "x-1", |part| {
            write(&part.join("half"))?;
            Err(Failure::Network)
        });
        assert!(matches!(failed, Err(Failure::Network)));
        assert!(!cache.path().join("tools/x-1").exists());
        let filled = folder(cache.path(), "x-1", |part| write(&part.join("whole"))).unwrap();
        let files: Vec<_> = fs::read_dir(filled)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["whole"]);
    }
}
