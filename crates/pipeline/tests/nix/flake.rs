//! A copy of the flake, and programs that work on it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test's helpers report"
)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub use testkit::root;

/// The text of a file of the project.
pub fn read(file: impl AsRef<Path>) -> String {
    let file = root().join(file);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Runs a program and returns its output, or its error output.
pub fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}): `cargo pipeline tools` installs it")
        });
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    if status.success() {
        Ok(text(stdout))
    } else {
        Err(text(stderr) + &text(stdout))
    }
}

/// The files of the project that git tracks or would add.
pub fn files(suffix: &str) -> Vec<String> {
    let mut git = testkit::git(&root());
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let list = run(&mut git).expect("this is a git repository");
    list.lines()
        .filter(|file| file.ends_with(suffix) && root().join(file).is_file())
        .map(str::to_owned)
        .collect()
}

/// A copy of the flake with its own store, so that no store of the machine is read or written.
pub struct Flake {
    /// The folder with the copy and the store.
    pub dir: TempDir,
}

impl Flake {
    /// Copies the flake.
    pub fn copy() -> Self {
        let dir = TempDir::with_prefix("waybill-nix").expect("a temporary folder");
        let flake = Self { dir };
        for file in files("") {
            let to = flake.path().join(&file);
            std::fs::create_dir_all(to.parent().expect("a file has a folder"))
                .expect("the copy can be written");
            std::fs::copy(root().join(file), to).expect("the copy can be written");
        }
        flake
    }

    /// The folder of the copy.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("flake")
    }

    /// The file of a path that begins with `/nix/store/`.
    pub fn in_store(&self, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        self.dir.path().join("store").join(path)
    }

    /// Replaces the only `from` in a file.
    pub fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.path().join(file);
        let text = std::fs::read_to_string(&path).expect("the file is there");
        assert_eq!(text.matches(from).count(), 1, "`{from}` in {file}");
        std::fs::write(path, text.replace(from, to)).expect("the copy can be written");
    }

    /// A command of Nix with the store of this copy.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut nix = Command::new("nix");
        nix.args(["--extra-experimental-features", "nix-command flakes"])
            .args(["--offline", "--store"])
            .arg(self.dir.path().join("store"))
            .args(args)
            .env("HOME", self.dir.path())
            .env_remove("NIX_REMOTE")
            .env_remove("NIX_PATH");
        nix
    }

    /// Runs a command on the flake, with stubs for its inputs.
    pub fn with_stubs(
        &self,
        command: &[&str],
        attribute: &str,
        args: &[&str],
    ) -> Result<String, String> {
        let flake = self.path();
        let mut nix = self.command(command);
        nix.arg(format!("path:{}{attribute}", flake.display()));
        for input in ["nixpkgs", "crane", "rust-overlay"] {
            let stub = flake.join("nix/tests/stubs").join(input);
            nix.args(["--override-input", input])
                .arg(format!("path:{}", stub.display()));
        }
        run(nix.arg("--no-write-lock-file").args(args))
    }

    /// The value of an attribute.
    pub fn eval(&self, attribute: &str) -> Value {
        let attribute = format!("#{attribute}");
        let text = self.with_stubs(&["eval", "--json"], &attribute, &[]);
        serde_json::from_str(&text.unwrap_or_else(|error| panic!("{attribute}: {error}")))
            .expect("Nix prints JSON")
    }

    /// Evaluates every output to the last attribute.
    pub fn check(&self) -> Result<String, String> {
        // `nix flake check` does not look into apps.
        self.with_stubs(&["eval", "--json"], "#apps", &[])?;
        self.with_stubs(&["flake", "check", "--no-build"], "", &[])
    }
}

impl Drop for Flake {
    fn drop(&mut self) {
        // Nix makes its store read-only, so that only root could delete it.
        let mut chmod = Command::new("chmod");
        let _ = chmod.args(["-R", "u+w"]).arg(self.dir.path()).status();
    }
}

/// The keys of an object.
pub fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object();
    let object = object.unwrap_or_else(|| panic!("not an object: {value}"));
    object.keys().map(String::as_str).collect()
}
