//! Files and commits as Git objects: no work tree and no index is touched.

use super::{Error, File, Git};
use crate::process::Run;
use crate::text::Plain;

impl Git {
    /// The file that a commit has at a path.
    ///
    /// # Errors
    /// When there is none, or it is not UTF-8.
    pub fn file(&self, commit: &str, path: &str) -> Result<File, Error> {
        let entry = self.read_lossy(&["ls-tree", "-z", "--full-tree", commit, "--", path])?;
        let (mode, _) = entry.split_once(" blob ").ok_or_else(|| Error::NoFile {
            path: path.to_owned(),
            commit: commit.to_owned(),
        })?;
        let text = self.read_bytes(&["cat-file", "blob", &format!("{commit}:{path}")])?;
        Ok(File {
            mode: mode.to_owned(),
            path: path.to_owned(),
            text: String::from_utf8(text).map_err(|_| Error::NotUtf8(path.to_owned()))?,
        })
    }

    /// Makes a commit on top of `tip` with one file changed or added. The work tree and its index are not touched.
    ///
    /// # Errors
    /// When the file cannot be stored, or no identity is set.
    pub fn commit_file(&self, tip: &str, file: &File, message: &Plain) -> Result<String, Error> {
        let folder = tempfile::tempdir().map_err(Error::Temporary)?;
        let with_index = |args: &[&str]| -> Result<String, Error> {
            let index = folder.path().join("index");
            Ok(self.command(args).env("GIT_INDEX_FILE", index).read()?)
        };
        let mut store = self.command(&["hash-object", "-w", "--stdin", "--no-filters"]);
        let blob = store.read_with(file.text.as_bytes())?;
        with_index(&["read-tree", tip])?;
        let entry = format!("{},{blob},{}", file.mode, file.path);
        with_index(&["update-index", "--add", "--cacheinfo", &entry])?;
        let tree = with_index(&["write-tree"])?;
        self.commit_tree(&tree, &[tip], message)
    }

    /// The message of a commit that this program has made.
    ///
    /// # Errors
    /// When this clone does not have it.
    pub fn own_message(&self, commit: &str) -> Result<Plain, Error> {
        let message = self.read(&["show", "--no-patch", "--format=%B", commit])?;
        Ok(Plain::written(message))
    }

    /// Stores a commit that is given byte for byte, and returns its id.
    ///
    /// # Errors
    /// When it is no commit.
    pub fn store_commit(&self, content: &[u8]) -> Result<String, Error> {
        let mut store = self.command(&["hash-object", "-t", "commit", "-w", "--stdin"]);
        Ok(store.read_with(content)?)
    }

    pub(super) fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &Plain,
    ) -> Result<String, Error> {
        let mut args = vec!["commit-tree", "-F", "-"];
        args.extend(parents.iter().flat_map(|parent| ["-p", parent]));
        args.push(tree);
        let message = format!("{}\n", message.as_str().trim_end());
        Ok(self.command(&args).read_with(message.as_bytes())?)
    }
}
