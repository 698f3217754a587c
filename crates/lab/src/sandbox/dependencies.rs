//! The packages from registries that jobs compile with. The host compiles them once, and each job's target folder starts
//! with them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use devkit::cache::content_key;
use devkit::git::Git;
use devkit::process::{Run, command};
use devkit::progress::Progress;
use devkit::units::{self, Libraries};
use serde::Deserialize;

use super::layout::Layout;

/// What jobs build: the pipeline's program, the tests with and without coverage, and what clippy reads. Clippy checks the
/// service a second time, with its default features.
const BUILDS: [&[&str]; 4] = [
    &["build", "--package", "pipeline"],
    &["build", "--workspace", "--all-targets"],
    &["check", "--workspace", "--all-targets"],
    &["check"],
];

/// A compiler for the packages of the workspace that refuses to compile them. Cargo calls it for these packages only, and
/// also to ask for facts about the compiler.
const REFUSE: &str = "#!/bin/sh\n[ -z \"$CARGO_PKG_NAME\" ] || exit 1\nexec \"$@\"\n";

/// The work that [`start`] began.
pub struct Compiling(JoinHandle<Result<()>>);

/// Starts to compile the dependencies of the checkout in the background.
pub fn start(layout: &Layout, checkout: &Path) -> Compiling {
    let (layout, checkout) = (layout.clone(), checkout.to_owned());
    Compiling(thread::spawn(move || prepare(&layout, &checkout)))
}

impl Compiling {
    /// Waits until the work has ended. A failure is only reported: the jobs compile what is missing, and their logs show
    /// what is wrong with the checkout.
    pub fn wait(self, progress: Progress) {
        let step = progress.step("Compiling the dependencies of CI's jobs");
        match self.0.join() {
            Ok(Ok(())) => step.done(),
            Ok(Err(error)) => {
                step.line(format!("{error:#}; the jobs compile their dependencies"));
            }
            Err(_) => step.line("the thread panicked; the jobs compile their dependencies"),
        }
    }
}

/// Compiles the dependencies in the checkout's own target folder and copies them to the jobs' cache, unless it has them: a
/// new clone has an empty target folder.
fn prepare(layout: &Layout, checkout: &Path) -> Result<()> {
    let jobs = layout.cache("jobs");
    let key = key(checkout)?;
    if is_saved(&jobs, &key) {
        return Ok(());
    }
    let log = layout.state("log/dependencies.log");
    fs::create_dir_all(layout.state("log"))?;
    let mut log = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    writeln!(
        log,
        "Only dependencies are compiled here. Errors of the workspace's own packages are intended."
    )?;
    let refuse = layout.cache("build/compile-dependencies-only");
    fs::create_dir_all(layout.cache("build"))?;
    if fs::read_to_string(&refuse).ok().as_deref() != Some(REFUSE) {
        fs::write(&refuse, REFUSE)?;
        fs::set_permissions(&refuse, fs::Permissions::from_mode(0o755))?;
    }
    let mut compiled = Compiled::default();
    for words in BUILDS {
        // The exit code says nothing: the packages of the workspace always fail.
        let output = command("cargo", words)
            .args(["--locked", "--keep-going"])
            .arg("--message-format=json-render-diagnostics")
            .env("RUSTC_WORKSPACE_WRAPPER", &refuse)
            .current_dir(checkout)
            .stderr(Stdio::from(log.try_clone()?))
            .output()
            .context("cannot start cargo")?;
        compiled.add(&String::from_utf8_lossy(&output.stdout));
    }
    let Some(profile) = &compiled.profile else {
        bail!("cargo compiled no dependency; `cargo lab logs dependencies` shows why");
    };
    save(profile, &compiled.units(profile)?, &key, &jobs)
        .context("cannot copy the dependencies of CI's jobs")
}

/// The name of the file with the key of what was compiled.
const KEY: &str = "key";

/// Differs when the dependencies may differ: in versions, features, profile or compiler.
fn key(checkout: &Path) -> Result<String> {
    let version = command("rustc", ["-vV"]).current_dir(checkout).read()?;
    let mut parts = vec![format!("{BUILDS:?}").into_bytes(), version.into_bytes()];
    let files = [
        "Cargo.lock",
        "Cargo.toml",
        "**/Cargo.toml",
        ".cargo/config.toml",
    ];
    let files = Git::new(checkout).read(&[&["ls-files", "--"], &files[..]].concat())?;
    for file in files.lines() {
        let text = fs::read(checkout.join(file)).with_context(|| format!("cannot read {file}"))?;
        parts.extend([file.as_bytes().to_vec(), text]);
    }
    Ok(content_key(parts))
}

fn is_saved(jobs: &Path, key: &str) -> bool {
    fs::read_to_string(jobs.join("dependencies").join(KEY)).is_ok_and(|saved| saved == key)
}

/// A message of `cargo build --message-format=json`. Source: The Cargo Book, "External tools".
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    package_id: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    out_dir: Option<PathBuf>,
}

/// What cargo compiled or found compiled, without packages that are folders on this machine.
#[derive(Debug, Default)]
struct Compiled {
    /// The profile's folder, such as `target/debug`.
    profile: Option<PathBuf>,
    /// The hashes of the units.
    hashes: BTreeSet<String>,
}

impl Compiled {
    /// Adds what cargo printed, a message in each line.
    fn add(&mut self, messages: &str) {
        let messages = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Message>(line).ok())
            .filter(|message| !message.package_id.starts_with("path+"));
        for message in messages {
            for file in &message.filenames {
                self.add_file(file);
            }
            // `target/debug/build/serde-0123456789abcdef/out`
            if let Some(unit) = message.out_dir.as_deref().and_then(Path::parent) {
                self.add_name(unit);
            }
        }
    }

    fn add_file(&mut self, file: &Path) {
        let Some(folder) = file.parent() else {
            return;
        };
        if folder.ends_with("deps") {
            self.profile = folder.parent().map(Path::to_owned);
            self.add_name(file);
        } else {
            // A build script: `target/debug/build/serde-0123456789abcdef/build-script-build`
            self.add_name(folder);
        }
    }

    fn add_name(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.hashes.extend(units::hash(&name).map(str::to_owned));
    }

    /// The names of the units.
    fn units(&self, profile: &Path) -> io::Result<Vec<String>> {
        let mut units = units::list(profile)?;
        units.retain(|unit| units::hash(unit).is_some_and(|hash| self.hashes.contains(hash)));
        Ok(units)
    }
}

/// Replaces the folder `dependencies` in `jobs`, unless it has the same units. Their names tell all that matters. Their
/// files also have the path of the clone that compiled them, and each job would start with an empty folder because of it.
fn save(profile: &Path, names: &[String], key: &str, jobs: &Path) -> io::Result<()> {
    fs::create_dir_all(jobs)?;
    // Jobs hold this lock while they copy.
    let lock = File::create(jobs.join("dependencies.lock"))?;
    lock.lock()?;
    let folder = jobs.join("dependencies");
    let id = content_key(names);
    if fs::read_to_string(folder.join("id")).is_ok_and(|last| last == id) {
        return fs::write(folder.join(KEY), key);
    }
    for old in [&folder, &jobs.join("dependencies.part")] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    let part = jobs.join("dependencies.part");
    // Not by links: a job could change the host's files through them.
    units::copy(names, profile, &part.join("debug"), Libraries::Copy)?;
    fs::write(part.join("id"), id)?;
    fs::write(part.join(KEY), key)?;
    fs::rename(part, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"registry+https://github.com/rust-lang/crates.io-index#serde@1.0.0","filenames":["/clone/target/debug/deps/libserde-00000000000000aa.rlib"]}
{"reason":"compiler-artifact","package_id":"registry+https://github.com/rust-lang/crates.io-index#pq-src@1.0.0","filenames":["/clone/target/debug/build/pq-src-00000000000000bb/build-script-build"]}
{"reason":"build-script-executed","package_id":"registry+https://github.com/rust-lang/crates.io-index#pq-src@1.0.0","out_dir":"/clone/target/debug/build/pq-src-00000000000000cc/out"}
{"reason":"compiler-artifact","package_id":"path+file:///clone#devkit@0.1.0","filenames":["/clone/target/debug/deps/libdevkit-00000000000000dd.rlib"]}
{"reason":"build-finished","success":false}
"#;

    #[test]
    fn units_of_the_workspace_are_left_out() {
        let mut compiled = Compiled::default();
        compiled.add(MESSAGES);
        assert_eq!(compiled.profile, Some("/clone/target/debug".into()));
        let hashes = ["00000000000000aa", "00000000000000bb", "00000000000000cc"];
        assert!(compiled.hashes.iter().eq(hashes), "{:?}", compiled.hashes);
    }

    /// A folder with a compiled unit.
    fn compile(profile: &Path, unit: &str, text: &str) {
        let notes = profile.join(units::NOTES).join(unit);
        fs::create_dir_all(&notes).unwrap();
        fs::create_dir_all(profile.join("deps")).unwrap();
        fs::write(notes.join("lib"), text).unwrap();
        fs::write(profile.join(format!("deps/lib{unit}.rlib")), text).unwrap();
    }

    #[test]
    fn the_units_of_another_clone_replace_only_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let jobs = path("jobs");
        let library = |unit: &str| {
            fs::read_to_string(jobs.join(format!("dependencies/debug/deps/lib{unit}.rlib")))
        };
        compile(&path("one"), "serde-aa", "one");
        compile(&path("one"), "stale-bb", "one");
        save(&path("one"), &["serde-aa".into()], "first", &jobs).unwrap();
        assert_eq!(library("serde-aa").unwrap(), "one");
        assert!(library("stale-bb").is_err());
        assert!(is_saved(&jobs, "first") && !is_saved(&jobs, "second"));

        compile(&path("two"), "serde-aa", "two");
        save(&path("two"), &["serde-aa".into()], "second", &jobs).unwrap();
        assert_eq!(library("serde-aa").unwrap(), "one");
        assert!(is_saved(&jobs, "second"));

        compile(&path("two"), "serde-cc", "two");
        save(&path("two"), &["serde-cc".into()], "third", &jobs).unwrap();
        assert_eq!(library("serde-cc").unwrap(), "two");
        assert!(library("serde-aa").is_err());
    }

    #[test]
    fn clones_have_one_key_until_what_is_compiled_changes() {
        let folder = tempfile::tempdir().unwrap();
        let clone = |name: &str| {
            let clone = folder.path().join(name);
            for (file, text) in [
                ("Cargo.lock", "version = 4\n"),
                ("Cargo.toml", "[workspace]\n"),
                ("crates/one/Cargo.toml", "[package]\n"),
                ("README.md", "# Project\n"),
            ] {
                let file = clone.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            let git = Git::new(&clone);
            git.read(&["init", "--quiet"]).unwrap();
            git.read(&["add", "--all"]).unwrap();
            clone
        };
        let (one, two) = (clone("one"), clone("two"));
        assert_eq!(key(&one).unwrap(), key(&two).unwrap());
        fs::write(two.join("README.md"), "# Another\n").unwrap();
        assert_eq!(key(&one).unwrap(), key(&two).unwrap());
        for file in ["Cargo.lock", "Cargo.toml", "crates/one/Cargo.toml"] {
            let before = key(&two).unwrap();
            fs::write(two.join(file), "# changed\n").unwrap();
            assert_ne!(key(&two).unwrap(), before, "{file}");
        }
    }
}
