//! The images that Git names.

use crate::deliver::values_file::ValuesFile;
use anyhow::{Result, ensure};
use devkit::delivery::Delivery;
use devkit::git::{self, Git};
use devkit::reference::Digest;
use std::collections::BTreeSet;

/// The images in the values files of the environments: the last ones in the history of each environment's branch, and
/// those at the tips of all other branches and at all tags.
pub(super) fn images(git: &Git, delivery: &Delivery, keep: usize) -> Result<BTreeSet<Digest>> {
    ensure!(
        !git.is_shallow()?,
        "this clone lacks a part of the history, so it does not name all images that are needed: run `git fetch --unshallow --tags`"
    );
    let environments = delivery.environments();
    let files: Vec<&str> = environments.iter().map(|env| env.values.as_str()).collect();
    let mut named = BTreeSet::new();
    for env in environments {
        let tip = git.require_commit(&format!("refs/remotes/origin/{}", env.branch))?;
        for file in &files {
            named.extend(last(git, &tip, file, keep)?);
        }
    }
    let places = ["refs/remotes/origin", "refs/heads", "refs/tags"];
    // Their names are bytes. An annotated tag is an object of its own.
    let refs = git.read(&[&["for-each-ref", "--format=%(objectname)"], &places[..]].concat())?;
    for object in refs.lines() {
        let commit = git.require_commit(object)?;
        for file in &files {
            named.extend(present(git, &commit, file)?);
        }
    }
    Ok(named)
}

/// The last images in the history of a values file.
fn last(git: &Git, tip: &str, file: &str, keep: usize) -> Result<BTreeSet<Digest>> {
    // As `rollback` goes back: the other parents of merges have values that never were on this branch.
    let log = git.read(&["log", "--first-parent", "--format=%H", tip, "--", file])?;
    let mut images = BTreeSet::new();
    for commit in log.lines() {
        if images.len() >= keep {
            break;
        }
        // An old version of the file may have had another form, to which nothing goes back.
        images.extend(present(git, commit, file).unwrap_or_default());
    }
    Ok(images)
}

/// The image in a values file at a commit, if there are the file and an image.
fn present(git: &Git, commit: &str, file: &str) -> Result<Option<Digest>> {
    match git.file(commit, file) {
        Err(git::Error::NoFile { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let image = ValuesFile::read(git, commit, file)?.image()?;
    Ok(image.map(|image| image.digest))
}
