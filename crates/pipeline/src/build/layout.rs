//! The folder of a built image: an OCI image layout, a description of the image, and its SBOM.
//!
//! The types have only the fields that the pipeline uses. Format:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>.

use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::Platform;
use devkit::reference::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of a built image.
#[derive(clap::Args)]
pub(crate) struct ImageFolder {
    /// Folder of the built image
    #[arg(long = "image", default_value = "target/image", value_name = "FOLDER")]
    pub(crate) path: PathBuf,
}

impl ImageFolder {
    /// The OCI image layout.
    pub(crate) fn layout(&self) -> PathBuf {
        self.path.join("layout")
    }

    /// The description of the image.
    pub(crate) fn description(&self) -> PathBuf {
        self.path.join("image.json")
    }

    /// The SBOM, as CycloneDX.
    pub(crate) fn sbom(&self) -> PathBuf {
        self.path.join("sbom.cdx.json")
    }

    /// The layout, as skopeo and buildah write its name.
    pub(crate) fn reference(&self) -> String {
        format!("oci:{}:image", self.layout().display())
    }
}

/// The entry point of a layout.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// A reference to content by its digest.
#[derive(Clone, Deserialize)]
pub(super) struct Descriptor {
    /// The digest.
    pub(super) digest: Digest,
    /// Bytes.
    pub(super) size: u64,
}

impl Descriptor {
    fn blob(&self, layout: &Path) -> PathBuf {
        layout
            .join("blobs")
            .join(self.digest.as_str().replace(':', "/"))
    }
}

#[derive(Deserialize)]
struct Configuration {
    os: String,
    architecture: String,
    #[serde(default)]
    config: Process,
}

/// How a container starts.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Process {
    /// The user and the group, by number.
    pub(crate) user: Option<String>,
    /// The program and its arguments.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// The labels of the image.
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// The only image of a layout, or the index of its images.
fn entry(layout: &Path) -> Result<Descriptor> {
    let index: Index = read_json(&layout.join("index.json"))?;
    let [descriptor] = index.manifests.as_slice() else {
        bail!(
            "{} has {} images instead of one",
            layout.display(),
            index.manifests.len()
        );
    };
    Ok(descriptor.clone())
}

/// An image in a layout.
pub(crate) struct LayoutImage {
    /// The manifest.
    pub(super) manifest: Descriptor,
    /// What the image runs on.
    pub(super) platform: Platform,
    /// Bytes of the manifest, the configuration and the compressed layers.
    pub(crate) size: u64,
    /// How a container of the image starts.
    pub(crate) process: Process,
    /// The files of the layers.
    pub(crate) layers: Vec<PathBuf>,
}

impl LayoutImage {
    /// Reads the only image of a layout.
    pub(crate) fn read(layout: &Path) -> Result<Self> {
        let descriptor = entry(layout)?;
        let manifest: Manifest = read_json(&descriptor.blob(layout))
            .with_context(|| format!("{} is not one image", descriptor.digest))?;
        let configuration: Configuration = read_json(&manifest.config.blob(layout))?;
        let Configuration {
            os, architecture, ..
        } = &configuration;
        let platform = Platform::find(os, architecture).with_context(|| {
            format!(
                "the image is for {os}/{architecture}, which is not a platform of delivery.toml"
            )
        })?;
        let parts = manifest.layers.iter();
        let parts = parts.chain([&manifest.config, &descriptor]);
        Ok(Self {
            platform,
            size: parts.map(|part| part.size).sum(),
            process: configuration.config,
            layers: manifest
                .layers
                .iter()
                .map(|layer| layer.blob(layout))
                .collect(),
            manifest: descriptor,
        })
    }

    /// The digest of the manifest.
    pub(crate) fn digest(&self) -> &Digest {
        &self.manifest.digest
    }
}

/// What `cargo pipeline image` writes about the image that it built.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Description {
    /// The digest of the manifest; of several platforms, that of their index.
    pub(crate) digest: Digest,
    /// The platforms.
    pub(crate) platforms: Vec<Platform>,
    /// Compressed bytes; of several platforms, all together.
    #[serde(default)]
    pub(crate) size: u64,
    /// The commit that the image was built from.
    pub(crate) revision: String,
    /// The time of that commit, by RFC 3339.
    pub(crate) created: String,
    /// The version of the project.
    #[serde(default)]
    pub(crate) version: String,
    /// The builder: `dockerfile` or `nix`.
    pub(crate) builder: String,
}

impl Description {
    /// Reads the description, and checks that it belongs to the image in the folder.
    pub(crate) fn read(folder: &ImageFolder) -> Result<Self> {
        let description: Self = read_json(&folder.description())
            .context("there is no built image here: run `cargo pipeline image` first")?;
        ensure!(
            entry(&folder.layout())?.digest == description.digest,
            "{} describes another image than the one in the same folder: run `cargo pipeline image` again",
            folder.description().display()
        );
        Ok(description)
    }

    /// Writes the description into the folder.
    pub(crate) fn write(&self, folder: &ImageFolder) -> Result<()> {
        let file = folder.description();
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(&file, text + "\n")
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Reads a file.
pub(super) fn read_json<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{} does not have the expected format", file.display()))
}
