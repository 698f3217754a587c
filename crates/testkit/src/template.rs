//! A folder that many tests start with. Copying files is faster than running Git for each test again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The files of a folder with repositories. It is built once and kept in memory.
pub struct Template {
    built_in: String,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Template {
    /// What a function writes into an empty folder.
    ///
    /// # Panics
    /// When a file cannot be read.
    pub fn new(build: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        build(folder.path());
        let mut files = Vec::new();
        read(folder.path(), Path::new(""), &mut files);
        Self {
            built_in: folder.path().to_str().unwrap().to_owned(),
            files,
        }
    }

    /// A new folder with these files. A clone in it has the repository in the new folder as its remote.
    ///
    /// # Panics
    /// When a file cannot be written.
    #[must_use]
    pub fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in &self.files {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            match path.ends_with(".git/config") {
                false => fs::write(file, content).unwrap(),
                true => {
                    let text = str::from_utf8(content).unwrap();
                    let here = folder.path().to_str().unwrap();
                    fs::write(file, text.replace(&self.built_in, here)).unwrap();
                }
            }
        }
        folder
    }
}

fn read(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let path = folder.join(entry.unwrap().file_name());
        match root.join(&path).is_dir() {
            true => read(root, &path, files),
            false => files.push((path.clone(), fs::read(root.join(&path)).unwrap())),
        }
    }
}
