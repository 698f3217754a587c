//! Repositories in the middle of something else, and with what only one clone has.

use crate::{Clone, bot, values};
use devkit::git::{Git, root};
use devkit::plain;
use devkit::process::{Run, command};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a commit in a clone and gets it to the remote and back.
fn works(folder: &Path) {
    let git = Git::new(folder).with_identity(bot());
    let branch = "refs/heads/develop";
    let tip = git.fetch("origin", branch).unwrap();
    let text = format!("tag: {tip}\n");
    let commit = git.commit_file(&tip, &values(&text), &plain!("a")).unwrap();
    git.push("origin", &commit, branch).unwrap();
    assert_eq!(git.fetch("origin", branch).unwrap(), commit);
    assert!(git.contains(&commit, &tip).unwrap());
    assert!(!git.contains(&tip, &commit).unwrap());
    assert_eq!(git.file(&commit, "values.yaml").unwrap().text, text);
}

#[test]
fn a_person_may_be_in_the_middle_of_something() {
    let clone = Clone::new();
    let git = clone.git();
    let run = |args: &[&str]| git.command(args).capture().unwrap();
    clone.write("values.yaml", "tag: mine\n");
    clone.commit("Mine");
    run(&["branch", "mine"]);
    run(&["reset", "--quiet", "--hard", "HEAD~"]);
    clone.write("values.yaml", "tag: theirs\n");
    clone.commit("Theirs");
    for (begin, end) in [
        (&["merge", "mine"][..], &["merge", "--abort"][..]),
        (&["rebase", "mine"], &["rebase", "--abort"]),
        (&["cherry-pick", "mine"], &["cherry-pick", "--abort"]),
        (&["bisect", "start"], &["bisect", "reset"]),
        (&["checkout", "--detach"], &["checkout", "develop"]),
        (
            &["checkout", "--orphan", "new"],
            &["checkout", "-f", "develop"],
        ),
        (
            &["sparse-checkout", "set", "no"],
            &["sparse-checkout", "disable"],
        ),
    ] {
        run(begin);
        works(&clone.path());
        let ended = run(end);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{begin:?}: {said}");
    }
    for lock in ["index.lock", "packed-refs.lock", "refs/heads/develop.lock"] {
        fs::write(clone.path().join(".git").join(lock), "").unwrap();
    }
    works(&clone.path());
    assert!(git.changes().is_ok());
}

#[test]
fn a_further_work_tree_and_a_submodule_are_repositories() {
    let clone = Clone::new();
    let git = clone.git();
    let tree = clone.folder.path().join("tree");
    let add = ["worktree", "add", "--quiet", "--detach"];
    git.read(&[&add[..], &[tree.to_str().unwrap()]].concat())
        .unwrap();
    assert_eq!(root(&tree).unwrap(), tree);
    works(&tree);
    let outer = clone.folder.path().join("outer");
    let url = clone.remote();
    let init = ["init", "--quiet", outer.to_str().unwrap()];
    Git::new(clone.folder.path()).read(&init).unwrap();
    let allow = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "--quiet",
    ];
    let add = [
        &allow[..],
        &["-b", "develop", url.to_str().unwrap(), "inner"],
    ]
    .concat();
    Git::new(&outer).read(&add).unwrap();
    assert_eq!(root(&outer.join("inner")).unwrap(), outer.join("inner"));
    works(&outer.join("inner"));
}

#[test]
fn names_that_mean_two_things_change_nothing() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let other = clone.change(&base, "tag: other\n");
    for reference in [
        "refs/tags/develop",
        "refs/tags/origin/develop",
        "refs/heads/HEAD",
        "refs/heads/FETCH_HEAD",
        "refs/heads/refs/heads/develop",
        "refs/heads/origin/develop",
        &format!("refs/heads/{base}"),
        &format!("refs/tags/{base}"),
        &format!("refs/heads/{}", &base[..7]),
    ] {
        git.read(&["update-ref", reference, &other]).unwrap();
        git.push("origin", &other, reference).unwrap();
        assert_eq!(git.head().unwrap(), base, "{reference}");
        let fetched = git.fetch("origin", "refs/heads/develop").unwrap();
        assert_eq!(fetched, base, "{reference}");
        let file = git.file(&base, "values.yaml").unwrap();
        assert_eq!(file.text, "tag: v1\n", "{reference}");
    }
}

/// `git replace` and grafts give a commit other parents, in one clone.
#[test]
fn a_history_that_only_one_clone_has_does_not_count() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let tip = clone.change(&base, "tag: v2\n");
    let info = clone.path().join(".git/info");
    fs::create_dir_all(&info).unwrap();
    // The older commit gets the newer one as its parent, and the newer none.
    fs::write(info.join("grafts"), format!("{base} {tip}\n{tip}\n")).unwrap();
    assert!(git.contains(&tip, &base).unwrap());
    assert!(!git.contains(&base, &tip).unwrap());
    // Scanners take a hint on standard error as a failure of Git.
    let log = git.command(&["log", "--oneline"]).capture().unwrap();
    assert_eq!(String::from_utf8_lossy(&log.stderr), "");
    fs::remove_file(info.join("grafts")).unwrap();
    git.read(&["replace", "--graft", &tip]).unwrap();
    assert!(git.contains(&tip, &base).unwrap());
}

/// An editor fetches in the background, and two commands may run in one clone.
#[test]
fn a_fetch_at_the_same_time_does_not_change_the_result() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let other = clone.change(&base, "tag: other\n");
    git.push("origin", &other, "refs/heads/other").unwrap();
    let ended = AtomicBool::new(false);
    let fetched: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let editor = clone.git();
            while !ended.load(Ordering::Relaxed) {
                let _ = editor.read(&["fetch", "--quiet", "origin", "other"]);
            }
        });
        let fetched = (0..10).map(|_| git.fetch("origin", "refs/heads/develop"));
        let fetched = fetched.collect();
        ended.store(true, Ordering::Relaxed);
        fetched
    });
    for fetched in fetched {
        assert_eq!(fetched.unwrap(), base);
    }
    let references = git.read(&["for-each-ref", "--format=%(refname)"]).unwrap();
    assert!(!references.contains("refs/delivery/"), "{references}");
}

#[test]
fn every_change_of_the_work_tree_is_listed() {
    let clone = Clone::new();
    for (key, value) in [
        ("status.showUntrackedFiles", "no"),
        ("status.relativePaths", "false"),
        ("status.short", "true"),
        ("status.branch", "true"),
        ("status.showStash", "true"),
        ("status.aheadBehind", "true"),
        ("status.renames", "copies"),
        ("core.checkStat", "minimal"),
        ("core.trustctime", "false"),
        ("core.ignoreStat", "false"),
    ] {
        clone.set(key, value);
        assert_eq!(clone.git().changes().unwrap(), [""; 0], "{key}");
    }
    clone.write("new\nfile", "x\n");
    clone.write("values.yaml", "tag: v2\n");
    let expected = [" M values.yaml", "?? \"new\\nfile\""];
    assert_eq!(clone.git().changes().unwrap(), expected);
    command("rm", ["new\nfile"])
        .current_dir(clone.path())
        .run_quietly()
        .unwrap();
}

#[test]
fn a_difference_is_shown_by_git_itself() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let tip = clone.change(&base, "tag: v2\n");
    clone.write(".gitattributes", "*.yaml diff=mine\n");
    for (key, value) in [
        ("diff.external", "false"),
        ("diff.mine.command", "false"),
        ("diff.mine.textconv", "false"),
        ("diff.mine.binary", "true"),
        ("diff.context", "0"),
        ("diff.interHunkContext", "9"),
        ("diff.algorithm", "histogram"),
        ("diff.relative", "true"),
        ("diff.wordRegex", "."),
        ("diff.colorMoved", "zebra"),
    ] {
        clone.set(key, value);
    }
    let shown = git.difference(&base, &tip, "values.yaml").unwrap();
    assert!(shown.contains("\n-tag: v1\n+tag: v2\n"), "{shown}");
}

/// Git refuses a repository of another user, of a newer Git, or with an error in its configuration.
#[test]
fn a_repository_that_git_refuses_is_not_called_incomplete() {
    let clone = Clone::new();
    let config = clone.path().join(".git/config");
    let text = fs::read_to_string(&config).unwrap();
    for (wrong, reason) in [
        (
            "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tnewer = x\n",
            "newer",
        ),
        ("[core\n", "bad config line"),
    ] {
        fs::write(&config, format!("{text}{wrong}")).unwrap();
        let error = clone.git().head().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    fs::write(&config, text).unwrap();
    let error = clone.git().require_commit("none").unwrap_err().to_string();
    let expected = "`none` is not a commit that this clone has: fetch the whole history";
    assert_eq!(error, expected);
    let empty = clone.folder.path().join("empty");
    let init = ["init", "--quiet", empty.to_str().unwrap()];
    clone.git().read(&init).unwrap();
    let error = Git::new(&empty).head().unwrap_err().to_string();
    assert!(error.starts_with("`HEAD` is not a commit"), "{error}");
}
