//! Merges whose result depends on the commits alone, and not on the clone they are made in.

use super::{Error, Git};
use crate::process::Run;
use crate::text::Plain;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// What a clone that lacks objects needs to fetch them.
const PROMISOR: &str = r"^remote\..*\.(url|promisor|partialclonefilter)$";

impl Git {
    /// Merges `theirs` into `ours` as a commit. The work tree and its index are not touched.
    ///
    /// No setting of Git ignores `.git/info/attributes` and an edited `.gitattributes`, which may choose how files are
    /// merged. So the merge runs in an empty repository that has the objects of this one, and the attributes of `ours`.
    ///
    /// # Errors
    /// When both have changed the same lines; with the files.
    pub fn merge(&self, ours: &str, theirs: &str, message: &Plain) -> Result<String, Error> {
        let (ours, theirs) = (self.require_commit(ours)?, self.require_commit(theirs)?);
        let folder = tempfile::tempdir().map_err(Error::Temporary)?;
        let mut empty = Self {
            folder: folder.path().to_owned(),
            ..self.clone()
        };
        empty.settings.extend(self.promisors());
        empty.read(&["init", "--quiet", "--template="])?;
        self.write_attributes(&ours, folder.path())?;
        let args = [
            "merge-tree",
            "--write-tree",
            "-z",
            "--name-only",
            "--no-messages",
            &ours,
            &theirs,
        ];
        let mut merge = empty.command(&args);
        merge.env("GIT_OBJECT_DIRECTORY", self.objects()?);
        let output = merge.capture()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut lines = said.split('\0').filter(|line| !line.is_empty());
        match (output.status.code(), lines.next()) {
            (Some(0), Some(tree)) => self.commit_tree(tree, &[&ours, &theirs], message),
            (Some(1), Some(_)) => Err(Error::Conflict(lines.map(str::to_owned).collect())),
            _ => Err(Error::Merge {
                ours,
                theirs,
                reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    /// Where this repository stores its objects.
    fn objects(&self) -> Result<OsString, Error> {
        let args = [
            "rev-parse",
            "--path-format=absolute",
            "--git-path",
            "objects",
        ];
        let path = self.read_bytes(&args)?;
        Ok(OsStr::from_bytes(path.trim_ascii_end()).to_owned())
    }

    /// The settings by which a partial clone fetches what it lacks.
    fn promisors(&self) -> Vec<(String, String)> {
        let listed = self.read_lossy(&["config", "--null", "--get-regexp", PROMISOR]);
        // Git fails if there are none.
        let listed = listed.unwrap_or_default();
        let entries = listed.split_terminator('\0');
        let pairs = entries.map(|entry| entry.split_once('\n').unwrap_or((entry, "true")));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Writes all files `.gitattributes` of a commit to a folder.
    fn write_attributes(&self, commit: &str, folder: &Path) -> Result<(), Error> {
        let listed = self.read_bytes(&["ls-tree", "-r", "-z", "--full-tree", commit])?;
        for entry in listed.split(|byte| *byte == 0) {
            let Some((blob, path)) = attributes(entry) else {
                continue;
            };
            let text = self.read_bytes(&["cat-file", "blob", &blob])?;
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, text))
                .map_err(Error::Temporary)?;
        }
        Ok(())
    }
}

/// The object and the path of a line of `git ls-tree`, if it is a file `.gitattributes`. Git ignores a link.
fn attributes(entry: &[u8]) -> Option<(String, PathBuf)> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let (object, path) = entry.split_at(tab);
    let path = PathBuf::from(OsStr::from_bytes(path.get(1..)?));
    let below = |part| matches!(part, Component::Normal(_));
    let named = path
        .file_name()
        .is_some_and(|name| name == ".gitattributes");
    let object = String::from_utf8_lossy(object);
    let (mode, blob) = object.split_once(" blob ")?;
    (named && mode.starts_with("100") && path.components().all(below))
        .then(|| (blob.to_owned(), path))
}
