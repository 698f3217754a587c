//! Programs from crates.io and PyPI, by exact version, in the user's cache: beside what the lab builds, and away
//! from what the machine has. An install that is there costs nothing, and one that is interrupted leaves nothing.

use crate::process::{cmd, run};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = include_str!("../../devkit/python/requirements.txt");

/// Makes sure that a program of crates.io is there, and says in which folder.
pub(crate) fn from_crates_io(name: &str, version: &str) -> Result<PathBuf> {
    let folder = install(&format!("{name}-{version}"), |part| {
        let target = part.join("target");
        let mut cargo = cmd("cargo", ["install", "--locked", "--quiet"]);
        cargo.args([name, "--version", version, "--root"]).arg(part);
        run(cargo.arg("--target-dir").arg(&target))?;
        fs::remove_dir_all(&target).with_context(|| format!("cannot delete {}", target.display()))
    })?;
    Ok(folder.join("bin"))
}

/// Makes sure that the programs of requirements.txt are there, and says in which folder.
pub(crate) fn from_pypi() -> Result<PathBuf> {
    let mut pins = DefaultHasher::new();
    REQUIREMENTS.hash(&mut pins);
    let folder = install(&format!("python-{:016x}", pins.finish()), |part| {
        let list = part.join("requirements.txt");
        write(&list, REQUIREMENTS)?;
        let options = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
            "--only-binary=:all:",
            "--require-hashes",
            "--requirement",
        ];
        let mut pip = cmd("python3", options);
        run(pip.arg(list).arg("--target").arg(part))
    })?;
    Ok(folder.join("bin"))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Where the folder of that name is; what isn't there is made under another name and then renamed.
fn install(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    install_in(&root()?, name, make)
}

fn install_in(cache: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let (tools, locks) = (cache.join("tools"), cache.join("locks"));
    let folder = tools.join(name);
    if folder.is_dir() {
        return Ok(folder);
    }
    let cannot = || format!("cannot install {name} under {}", cache.display());
    fs::create_dir_all(&locks).with_context(cannot)?;
    // Jobs of one machine share the cache: the second one waits for the first.
    let lock = File::create(locks.join(name)).with_context(cannot)?;
    lock.lock().with_context(cannot)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let part = tools.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).with_context(cannot)?;
    }
    fs::create_dir_all(&part).with_context(cannot)?;
    eprintln!("installing {name} into {}", tools.display());
    make(&part).with_context(cannot)?;
    fs::rename(&part, &folder).with_context(cannot)?;
    Ok(folder)
}

/// The same folder as the lab's.
fn root() -> Result<PathBuf> {
    let folder = |name| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let cache = cache.context("neither XDG_CACHE_HOME nor HOME is set to an absolute path")?;
    Ok(cache.join("waybill"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn what_is_there_is_not_made_again() {
        let cache = tempfile::tempdir().unwrap();
        let made = install_in(cache.path(), "x-1", |part| write(&part.join("it"), "x")).unwrap();
        assert_eq!(made, cache.path().join("tools/x-1"));
        assert!(made.join("it").is_file());
        let again = install_in(cache.path(), "x-1", |_| bail!("made twice")).unwrap();
        assert_eq!(again, made);
    }

    #[test]
    fn a_failed_install_leaves_nothing_that_counts_and_the_next_one_starts_afresh() {
        let cache = tempfile::tempdir().unwrap();
        let failed = install_in(cache.path(), "x-1", |part| {
            write(&part.join("half"), "x")?;
            bail!("no network")
        });
        assert!(format!("{:#}", failed.unwrap_err()).ends_with("no network"));
        assert!(!cache.path().join("tools/x-1").exists());
        let made = install_in(cache.path(), "x-1", |part| write(&part.join("whole"), "x")).unwrap();
        let files: Vec<_> = fs::read_dir(made)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, ["whole"]);
    }
}
