//! `cargo pipeline tools lab` where every program is on PATH, as in `nix develop`. There is no Go on this PATH, so
//! a program that had to be built would be an error.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use devkit::tools::{Source, Step, Tool, needed};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder for each tool, as nix/shell.nix makes them, and an empty home.
struct Shell {
    dir: TempDir,
}

impl Shell {
    fn new() -> Self {
        let shell = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for tool in needed(&[Step::Lab]) {
            for program in tool.programs() {
                write(&shell.bin(tool).join(program));
            }
            for file in files(tool) {
                write(&shell.share(tool).join(file));
            }
        }
        shell
    }

    fn bin(&self, tool: &Tool) -> PathBuf {
        self.dir.path().join(tool.name).join("bin")
    }

    fn share(&self, tool: &Tool) -> PathBuf {
        self.dir.path().join(tool.name).join("share")
    }

    fn bins(&self) -> Vec<PathBuf> {
        needed(&[Step::Lab]).iter().map(|t| self.bin(t)).collect()
    }

    fn tools(&self, folders: &[PathBuf]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_pipeline"))
            .args(["tools", "lab"])
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("HOME", self.home())
            .output()
            .unwrap()
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }
}

fn files(tool: &Tool) -> &'static [&'static str] {
    let tool = devkit::tools::named(tool.name).unwrap();
    match &tool.source {
        Source::Go(build) => build.files,
        _ => &[],
    }
}

fn write(file: &Path) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "").unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn programs_on_path_are_used_and_nothing_is_built() {
    let shell = Shell::new();
    // nixpkgs packages kubectl apart from the rest of Kubernetes.
    let kubernetes = devkit::tools::named("kubernetes").unwrap();
    let kubectl = shell.dir.path().join("kubectl/bin/kubectl");
    write(&kubectl);
    fs::remove_file(shell.bin(kubernetes).join("kubectl")).unwrap();
    let mut folders = shell.bins();
    folders.push(kubectl.parent().unwrap().to_owned());

    let output = shell.tools(&folders);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("kubernetes      installed"), "{said}");
    assert!(
        !said.contains("missing") && !said.contains("PATH="),
        "{said}"
    );
    assert!(!shell.home().exists(), "nothing was written");
}

/// GitHub's runner images bring Helm, in a version of their own.
#[test]
fn a_pinned_program_is_installed_although_path_has_it() {
    let shell = Shell::new();
    let output = |words: &[&str]| {
        let mut tools = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        tools.args(words).current_dir(shell.dir.path()).env_clear();
        tools.env("PATH", std::env::join_paths(shell.bins()).unwrap());
        tools.env("HOME", shell.home()).output().unwrap()
    };
    assert!(output(&["tools", "lab"]).status.success());
    let said = output(&["tools", "--pinned", "lab"]);
    assert!(!said.status.success(), "{said:?}");
    // There is no Go on this PATH.
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(
        said.contains("helm") && said.contains("`go` is not on PATH"),
        "{said}"
    );
}

#[test]
fn a_tool_with_a_missing_part_has_to_be_built() {
    for tool in needed(&[Step::Lab]) {
        if !matches!(tool.source, Source::Go(_)) {
            continue;
        }
        let programs = tool.programs().map(|program| format!("bin/{program}"));
        let parts = programs.chain(files(tool).iter().map(|file| format!("share/{file}")));
        for part in parts {
            let shell = Shell::new();
            fs::remove_file(shell.dir.path().join(tool.name).join(&part)).unwrap();
            let output = shell.tools(&shell.bins());
            assert!(!output.status.success(), "without {part}");
            let said = String::from_utf8(output.stderr).unwrap();
            let reason = format!("{} must be built and `go` is not on PATH", tool.name);
            assert!(said.contains(&reason), "without {part}: {said}");
        }
    }
}

#[test]
fn a_program_that_was_installed_is_found_without_a_change_of_path() {
    let shell = Shell::new();
    let actionlint = devkit::tools::named("actionlint").unwrap();
    let check = || {
        let output = Command::new(env!("CARGO_BIN_EXE_pipeline"))
            .args(["tools", "--check", "lint"])
            .current_dir(shell.dir.path())
            .env_clear()
            .env("PATH", "/nonexistent")
            .env("HOME", shell.home())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let mut lines = said.lines();
        let line = lines.find(|line| line.starts_with("actionlint "));
        line.unwrap().split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(check(), "missing");
    let cache = shell.home().join(".cache/delivery");
    let mut folders = devkit::tools::cached_folders(&cache).into_iter();
    let is_ours = |folder: &PathBuf| folder.to_string_lossy().contains("/actionlint-");
    let folder = folders.find(is_ours).unwrap();
    write(&folder.join("bin").join(actionlint.name));
    assert_eq!(check(), "installed");
}
