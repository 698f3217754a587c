//! Git on real repositories, with configurations and environments that would change what it does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod merge;
mod states;

use devkit::git::{Error, File, Git, Identity, root};
use devkit::plain;
use devkit::process::{Run, command};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Clone {
    folder: TempDir,
}

impl Clone {
    /// A clone with one commit, and a bare remote that has it as `develop`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clone = Self { folder };
        fs::create_dir(clone.path()).unwrap();
        fs::create_dir(clone.remote()).unwrap();
        Git::new(&clone.remote())
            .read(&["init", "--quiet", "--bare"])
            .unwrap();
        let git = clone.git();
        git.read(&["init", "--quiet", "--initial-branch=develop"])
            .unwrap();
        clone.write("values.yaml", "tag: v1\n");
        fs::write(clone.path().join("other"), "x\n").unwrap();
        clone.commit("Begin");
        let remote = clone.remote();
        git.read(&["remote", "add", "origin", remote.to_str().unwrap()])
            .unwrap();
        git.push("origin", "HEAD", "refs/heads/develop").unwrap();
        clone
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn remote(&self) -> PathBuf {
        self.folder.path().join("remote.git")
    }

    fn git(&self) -> Git {
        Git::new(&self.path()).with_identity(bot())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        let git = self.git();
        git.read(&["add", "--all"]).unwrap();
        git.read(&["commit", "--quiet", "-m", message]).unwrap();
        git.head().unwrap()
    }

    /// Commits other values on top of a commit.
    fn change(&self, tip: &str, text: &str) -> String {
        let message = plain!("a");
        let commit = self.git().commit_file(tip, &values(text), &message);
        commit.unwrap()
    }

    fn set(&self, key: &str, value: &str) {
        self.git().read(&["config", key, value]).unwrap();
    }
}

fn bot() -> Identity {
    Identity {
        name: "bot".to_owned(),
        email: "bot@example.org".to_owned(),
    }
}

fn values(text: &str) -> File {
    file("values.yaml", text)
}

fn file(path: &str, text: &str) -> File {
    File {
        mode: "100644".to_owned(),
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn a_file_is_committed_without_the_work_tree() {
    let clone = Clone::new();
    let git = clone.git();
    let tip = git.head().unwrap();
    clone.write("values.yaml", "being edited\n");
    let message = plain!("chore(deploy): dev v2\n\n# not a comment\nDigest: x\n");
    let commit = git
        .commit_file(&tip, &values("tag: v2\n"), &message)
        .unwrap();
    assert_eq!(
        git.file(&commit, "values.yaml").unwrap(),
        values("tag: v2\n")
    );
    assert!(git.file(&commit, "other").is_ok());
    assert!(git.contains(&commit, &tip).unwrap());
    assert!(!git.contains(&tip, &commit).unwrap());
    let info = git.describe(&commit).unwrap();
    assert_eq!(info.author, "bot <bot@example.org>");
    assert_eq!(info.subject, "chore(deploy): dev v2");
    let body = git.read(&["show", "-s", "--format=%B", &commit]).unwrap();
    assert_eq!(body, message.as_str().trim_end());
    let text = fs::read_to_string(clone.path().join("values.yaml")).unwrap();
    assert_eq!(text, "being edited\n");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let clone = Clone::new();
    let error = clone.git().file("HEAD", "no.yaml").unwrap_err().to_string();
    assert_eq!(error, "there is no file no.yaml in commit HEAD");
}

#[test]
fn a_repository_with_sha256_object_names_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let git = Git::new(folder.path()).with_identity(bot());
    let init = ["init", "--quiet", "--object-format=sha256"];
    git.read(&init).unwrap();
    let commit = ["commit", "--quiet", "--allow-empty", "-m", "x"];
    git.read(&commit).unwrap();
    let url = folder.path().to_str().unwrap();
    let branch = git.read(&["symbolic-ref", "HEAD"]).unwrap();
    let clone = Clone::new();
    for error in [
        git.head().unwrap_err(),
        git.describe("HEAD").unwrap_err(),
        clone.git().fetch(url, &branch).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Sha256), "{error}");
    }
}

#[test]
fn a_fetch_completes_a_shallow_clone() {
    let clone = Clone::new();
    clone.write("other", "y\n");
    let tip = clone.commit("Go on");
    clone
        .git()
        .push("origin", &tip, "refs/heads/develop")
        .unwrap();
    let shallow = clone.folder.path().join("shallow");
    let url = format!("file://{}", clone.remote().display());
    Git::new(clone.folder.path())
        .read(&[
            "clone",
            "--quiet",
            "--depth=1",
            "--branch=develop",
            &url,
            shallow.to_str().unwrap(),
        ])
        .unwrap();
    let git = Git::new(&shallow);
    assert!(git.is_shallow().unwrap());
    assert_eq!(git.fetch("origin", "refs/heads/develop").unwrap(), tip);
    assert!(!git.is_shallow().unwrap());
    let error = git.fetch("origin", "refs/heads/none").unwrap_err();
    assert_eq!(error.to_string(), "cannot fetch none from origin");
}

#[test]
fn a_branch_is_replaced_only_while_it_is_as_expected() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let branch = "refs/heads/promote/staging";
    assert_eq!(git.remote_tip("origin", branch).unwrap(), None);
    let first = clone.change(&base, "tag: v2\n");
    git.replace("origin", &first, branch, None).unwrap();
    let second = clone.change(&base, "tag: v3\n");
    assert!(matches!(
        git.replace("origin", &second, branch, Some(&base)),
        Err(Error::Push { .. })
    ));
    git.replace("origin", &second, branch, Some(&first))
        .unwrap();
    assert_eq!(git.remote_tip("origin", branch).unwrap(), Some(second));
}

#[test]
fn a_commit_whose_author_and_subject_are_any_bytes_is_described() {
    let clone = Clone::new();
    let git = clone.git();
    let tree = git.read(&["rev-parse", "HEAD^{tree}"]).unwrap();
    let long = "x".repeat(100_000);
    for (encoding, text, expected) in [
        ("", &b"Z\xfcge"[..], "Z\u{fffd}ge"),
        // Git converts what the commit declares, if it knows the encoding.
        ("encoding ISO-8859-1\n", b"Z\xfcge", "Züge"),
        ("encoding x-unknown\n", b"Z\xfcge", "Z\u{fffd}ge"),
        ("", b"a\x1b[2J\rb", "a\u{1b}[2J\rb"),
        ("", long.as_bytes(), &long),
    ] {
        let head = format!("tree {tree}\nauthor ");
        let committer =
            format!(" <j@x> 1700000000 +0000\ncommitter j <j@x> 1700000000 +0000\n{encoding}\n");
        let raw = [head.as_bytes(), text, committer.as_bytes(), text, b"\n"].concat();
        let commit = git.store_commit(&raw).unwrap();
        let info = git.describe(&commit).unwrap();
        assert_eq!(info.author, format!("{expected} <j@x>"), "{encoding}");
        assert_eq!(info.subject, expected, "{encoding}");
        assert_eq!(info.date, "2023-11-14T22:13:20+00:00");
    }
}

#[test]
fn the_configuration_of_a_repository_does_not_change_what_is_done() {
    let clone = Clone::new();
    for (key, value) in [
        ("grep.patternType", "fixed"),
        ("trailer.separators", "="),
        ("core.commentChar", "D"),
        ("push.followTags", "true"),
        ("push.gpgSign", "true"),
        ("commit.gpgSign", "true"),
        ("log.showSignature", "true"),
        ("i18n.logOutputEncoding", "UTF-16"),
        ("i18n.commitEncoding", "ISO-8859-1"),
        ("push.recurseSubmodules", "check"),
        ("color.ui", "always"),
        ("core.hooksPath", "hooks"),
    ] {
        clone.set(key, value);
    }
    let hooks = clone.path().join("hooks");
    fs::create_dir(&hooks).unwrap();
    let hook = hooks.join("pre-push");
    fs::write(&hook, "#!/bin/sh\nexit 1\n").unwrap();
    command("chmod", ["+x", hook.to_str().unwrap()])
        .run()
        .unwrap();
    let git = clone.git();
    let base = git.head().unwrap();
    git.read(&["tag", "--annotate", "-m", "mine", "private", &base])
        .unwrap();
    let message = plain!("chore(deploy): dév v2\n\nDigest: x\nArgocd-reference-commit-sha: 1");
    let commit = git
        .commit_file(&base, &values("tag: v2\n"), &message)
        .unwrap();
    git.push("origin", &commit, "refs/heads/develop").unwrap();
    assert_eq!(git.remote_tip("origin", "refs/tags/private").unwrap(), None);
    assert_eq!(
        git.describe(&commit).unwrap().subject,
        "chore(deploy): dév v2"
    );
    let args = [
        "log",
        "--grep=^Argocd-reference-commit-sha: ",
        "--format=%(trailers:key=Argocd-reference-commit-sha,valueonly)",
        &commit,
    ];
    assert_eq!(git.read(&args).unwrap(), "1");
}

/// Settings of mirrors, large repositories and editors, and a driver for merges.
#[test]
fn further_settings_of_a_repository_do_not_change_what_is_done() {
    let clone = Clone::new();
    clone.write(
        ".gitattributes",
        "values.yaml merge=mine diff=mine text eol=crlf\n",
    );
    clone.commit("Attributes");
    for (key, value) in [
        ("remote.origin.mirror", "true"),
        ("remote.origin.tagOpt", "--tags"),
        ("remote.origin.prune", "true"),
        ("core.autocrlf", "true"),
        ("core.splitIndex", "true"),
        ("core.logAllRefUpdates", "always"),
        ("core.notesRef", "refs/notes/x"),
        ("notes.displayRef", "*"),
        ("diff.mine.command", "false"),
        ("diff.external", "false"),
        ("merge.mine.driver", "false"),
        ("merge.directoryRenames", "true"),
        ("log.follow", "true"),
        ("log.date", "relative"),
        ("log.showRoot", "false"),
        ("format.pretty", "oneline"),
        ("feature.manyFiles", "true"),
    ] {
        clone.set(key, value);
    }
    let git = clone.git();
    let base = git.head().unwrap();
    git.read(&["tag", "private", &base]).unwrap();
    git.read(&["branch", "mine", &base]).unwrap();
    let text = "tag: v2\r\nnext: x\n";
    let ours = git
        .commit_file(&base, &values(text), &plain!("ours"))
        .unwrap();
    assert_eq!(git.file(&ours, "values.yaml").unwrap().text, text);
    let other = file("another", "x\n");
    let theirs = git.commit_file(&base, &other, &plain!("theirs")).unwrap();
    let merged = git.merge(&ours, &theirs, &plain!("Merge")).unwrap();
    git.push("origin", &merged, "refs/heads/develop").unwrap();
    for reference in ["refs/heads/mine", "refs/tags/private"] {
        assert_eq!(git.remote_tip("origin", reference).unwrap(), None);
    }
    let remote = Git::new(&clone.remote());
    remote.read(&["tag", "theirs", &merged]).unwrap();
    assert_eq!(git.fetch("origin", "refs/heads/develop").unwrap(), merged);
    assert_eq!(git.commit("refs/tags/theirs"), None);
    assert!(git.commit("refs/heads/mine").is_some());
    let info = git.describe(&merged).unwrap();
    assert_eq!((info.subject.as_str(), info.date.len()), ("Merge", 25));
}

#[test]
fn attributes_of_a_person_do_not_change_what_is_done() {
    let person = tempfile::tempdir().unwrap();
    let folder = person.path().join("git");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("attributes"), "* merge=union\n").unwrap();
    fs::write(folder.join("ignore"), "*\n").unwrap();
    let home = ("XDG_CONFIG_HOME", person.path().to_str().unwrap());
    again("with_attributes_of_a_person", &[home]);
}

#[test]
#[ignore = "attributes_of_a_person_do_not_change_what_is_done runs it"]
fn with_attributes_of_a_person() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    let ours = clone.change(&base, "tag: v2\n");
    let theirs = clone.change(&base, "tag: v3\n");
    for driver in ["text", "union"] {
        clone.set("merge.default", driver);
        let error = git.merge(&ours, &theirs, &plain!("Merge")).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{driver}: {error}");
    }
    clone.write("new", "x\n");
    let commit = clone.commit("Not ignored");
    assert_eq!(git.file(&commit, "new").unwrap().text, "x\n");
}

#[test]
fn a_submodule_that_cannot_be_fetched_does_not_matter() {
    let clone = Clone::new();
    let git = clone.git();
    let dead = "http://127.0.0.1:1/sub.git";
    let modules = format!(
        "[submodule \"sub\"]\n\tpath = sub\n\turl = {dead}\n\tfetchRecurseSubmodules = true\n"
    );
    clone.write(".gitmodules", &modules);
    let inner = clone.path().join("sub");
    fs::create_dir(&inner).unwrap();
    let inner = Git::new(&inner).with_identity(bot());
    inner.read(&["init", "--quiet"]).unwrap();
    inner.read(&["remote", "add", "origin", dead]).unwrap();
    let empty = ["commit", "--quiet", "--allow-empty", "-m", "x"];
    inner.read(&empty).unwrap();
    let base = clone.commit("Add a submodule");
    inner.read(&empty).unwrap();
    let tip = clone.commit("Update the submodule");
    let link = git.read(&["ls-tree", &tip, "sub"]).unwrap();
    assert!(link.starts_with("160000 commit "), "{link}");
    clone.set("submodule.sub.url", dead);
    clone.set("submodule.sub.active", "true");
    clone.set("submodule.sub.fetchRecurseSubmodules", "true");
    clone.set("fetch.recurseSubmodules", "true");

    git.push("origin", &tip, "refs/heads/develop").unwrap();
    // The clone no longer knows the commit, so a fetch finds a changed submodule.
    let reference = ["update-ref", "refs/remotes/origin/develop", &base];
    git.read(&reference).unwrap();
    assert_eq!(git.fetch("origin", "refs/heads/develop").unwrap(), tip);
    let ours = clone.change(&tip, "tag: v2\n");
    let other = file("another", "x\n");
    let theirs = git.commit_file(&base, &other, &plain!("b")).unwrap();
    let merged = git.merge(&ours, &theirs, &plain!("Merge")).unwrap();
    git.push("origin", &merged, "refs/heads/develop").unwrap();
    assert_eq!(git.fetch("origin", "refs/heads/develop").unwrap(), merged);
    assert_eq!(git.read(&["ls-tree", &merged, "sub"]).unwrap(), link);
}

/// Runs another test of this file in a process with variables that a person or a hook may have set.
fn again(test: &str, variables: &[(&str, &str)]) {
    let program = std::env::current_exe().unwrap();
    let args = ["--exact", test, "--ignored", "--nocapture"];
    command(program, args)
        .envs(variables.iter().copied())
        .run_quietly()
        .unwrap();
}

#[test]
fn variables_of_git_do_not_change_the_repository() {
    let other = Clone::new();
    let before = fs::read(other.path().join(".git/config")).unwrap();
    let folder = other.path().join(".git");
    let config = other.folder.path().join("person");
    fs::write(
        &config,
        "[safe]\n\tbareRepository = explicit\n[init]\n\tdefaultBranch = x\n[core]\n\thooksPath = /no\n[user]\n\tname = Person\n\temail = p@x\n[url \"/real\"]\n\tinsteadOf = alias:\n[credential]\n\thelper = one\n",
    )
    .unwrap();
    again(
        "in_an_environment_of_its_own",
        &[
            ("GIT_DIR", folder.to_str().unwrap()),
            ("GIT_WORK_TREE", "/"),
            ("GIT_INDEX_FILE", "/no/index"),
            ("GIT_DEFAULT_HASH", "sha256"),
            ("GIT_AUTHOR_NAME", "Somebody Else"),
            ("GIT_CONFIG_GLOBAL", config.to_str().unwrap()),
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "http.proxy"),
            ("GIT_CONFIG_VALUE_0", "http://proxy.example:3128"),
            ("GIT_CONFIG_KEY_1", "user.name"),
            ("GIT_CONFIG_VALUE_1", "Third"),
        ],
    );
    assert_eq!(fs::read(folder.join("config")).unwrap(), before);
}

#[test]
#[ignore = "variables_of_git_do_not_change_the_repository runs it"]
fn in_an_environment_of_its_own() {
    let clone = Clone::new();
    let git = clone.git();
    let base = git.head().unwrap();
    assert_eq!(base.len(), 40);
    let commit = clone.change(&base, "tag: v2\n");
    assert_eq!(
        git.describe(&commit).unwrap().author,
        "bot <bot@example.org>"
    );
    git.push("origin", &commit, "refs/heads/develop").unwrap();
    let tip = Git::new(&clone.remote()).commit("refs/heads/develop");
    assert_eq!(tip, Some(commit.clone()));
    // What reaches a remote is the caller's; everything else is not.
    let setting = |key: &str| git.read(&["config", key]).ok();
    assert_eq!(
        setting("http.proxy").as_deref(),
        Some("http://proxy.example:3128")
    );
    assert_eq!(setting("credential.helper").as_deref(), Some("one"));
    assert_eq!(setting("url./real.insteadOf").as_deref(), Some("alias:"));
    assert_eq!(setting("user.name"), None);
    assert_eq!(setting("core.hooksPath").as_deref(), Some("/dev/null"));
    // Without an identity, a person's is not used.
    let nameless = Git::new(&clone.path());
    assert!(
        nameless
            .commit_file(&base, &values("tag: v3\n"), &plain!("b"))
            .is_err()
    );
}

#[test]
fn a_secret_is_sent_to_one_place_and_is_in_no_argument() {
    let git = Git::new(Path::new("/")).with_token("https://forge.example/", "secret");
    let command = git.command(&["fetch"]);
    assert_eq!(devkit::process::line(&command), "git fetch");
    let has = |name: &str| {
        command
            .get_envs()
            .any(|(_, value)| value.is_some_and(|value| value.to_string_lossy().contains(name)))
    };
    assert!(has("http.https://forge.example/.extraHeader"));
    assert!(has("Authorization: Basic eC1hY2Nlc3MtdG9rZW46c2VjcmV0"));
}

#[test]
fn the_top_of_a_repository_is_found_from_below() {
    let clone = Clone::new();
    let below = clone.path().join("a/b");
    assert_eq!(root(&below).unwrap(), clone.path());
    let error = root(Path::new("/")).unwrap_err().to_string();
    assert_eq!(error, "/ is not inside a Git repository");
}
