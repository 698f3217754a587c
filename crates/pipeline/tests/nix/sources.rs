//! The files that the flake builds the Rust code from.

#![expect(clippy::expect_used, reason = "that is how a test's helpers report")]

use crate::flake::{Flake, files, read};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Macros and an attribute whose first string is the path of a file or folder, what follows their names, and whether
/// the path is relative to the package instead of to the source file.
const INCLUDES: [(&str, &str, bool); 4] = [
    ("include_str", "!(", false),
    ("include_bytes", "!(", false),
    ("#[path", " = ", false),
    ("embed_migrations", "!(", true),
];

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(normal.pop(), "{}", path.display()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

/// The files of the project that a source file needs when it is compiled.
fn included(source: &str, project: &[String]) -> BTreeSet<String> {
    let text = read(source);
    let folder = Path::new(source).parent().expect("a file has a folder");
    let mut found = BTreeSet::new();
    for (name, rest, of_package) in INCLUDES {
        let base = if of_package { Path::new("") } else { folder };
        for argument in text.split(&format!("{name}{rest}")).skip(1) {
            // Of `concat!("../folder/", …)`, any file in the folder may be meant.
            let path = normal(&base.join(argument.split('"').nth(1).expect("a path")));
            let mut matches = project
                .iter()
                .filter(|file| Path::new(file).starts_with(&path))
                .peekable();
            assert!(
                matches.peek().is_some(),
                "{source} includes {}, which is not in the repository",
                path.display()
            );
            found.extend(matches.cloned());
        }
    }
    found
}

#[test]
#[ignore = "wants Nix: cargo pipeline test --only nix"]
fn the_build_sees_every_file_that_the_code_needs() {
    let flake = Flake::copy();
    let sources = flake.eval("checks.x86_64-linux.clippy.arguments.files");
    let sources: BTreeSet<String> = serde_json::from_value(sources).expect("a list of files");

    let project = files("");
    let code = project.iter().filter(|file| file.ends_with(".rs"));
    let mut wanted: BTreeSet<String> = code.clone().cloned().collect();
    wanted.extend(code.flat_map(|file| included(file, &project)));
    // The service's tests also run there, and some read files of the repository.
    for test in project.iter().filter(|file| file.starts_with("tests/")) {
        let text = read(test);
        let named = project
            .iter()
            .filter(|file| text.contains(&format!("\"{file}\"")));
        wanted.extend(named.cloned());
    }
    for file in [
        "crates/testkit/src/delivery.toml",
        "README.md",
        "docs/service.md",
    ] {
        assert!(wanted.contains(file), "{file} is not among {wanted:?}");
    }
    for manifest in [
        "Cargo.toml",
        "Cargo.lock",
        ".cargo/config.toml",
        "clippy.toml",
    ] {
        wanted.insert(manifest.to_owned());
    }

    let missing: Vec<_> = wanted.difference(&sources).collect();
    assert!(missing.is_empty(), "nix/source.nix leaves out {missing:?}");
}
