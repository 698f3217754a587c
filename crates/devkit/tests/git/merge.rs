//! Merges of commits.

use crate::{Clone, bot, file, values};
use devkit::git::{Error, Git};
use devkit::plain;
use std::fs;

#[test]
fn a_merge_has_both_sides_or_names_what_conflicts() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let ours = clone.change(&base, "tag: v2\n");
    let other = file("ö ther", "y\n");
    let theirs = git.commit_file(&base, &other, &plain!("b")).unwrap();
    let merged = git.merge(&ours, &theirs, &plain!("Merge")).unwrap();
    assert_eq!(git.file(&merged, "values.yaml").unwrap().text, "tag: v2\n");
    assert_eq!(git.file(&merged, "ö ther").unwrap().text, "y\n");
    let theirs = clone.change(&base, "tag: v3\n");
    let error = git.merge(&ours, &theirs, &plain!("Merge")).unwrap_err();
    assert!(
        matches!(&error, Error::Conflict(files) if files == &["values.yaml"]),
        "{error}"
    );
}

/// The attributes of a clone and of its work tree are a person's, and those that are committed belong to the project.
#[test]
fn only_committed_attributes_change_a_merge() {
    let clone = Clone::new();
    let git = clone.git();
    clone.set("merge.mine.driver", "true");
    let base = git.head().unwrap();
    let (ours, theirs) = (
        clone.change(&base, "tag: v2\n"),
        clone.change(&base, "tag: v3\n"),
    );
    let info = clone.path().join(".git/info");
    fs::create_dir_all(&info).unwrap();
    for (file, attributes) in [
        (info.join("attributes"), "* merge=union\n"),
        (info.join("attributes"), "values.yaml merge=mine\n"),
        (clone.path().join(".gitattributes"), "* merge=union\n"),
        (clone.path().join(".gitattributes"), "* merge=mine\n"),
    ] {
        fs::write(&file, attributes).unwrap();
        let error = git.merge(&ours, &theirs, &plain!("Merge")).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{attributes}: {error}");
        fs::remove_file(&file).unwrap();
    }
    let attributes = file(".gitattributes", "values.yaml merge=union\n");
    let base = git
        .commit_file(&base, &attributes, &plain!("Attributes"))
        .unwrap();
    let (ours, theirs) = (
        clone.change(&base, "tag: v2\n"),
        clone.change(&base, "tag: v3\n"),
    );
    let merged = git.merge(&ours, &theirs, &plain!("Merge")).unwrap();
    let text = git.file(&merged, "values.yaml").unwrap().text;
    assert_eq!(text, "tag: v2\ntag: v3\n");
}

#[test]
fn a_clone_without_the_files_of_the_history_merges() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let lines = |first, last| values(&format!("tag: {first}\n\n\n\n\nend: {last}\n"));
    let change = |base, file| git.commit_file(base, &file, &plain!("a")).unwrap();
    let base = change(&base, lines("v1", "1"));
    for (branch, file) in [("ours", lines("v2", "1")), ("theirs", lines("v1", "2"))] {
        let reference = format!("refs/heads/{branch}");
        git.push("origin", &change(&base, file), &reference)
            .unwrap();
    }
    let remote = Git::new(&clone.remote());
    for setting in ["allowFilter", "allowAnySHA1InWant"] {
        let key = format!("uploadpack.{setting}");
        remote.read(&["config", &key, "true"]).unwrap();
    }
    for filter in ["blob:none", "tree:0"] {
        let partial = clone.folder.path().join(filter.replace(':', "-"));
        let url = format!("file://{}", clone.remote().display());
        let (filter, folder) = (format!("--filter={filter}"), partial.to_str().unwrap());
        let args = ["clone", "--quiet", "--no-checkout", &filter, &url, folder];
        Git::new(clone.folder.path()).read(&args).unwrap();
        let git = Git::new(&partial).with_identity(bot());
        let (ours, theirs) = ("origin/ours", "origin/theirs");
        let merged = git.merge(ours, theirs, &plain!("Merge")).unwrap();
        let file = git.file(&merged, "values.yaml").unwrap();
        assert_eq!(file, lines("v2", "2"), "{filter}");
    }
}
