//! The packages of the workspace, as `cargo metadata` lists them.

use crate::project::metadata;
use anyhow::{Context, Result};
use cargo_metadata::Metadata;
use std::path::Path;

/// The packages without a floor. Scenarios test the lab, and no unit test can replace them.
const WITHOUT_FLOOR: [&str; 1] = ["lab"];

/// A package of the workspace.
pub(crate) struct Package {
    /// The name.
    pub(crate) name: String,
    /// The folder of the sources, below the root of the project: `crates/pipeline/src/`.
    folder: String,
    /// Whether the coverage must reach the floor.
    pub(crate) gated: bool,
}

impl Package {
    /// Whether a source file belongs to the package.
    pub(crate) fn has(&self, file: &str) -> bool {
        file.starts_with(&self.folder)
    }

    /// The packages of the project, the one at the root first, the others by name.
    pub(crate) fn all(root: &Path) -> Result<Vec<Self>> {
        Self::from_metadata(&metadata(root)?)
    }

    /// The packages that cargo described.
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Vec<Self>> {
        let mut packages = metadata
            .packages
            .iter()
            .map(|package| {
                let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root);
                let manifest = manifest.with_context(|| {
                    format!("the package {} is not in the project", package.name)
                })?;
                Ok(Self {
                    name: package.name.to_string(),
                    folder: format!("{}/", manifest.with_file_name("src")),
                    gated: !WITHOUT_FLOOR.contains(&package.name.as_str()),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        // The package at the root comes first.
        packages.sort_by_cached_key(|package| (package.folder != "src/", package.name.clone()));
        Ok(packages)
    }
}
