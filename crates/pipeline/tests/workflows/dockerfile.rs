//! What the Dockerfile compiles, and when it compiles it again.

use crate::model::{read, root};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

/// The instructions that compile.
fn compiling() -> Vec<String> {
    let text = read(&root().join("Dockerfile")).replace("\\\n", " ");
    let compiles = |line: &&str| line.contains("cargo install") || line.contains("build --release");
    let runs = text.lines().filter(|line| line.starts_with("RUN "));
    runs.filter(compiles).map(str::to_owned).collect()
}

/// Each command that compiles keeps its results in cache mounts.
#[test]
fn what_it_compiles_is_cached() {
    let runs = compiling();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!(run.matches("--mount=type=cache").count(), 2, "{run}");
    }
}

/// Runs a small program with the environment that the Dockerfile gives the compiler, and returns what it prints. The
/// library contains the first word and the program the second. All files have the layer's time.
fn built(package: &Path, words: [&str; 2], layer: SystemTime) -> String {
    let [word, program] = words;
    let service = read(&root().join("src/lib.rs"));
    let hash = service
        .lines()
        .find(|line| line.contains("option_env!"))
        .unwrap();
    let library = format!("{hash}\npub const WORD: &str = \"{word}\";\n");
    for (file, text) in [
        (
            "Cargo.toml",
            "[package]\nname = \"small\"\nedition = \"2024\"\n[workspace]\n",
        ),
        ("src/lib.rs", &library),
        (
            "src/main.rs",
            &format!("fn main() {{ println!(\"{{}} {program}\", small::WORD); }}\n"),
        ),
        ("migrations/up.sql", ""),
    ] {
        let path = package.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(layer).unwrap();
    }
    let run = compiling().pop().unwrap();
    let (before, _) = run.split_once("cargo auditable").unwrap();
    let words = before.split_whitespace();
    let words: Vec<&str> = words
        .filter(|word| *word != "RUN" && !word.starts_with("--mount"))
        .collect();
    let source = package.join("source.tar").to_string_lossy().into_owned();
    let script = format!("{} cargo run --quiet --offline", words.join(" "))
        .replace("/tmp/source.tar", &source);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"));
    // Those of a build that measures coverage, and a folder that the tests would share.
    for name in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_BUILD_DIR",
    ] {
        shell.env_remove(name);
    }
    let output = shell.output().unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Cargo compares the times of files. Those of a cached layer are older than the last build.
#[test]
fn a_source_that_changes_back_is_compiled_again() {
    let package = tempfile::tempdir().unwrap();
    for words in [["ok", "a"], ["up", "a"], ["up", "b"], ["ok", "a"]] {
        let printed = built(package.path(), words, SystemTime::UNIX_EPOCH);
        assert_eq!(printed, words.join(" "));
    }
}

/// When one file changes, all files of its layer get a new time.
#[test]
fn a_change_of_the_program_does_not_compile_the_library() {
    let package = tempfile::tempdir().unwrap();
    let library = package.path().join("target/debug/libsmall.rlib");
    let compiled = |words| {
        built(package.path(), words, SystemTime::now());
        fs::metadata(&library).unwrap().modified().unwrap()
    };
    let first = compiled(["ok", "a"]);
    assert_eq!(compiled(["ok", "b"]), first);
    assert_ne!(compiled(["up", "b"]), first);
}
