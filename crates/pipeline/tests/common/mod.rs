//! Helpers for the tests of several commands.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[allow(unused_imports, reason = "not every test needs it")]
pub use testkit::DELIVERY;

/// Runs git with a fixed author, and returns its output without the line end.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let output = testkit::git(folder)
        .args(author)
        .args(args)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Writes a file, commits it, and returns the commit.
pub fn commit(folder: &Path, file: &str, text: &str) -> String {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    git(folder, &["add", "--all"]);
    git(
        folder,
        &["commit", "--quiet", "--message", &format!("Change {file}")],
    );
    git(folder, &["rev-parse", "HEAD"])
}

/// Stores the commit HEAD again with a message of bytes, and returns its id. `git commit` would convert them.
#[allow(dead_code, reason = "not every test has such a message")]
pub fn with_message(clone: &Path, message: &[u8]) -> String {
    let commit = git(clone, &["cat-file", "commit", "HEAD"]);
    let (head, _) = commit.split_once("\n\n").unwrap();
    let file = clone.join(".git/message");
    fs::write(&file, [head.as_bytes(), b"\n\n", message].concat()).unwrap();
    let store = ["hash-object", "-t", "commit", "-w", file.to_str().unwrap()];
    git(clone, &store)
}

/// Pushes three commits to develop, as a person does while others push.
#[allow(dead_code, reason = "not every test has a race")]
pub fn push_notes(clone: &Path) {
    for note in 0..3 {
        commit(clone, &format!("notes/{note}"), "by hand");
        let push = ["push", "--quiet", "origin", "develop"];
        let push = || testkit::git(clone).args(push).output();
        while !push().unwrap().status.success() {
            let pull = ["pull", "--quiet", "--rebase", "origin", "develop"];
            git(clone, &pull);
        }
    }
}

/// `cargo pipeline …` in a folder, without the variables of the tests' own environment.
pub fn pipeline(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(args).current_dir(folder).env_clear();
    // The tools that are installed on this machine must not replace fakes that a test leaves out.
    command.env("XDG_CACHE_HOME", "/nonexistent");
    // LLVM_PROFILE_FILE says where a program that is built for coverage writes its counts.
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Lets a command call the cargo that runs this test.
#[allow(dead_code, reason = "not every test calls cargo")]
pub fn with_cargo(command: &mut Command) -> &mut Command {
    let names = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    let set = names.map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(set.into_iter().flatten())
}

/// Puts the programs of `fakes/` before all others.
#[allow(dead_code, reason = "not every test of a step needs it")]
pub fn with_fakes(command: &mut Command) -> &mut Command {
    let folder = fs::canonicalize("tests/fakes").unwrap();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(folder).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).unwrap())
}

/// The standard output of a command that must succeed.
#[allow(dead_code, reason = "not every test has a command that succeeds")]
pub fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The standard error of a command that must fail.
pub fn failed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "it succeeded: {said}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
