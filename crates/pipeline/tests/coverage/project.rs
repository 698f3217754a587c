//! A project in which cargo and its subcommands are fakes.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::common::{commit, git, pipeline};
use crate::forge::{Forge, HEAD};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The thresholds of this project itself, with a floor of 90 % and a minimum of 70 %.
pub static THRESHOLDS: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string(testkit::root().join("quality.toml")).unwrap());

/// The start of a comment of ours.
pub const MARKER: &str = "<!-- waybill:coverage -->";

/// A fake cargo: logs its arguments, and reports the file `lcov`.
const CARGO: &str = r#"#!/bin/sh
set -eu
echo "cargo $*" >> "$FAKE/log"
case "$*" in
  metadata*)
    cat "$FAKE/metadata.json"
    ;;
  "llvm-cov clean"*) echo "builds in $CARGO_LLVM_COV_TARGET_DIR" >> "$FAKE/log" ;;
  *--lib*) printf %s "${FAKE_SAYS-}"; exit "${FAKE_UNIT-0}" ;;
  *report*) for file; do :; done; cp "$FAKE/lcov" "$file" ;;
esac
"#;

/// A project with fake programs.
pub struct Project {
    folder: TempDir,
}

impl Project {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet", "clone"]);
        let project = Self { folder };
        for (name, text) in [
            ("cargo", CARGO),
            ("rustc", "#!/bin/sh\necho rustc 1.0\n"),
            ("cargo-llvm-cov", "#!/bin/sh\n"),
        ] {
            let file = project.path("bin").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for file in [
            "src/app.rs",
            "src/main.rs",
            "crates/pipeline/src/main.rs",
            "crates/pipeline/src/tags.rs",
            "crates/lab/src/main.rs",
            "tests/api/main.rs",
        ] {
            project.commit(file, "fn main() {}\n");
        }
        project.commit(".gitignore", "/target/\n");
        project.commit("quality.toml", &THRESHOLDS);
        project.write_metadata();
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn commit(&self, file: &str, text: &str) -> String {
        commit(&self.path("clone"), file, text)
    }

    /// Writes what `cargo metadata` prints: three packages, with the tests `api` and `tags`.
    fn write_metadata(&self) {
        let target = |kind: &str, name: &str| {
            json!({
                "kind": [kind], "crate_types": ["bin"], "name": name, "src_path": "/p/x.rs", "edition": "2024",
            })
        };
        let package = |name: &str, folder: &str, targets: Vec<Value>| {
            json!({
                "name": name, "version": "0.1.0", "id": name, "dependencies": [], "features": {},
                "manifest_path": format!("/p/{folder}Cargo.toml"), "targets": targets,
            })
        };
        let metadata = json!({
            "packages": [
                package("pipeline", "crates/pipeline/", vec![target("test", "tags"), target("test", "docs")]),
                package("lab", "crates/lab/", Vec::new()),
                package("parcel", "", vec![target("lib", "parcel"), target("test", "api")]),
            ],
            "workspace_members": [], "resolve": null, "workspace_root": "/p", "target_directory": "/p/target",
            "version": 1,
        });
        fs::write(self.path("metadata.json"), metadata.to_string()).unwrap();
    }

    /// Adds a package without targets to what `cargo metadata` prints.
    pub fn add_package(&self, name: &str) {
        let mut metadata: Value = serde_json::from_str(&self.read("metadata.json")).unwrap();
        let packages = metadata["packages"].as_array_mut().unwrap();
        let mut package = packages[0].clone();
        package["name"] = json!(name);
        package["id"] = json!(name);
        package["manifest_path"] = json!(format!("/p/crates/{name}/Cargo.toml"));
        package["targets"] = json!([]);
        packages.push(package);
        fs::write(self.path("metadata.json"), metadata.to_string()).unwrap();
    }

    pub fn head(&self) -> String {
        git(&self.path("clone"), &["rev-parse", "HEAD"])
    }

    pub fn step(&self, words: &[&str]) -> Command {
        let mut command = pipeline(&self.path("clone"), words);
        let path = std::env::var_os("PATH").unwrap();
        // An installed program must not replace a fake one that a test removes.
        let others =
            std::env::split_paths(&path).filter(|dir| !dir.join("cargo-llvm-cov").exists());
        let folders = std::iter::once(self.path("bin")).chain(others);
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("FAKE", self.folder.path())
            .env("GITHUB_STEP_SUMMARY", self.path("summary"));
        command
    }

    /// Runs `coverage`, for which cargo reports `lcov`.
    pub fn coverage(&self, lcov: &str) -> Output {
        self.coverage_of(lcov, &[])
    }

    /// The same with options.
    pub fn coverage_of(&self, lcov: &str, options: &[&str]) -> Output {
        fs::write(self.path("lcov"), lcov).unwrap();
        let _ = fs::remove_file(self.path("log"));
        let words = [&["coverage"], options].concat();
        self.step(&words).output().unwrap()
    }

    /// Runs `coverage` for one file of each gated package, with the covered lines of 1000.
    pub fn measure(&self, parcel: usize, pipeline: usize) {
        let lcov = self.file("src/app.rs", parcel, 1000)
            + &self.file("crates/pipeline/src/tags.rs", pipeline, 1000);
        self.coverage(&lcov);
    }

    /// The part of the report for a file.
    pub fn file(&self, file: &str, covered: usize, total: usize) -> String {
        let path = self.path("clone").join(file);
        let line = |number| format!("DA:{number},{}\n", u8::from(number <= covered));
        let lines: String = (1..=total).map(line).collect();
        format!("SF:{}\n{lines}end_of_record\n", path.display())
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn figures(&self) -> Value {
        let text = self.read("clone/target/coverage/coverage.json");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub fn set_figures(&self, text: &str) {
        let file = self.path("clone/target/coverage/coverage.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Runs `comment` in a job of an event.
    pub fn comment(&self, forge: &Forge, event: &str, payload: &Value, words: &[&str]) -> Output {
        fs::write(self.path("event.json"), payload.to_string()).unwrap();
        let mut command = self.step(&[&["comment"], words].concat());
        command
            .env("GITHUB_API_URL", &forge.url)
            .env("GITHUB_REPOSITORY", "some/body")
            .env("GITHUB_TOKEN", "s3cret-t0ken")
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_EVENT_PATH", self.path("event.json"))
            .env("GITHUB_REF", "refs/heads/x")
            .env("GITHUB_SHA", self.head())
            .envs(forge.settings.iter().map(|(name, value)| (*name, *value)))
            .output()
            .unwrap()
    }

    pub fn pull_request(&self, forge: &Forge, words: &[&str]) -> Output {
        let pull = json!({"number": 7, "head": {"sha": HEAD}});
        self.comment(forge, "pull_request", &json!({"pull_request": pull}), words)
    }
}
