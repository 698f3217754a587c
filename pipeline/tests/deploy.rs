//! `cargo pipeline deploy` from outside, on real repositories.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;

const FILE: &str = "charts/waybill/values-dev.yaml";

/// Comments, a note beside a value and an odd indent: all of it must survive.
const VALUES: &str = "\
# dev: the newest commit.

image:
  tag: unreleased   # by the bot
  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000

replicas: 1
config:
    A: \"1\"
";

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// A forge's repository, and the folder that clones of it go to.
struct Forge {
    folder: TempDir,
}

impl Forge {
    /// With a `develop` that holds some values.
    fn new() -> Self {
        let forge = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        git(
            forge.folder.path(),
            &["init", "--quiet", "--bare", "forge.git"],
        );
        let clone = forge.clone("first");
        git(&clone, &["checkout", "--quiet", "-b", "develop"]);
        let file = clone.join(FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, VALUES).unwrap();
        // What makes a folder the root of the project.
        fs::write(clone.join("Cargo.toml"), "[workspace]\n").unwrap();
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", "Start"]);
        git(&clone, &["push", "--quiet", "origin", "develop"]);
        git(
            &forge.folder.path().join("forge.git"),
            &["symbolic-ref", "HEAD", "refs/heads/develop"],
        );
        forge
    }

    fn clone(&self, name: &str) -> PathBuf {
        git(self.folder.path(), &["clone", "--quiet", "forge.git", name]);
        self.folder.path().join(name)
    }

    fn read(&self, args: &[&str]) -> String {
        git(&self.folder.path().join("forge.git"), args)
    }

    fn values(&self) -> String {
        self.read(&["show", &format!("develop:{FILE}")])
    }
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=Somebody",
            "-c",
            "user.email=somebody@example.org",
        ])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn deploy(clone: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waybill-pipeline"));
    command.arg("deploy").args(args).current_dir(clone);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("GITHUB_")) {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_write_back_changes_two_values_and_no_other_byte() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let source = git(&clone, &["rev-parse", "HEAD"]);
    let arguments = [
        "--env",
        "dev",
        "--tag",
        "develop-0123abc",
        "--digest",
        &digest(7),
    ];

    succeeded(&deploy(&clone, &arguments));

    let expected = VALUES
        .replace("unreleased", "develop-0123abc")
        .replace(&digest(0), &digest(7));
    assert_eq!(forge.values(), expected);
    let message = forge.read(&["log", "-1", "--format=%B", "develop"]);
    assert!(
        message.starts_with("chore(deploy): dev develop-0123abc\n"),
        "{message}"
    );
    assert!(
        message.contains(&format!("Argocd-reference-commit-sha: {source}")),
        "{message}"
    );

    // Done again, it changes nothing.
    let tip = forge.read(&["rev-parse", "develop"]);
    succeeded(&deploy(&clone, &arguments));
    assert_eq!(forge.read(&["rev-parse", "develop"]), tip);
}

#[test]
fn a_dry_run_shows_the_change_and_makes_none() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let said = succeeded(&deploy(
        &clone,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-0123abc",
            "--digest",
            &digest(7),
            "--dry-run",
        ],
    ));
    assert!(said.contains("develop-0123abc"), "{said}");
    assert_eq!(forge.values(), VALUES);
}

#[test]
fn an_older_commit_does_not_replace_a_newer_one() {
    let forge = Forge::new();
    let older = forge.clone("older");
    let newer = forge.clone("newer");
    fs::write(newer.join("code"), "new").unwrap();
    git(&newer, &["add", "--all"]);
    git(
        &newer,
        &["commit", "--quiet", "--message", "Change the code"],
    );
    git(&newer, &["push", "--quiet", "origin", "develop"]);

    succeeded(&deploy(
        &newer,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-2222222",
            "--digest",
            &digest(2),
        ],
    ));
    let said = succeeded(&deploy(
        &older,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-1111111",
            "--digest",
            &digest(1),
        ],
    ));

    assert!(said.contains("newer"), "{said}");
    assert!(
        forge.values().contains("develop-2222222"),
        "{}",
        forge.values()
    );
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let good = digest(7);
    let zero = digest(0);
    for (arguments, reason) in [
        (
            vec!["--env", "qa", "--tag", "develop-0123abc", "--digest", &good],
            "qa",
        ),
        (
            vec!["--env", "dev", "--tag", "not a tag", "--digest", &good],
            "not a tag",
        ),
        (
            vec![
                "--env",
                "dev",
                "--tag",
                "develop-0123abc",
                "--digest",
                "sha256:12",
            ],
            "sha256:12",
        ),
        (
            vec![
                "--env",
                "dev",
                "--tag",
                "develop-0123abc",
                "--digest",
                &zero,
            ],
            "sha256:000",
        ),
        (
            vec![
                "--env",
                "dev",
                "--tag",
                "develop-0123abc",
                "--digest",
                &good,
                "--file",
                "no/such.yaml",
            ],
            "no/such.yaml",
        ),
        (
            vec![
                "--env",
                "dev",
                "--tag",
                "develop-0123abc",
                "--digest",
                &good,
                "--file",
                "Cargo.toml",
            ],
            "Cargo.toml",
        ),
    ] {
        let output = deploy(&clone, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(said.contains(reason), "{arguments:?}: {said}");
        assert_eq!(forge.values(), VALUES, "{arguments:?}");
        assert_eq!(
            fs::read_to_string(clone.join(FILE)).unwrap(),
            VALUES,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_missing_key_is_an_error_and_is_not_added() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let file = clone.join("other.yaml");
    fs::write(&file, "image:\n  tag: a\n").unwrap();
    let path = file.to_str().unwrap();
    let output = deploy(
        &clone,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-0123abc",
            "--digest",
            &digest(7),
            "--file",
            path,
            "--no-commit",
        ],
    );
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("image.digest"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "image:\n  tag: a\n");
}

/// Each run deploys a commit of its own, all at once: whoever comes late must see that, and no update
/// of another file may get lost.
#[test]
fn twenty_at_once_lose_nothing() {
    const RUNS: usize = 20;
    let forge = Forge::new();
    let seed = forge.clone("seed");
    for run in 0..RUNS {
        fs::write(
            seed.join(format!("charts/waybill/values-{run}.yaml")),
            VALUES,
        )
        .unwrap();
    }
    git(&seed, &["add", "--all"]);
    git(&seed, &["commit", "--quiet", "--message", "Many services"]);
    git(&seed, &["push", "--quiet", "origin", "develop"]);
    let clones: Vec<PathBuf> = (0..RUNS)
        .map(|run| forge.clone(&format!("run-{run}")))
        .collect();

    thread::scope(|scope| {
        for (run, clone) in clones.iter().enumerate() {
            scope.spawn(move || {
                let file = format!("charts/waybill/values-{run}.yaml");
                let tag = format!("develop-{run:07x}");
                succeeded(&deploy(
                    clone,
                    &[
                        "--env",
                        "dev",
                        "--tag",
                        &tag,
                        "--digest",
                        &digest(run + 1),
                        "--file",
                        &file,
                    ],
                ));
            });
        }
    });

    for run in 0..RUNS {
        let values = forge.read(&["show", &format!("develop:charts/waybill/values-{run}.yaml")]);
        let expected = VALUES
            .replace("unreleased", &format!("develop-{run:07x}"))
            .replace(&digest(0), &digest(run + 1));
        assert_eq!(values, expected);
    }
    assert_eq!(forge.values(), VALUES);
}
