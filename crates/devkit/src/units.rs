//! Compiled units in cargo's target folders.
//!
//! A unit is one call of the compiler or of a build script. Its name is the package's name and a hash of everything that
//! identifies the unit, such as version, features, profile and compiler. Units of packages from a registry do not depend on
//! the target folder's path, so cargo accepts a copy in another target folder. It compiles a unit again when sources,
//! flags or environment variables differ. Source: The Cargo Book, "Build cache"; the names of the folders in it are
//! internal to cargo, and with other names nothing is copied.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The folder with cargo's notes on each unit. Cargo takes a unit that has no notes as not compiled.
pub const NOTES: &str = ".fingerprint";

/// How to put compiled libraries into the other target folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libraries {
    /// By a copy.
    Copy,
    /// By a hard link where possible. The compiler replaces libraries and does not write into them.
    Link,
}

/// The package's name in a unit's name.
pub fn package(unit: &str) -> &str {
    unit.rsplit_once('-').map_or(unit, |(package, _)| package)
}

/// The units of a profile's folder, such as `target/debug`. A folder that does not exist has none.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(profile: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(profile.join(NOTES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut units = Vec::new();
    for entry in entries {
        units.extend(entry?.file_name().into_string().ok());
    }
    units.sort();
    Ok(units)
}

/// Copies units from one profile's folder to another, except those that the other has already. All files keep their
/// times, because cargo compares them.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(units: &[String], from: &Path, to: &Path, libraries: Libraries) -> io::Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let compiled = compiled(&from.join("deps"))?;
    let files_of = |unit| {
        hash(unit)
            .and_then(|hash| compiled.get(hash))
            .into_iter()
            .flatten()
    };
    fs::create_dir_all(to.join("deps"))?;
    for unit in units {
        let notes = to.join(NOTES).join(unit);
        if notes.exists() {
            continue;
        }
        for name in files_of(unit) {
            let (source, target) = (from.join("deps").join(name), to.join("deps").join(name));
            let is_linked = libraries == Libraries::Link
                && (fs::hard_link(&source, &target).is_ok() || target.exists());
            if !is_linked {
                copy_file(&source, &target)?;
            }
        }
        let output = from.join("build").join(unit);
        if output.exists() {
            copy_folder(&output, &to.join("build").join(unit))?;
        }
        // The notes come last: what is not complete has none.
        copy_folder(&from.join(NOTES).join(unit), &notes)?;
    }
    Ok(())
}

/// Whether two profiles' folders have different libraries of the same unit.
///
/// A library that includes what a build script wrote contains the path of its target folder. What was compiled with the
/// library of one folder does not fit that of another.
///
/// # Errors
/// When a file cannot be read.
pub fn differ(units: &[String], one: &Path, other: &Path) -> io::Result<bool> {
    if !one.join("deps").exists() || !other.join("deps").exists() {
        return Ok(false);
    }
    let compiled = compiled(&one.join("deps"))?;
    let files = units
        .iter()
        .filter_map(|unit| compiled.get(hash(unit)?))
        .flatten()
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|end| end == "rmeta")
        });
    for name in files {
        let Ok(theirs) = fs::metadata(other.join("deps").join(name)) else {
            continue;
        };
        let ours = fs::metadata(one.join("deps").join(name))?;
        if ours.len() != theirs.len() || ours.modified()? != theirs.modified()? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files that the compiler wrote, by the hash of their unit.
fn compiled(folder: &Path) -> io::Result<BTreeMap<String, Vec<OsString>>> {
    let mut files: BTreeMap<String, Vec<OsString>> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(hash) = hash(&name.to_string_lossy()) {
            files.entry(hash.to_owned()).or_default().push(name);
        }
    }
    Ok(files)
}

/// The hash in the name of a unit or of a file that the compiler wrote: `libserde-0123456789abcdef.rlib`.
pub fn hash(file: &str) -> Option<&str> {
    let (_, end) = file.rsplit_once('-')?;
    Some(end.split_once('.').map_or(end, |(hash, _)| hash))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    File::open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    const LIBRARY: &str = "serde-00000000000000aa";
    const SCRIPT_RUN: &str = "pq-src-00000000000000bb";

    /// A profile's folder with a library and what a build script wrote.
    fn profile(folder: &Path) -> PathBuf {
        let profile = folder.join("one/debug");
        for (file, text) in [
            ("deps/libserde-00000000000000aa.rlib", "library"),
            ("deps/libserde-00000000000000cc.rlib", "other features"),
            (
                ".fingerprint/serde-00000000000000aa/lib-serde",
                "notes on serde",
            ),
            ("build/pq-src-00000000000000bb/out/libpq.a", "archive"),
            (
                ".fingerprint/pq-src-00000000000000bb/run-build-script",
                "notes",
            ),
        ] {
            let file = profile.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let past = SystemTime::now() - Duration::from_secs(1000);
            File::open(&file).unwrap().set_modified(past).unwrap();
        }
        profile
    }

    #[test]
    fn a_unit_is_copied_with_all_of_its_files_and_their_times() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (profile(folder.path()), folder.path().join("two/debug"));
        let units = list(&from).unwrap();
        assert_eq!(units, [SCRIPT_RUN, LIBRARY]);
        for libraries in [Libraries::Copy, Libraries::Link] {
            copy(&units, &from, &to, libraries).unwrap();
            assert_eq!(list(&to).unwrap(), units);
            for file in [
                "deps/libserde-00000000000000aa.rlib",
                "build/pq-src-00000000000000bb/out/libpq.a",
                ".fingerprint/serde-00000000000000aa/lib-serde",
            ] {
                let time = |profile: &Path| {
                    let metadata = fs::metadata(profile.join(file)).unwrap();
                    metadata.modified().unwrap()
                };
                assert_eq!(time(&from), time(&to), "{file}");
            }
            assert!(!to.join("deps/libserde-00000000000000cc.rlib").exists());
            fs::remove_dir_all(&to).unwrap();
        }
    }

    #[test]
    fn a_unit_that_exists_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (profile(folder.path()), folder.path().join("two/debug"));
        let notes = to.join(NOTES).join(LIBRARY);
        fs::create_dir_all(&notes).unwrap();
        copy(&[LIBRARY.to_owned()], &from, &to, Libraries::Copy).unwrap();
        assert_eq!(fs::read_dir(notes).unwrap().count(), 0);
        assert!(!to.join("deps/libserde-00000000000000aa.rlib").exists());
    }

    #[test]
    fn libraries_of_one_unit_differ_if_they_were_compiled_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (profile(folder.path()), folder.path().join("two/debug"));
        let units = list(&from).unwrap();
        let library = "deps/libserde-00000000000000aa.rmeta";
        fs::write(from.join(library), "one").unwrap();
        assert!(!differ(&units, &from, &to).unwrap());
        copy(&units, &from, &to, Libraries::Link).unwrap();
        assert!(!differ(&units, &from, &to).unwrap());
        fs::remove_file(to.join(library)).unwrap();
        fs::write(to.join(library), "two").unwrap();
        assert!(differ(&units, &from, &to).unwrap());
    }

    #[test]
    fn a_folder_that_does_not_exist_has_no_units() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("one"), folder.path().join("two"));
        let units = list(&from).unwrap();
        assert!(units.is_empty());
        copy(&units, &from, &to, Libraries::Link).unwrap();
    }

    #[test]
    fn names_are_split_at_the_hash() {
        assert_eq!(package("pq-src-00000000000000bb"), "pq-src");
        assert_eq!(hash("libserde-00aa.rlib"), Some("00aa"));
        assert_eq!(hash("serde-00aa.d"), Some("00aa"));
        assert_eq!(hash("notes"), None);
    }
}
