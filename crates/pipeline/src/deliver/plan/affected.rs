//! What a change can affect: the packages whose tests may have another result, the image and the flake.

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package, TargetKind};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Where Nix keeps what it builds from.
const NIX: [&str; 4] = ["flake.nix", "flake.lock", "nix/", "nixos-vm/"];

/// The package that builds the image from the service.
const BUILDER: &str = "pipeline";

/// What a change can affect. The tests of the documentation are not listed: they always run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Affected {
    /// The packages whose tests may have another result.
    pub(super) tests: BTreeSet<String>,
    /// Whether the integration tests of the service may have another result.
    pub(super) service: bool,
    /// Whether the image may have other bytes.
    pub(super) image: bool,
    /// Whether a file changed that only Nix reads.
    pub(super) nix: bool,
}

impl Affected {
    /// What either of two changes can affect.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.tests.extend(other.tests);
        self.service |= other.service;
        self.image |= other.image;
        self.nix |= other.nix;
        self
    }
}

/// The packages of the project and the files that belong to them.
pub(super) struct Packages(Vec<Member>);

struct Member {
    name: String,
    /// The folders and files of the package; a folder ends with a slash.
    own: Vec<String>,
    /// The folder of the integration tests.
    tests: String,
    /// What the tests read besides; also with the names of files without a folder.
    reads: Vec<String>,
    dependencies: Vec<String>,
    is_service: bool,
}

/// The table `[package.metadata.delivery]` in a package's Cargo.toml.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Declared {
    /// Folders that belong to the package and have no target. Only for the package at the root.
    sources: Vec<String>,
    /// Files and folders of other packages, or of none, that the package's tests read.
    reads: Vec<String>,
}

/// The metadata that other programs may declare too.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PackageMetadata {
    delivery: Declared,
}

impl Packages {
    /// The packages that `cargo metadata` lists.
    pub(super) fn new(metadata: &Metadata) -> Result<Self> {
        let members = metadata.packages.iter();
        let root = metadata.workspace_root.as_path();
        members
            .map(|package| Member::new(package, root.as_str()))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The effect of a change of everything.
    pub(super) fn all(&self) -> Affected {
        Affected {
            tests: self.0.iter().map(|member| member.name.clone()).collect(),
            service: true,
            image: true,
            nix: true,
        }
    }

    /// The effect of a change of these files. A file that belongs to nothing affects everything.
    pub(super) fn affected<'a>(&self, files: impl Iterator<Item = &'a str>) -> Affected {
        let mut affected = Affected::default();
        for file in files {
            if !self.add(&mut affected, file) {
                return self.all();
            }
        }
        affected
    }

    /// Adds the effect of a change of a file. Returns whether it is known.
    fn add(&self, affected: &mut Affected, file: &str) -> bool {
        let mut known = false;
        for reader in self.0.iter().filter(|member| contain(&member.reads, file)) {
            affected.tests.insert(reader.name.clone());
            known = true;
        }
        if let Some(owner) = self.0.iter().find(|member| contain(&member.own, file)) {
            let is_test = file.starts_with(&owner.tests);
            let changed = match is_test {
                true => BTreeSet::from([owner.name.as_str()]),
                false => self.with_dependents(&owner.name),
            };
            for member in self.0.iter().filter(|m| changed.contains(m.name.as_str())) {
                affected.tests.insert(member.name.clone());
                affected.service |= member.is_service;
                affected.image |= !is_test && (member.is_service || member.name == BUILDER);
            }
            known = true;
        }
        if contain(&NIX, file) {
            affected.nix = true;
            known = true;
        }
        known || is_documentation(file)
    }

    /// The package and those that are built from it.
    fn with_dependents<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([name]);
        loop {
            let before = found.len();
            for member in &self.0 {
                let mut dependencies = member.dependencies.iter();
                if dependencies.any(|dependency| found.contains(dependency.as_str())) {
                    found.insert(&member.name);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }
}

impl Member {
    fn new(package: &Package, root: &str) -> Result<Self> {
        let relative = |path: &str| {
            let path = path
                .strip_prefix(root)
                .map(|path| path.trim_start_matches('/'));
            path.map(str::to_owned)
                .with_context(|| format!("the package {} is not in the project", package.name))
        };
        let folder = relative(package.manifest_path.parent().map_or("", |p| p.as_str()))?;
        let declared: Option<PackageMetadata> = serde_json::from_value(package.metadata.clone())
            .with_context(|| {
                format!(
                    "[package.metadata.delivery] of the package {} is not valid",
                    package.name
                )
            })?;
        let declared = declared.unwrap_or_default().delivery;
        let is_service = folder.is_empty();
        let mut own = declared.sources;
        if is_service {
            // The folder of this package holds the whole project.
            for target in &package.targets {
                let path = relative(target.src_path.as_str())?;
                let top = path.split_once('/').map(|(folder, _)| format!("{folder}/"));
                // A build script may read anything.
                if !target.kind.contains(&TargetKind::CustomBuild) {
                    own.push(top.unwrap_or(path));
                }
            }
        } else {
            own.push(format!("{folder}/"));
        }
        Ok(Self {
            name: package.name.to_string(),
            own,
            tests: match is_service {
                true => "tests/".to_owned(),
                false => format!("{folder}/tests/"),
            },
            reads: declared.reads,
            dependencies: package
                .dependencies
                .iter()
                .map(|d| d.name.clone())
                .collect(),
            is_service,
        })
    }
}

/// Whether one of the paths is the file or a folder that contains it.
fn contain(paths: &[impl AsRef<str>], file: &str) -> bool {
    paths
        .iter()
        .map(AsRef::as_ref)
        .any(|path| match path.ends_with('/') {
            true => file.starts_with(path),
            false => file == path,
        })
}

/// Whether only people and the tests of the documentation read a file.
fn is_documentation(file: &str) -> bool {
    file == "LICENSE" || file.starts_with("docs/") || file.ends_with(".md")
}
