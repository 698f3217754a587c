//! What the tests of several steps need.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The project's delivery.toml, for the repositories that tests make.
#[allow(dead_code, reason = "not every test needs it")]
pub const DELIVERY: &str = include_str!("../../../../delivery.toml");

/// Runs git as somebody, and returns what it printed without the line end.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let somebody = [
        "-c",
        "user.name=Somebody",
        "-c",
        "user.email=somebody@example.org",
    ];
    let output = Command::new("git")
        .args(somebody)
        .args(args)
        .current_dir(folder)
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

/// `cargo pipeline …` in a folder, with nothing of the environment that the tests themselves run in.
pub fn pipeline(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(args).current_dir(folder).env_clear();
    // The last one is where a program that is built for it leaves what it covered.
    for name in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Puts the programs of `stand-ins/` before all others.
#[allow(dead_code, reason = "not every test of a step needs it")]
pub fn with_stand_ins(command: &mut Command) -> &mut Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-ins");
    let path = std::env::var_os("PATH").unwrap();
    let path = std::iter::once(folder).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(path).unwrap())
}

/// What it printed, if it succeeded.
pub fn succeeded(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it complained about, if it failed.
pub fn failed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "it succeeded: {said}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
