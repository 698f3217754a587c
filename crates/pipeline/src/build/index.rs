//! An index gives the images of several platforms one digest, which is signed, promoted and deployed
//! (<https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>).

use super::layout::{Description, ImageFolder, LayoutImage, read_json};
use super::sbom::Sbom;
use anyhow::{Context, Result, bail, ensure};
use devkit::delivery::Platform;
use devkit::reference::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The name of an image in a layout, which [`ImageFolder::reference`] repeats.
const NAME: &str = "org.opencontainers.image.ref.name";

/// An index, also the one at the top of a layout.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// An entry of an index.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<EntryPlatform>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct EntryPlatform {
    architecture: &'static str,
    os: &'static str,
}

impl From<Platform> for EntryPlatform {
    fn from(platform: Platform) -> Self {
        Self {
            architecture: platform.architecture(),
            os: "linux",
        }
    }
}

impl<'a> From<&'a LayoutImage> for Entry<'a> {
    fn from(image: &'a LayoutImage) -> Self {
        Self {
            media_type: MANIFEST,
            digest: &image.manifest.digest,
            size: image.manifest.size,
            platform: Some(image.platform.into()),
            annotations: BTreeMap::new(),
        }
    }
}

impl<'a> Index<'a> {
    fn new(manifests: Vec<Entry<'a>>, annotations: BTreeMap<&'a str, &'a str>) -> Self {
        Self {
            schema_version: 2,
            media_type: INDEX,
            manifests,
            annotations,
        }
    }
}

/// Adds the image of another platform to an image of the same commit. Afterwards the folder has both, an index of them,
/// and one SBOM. The digest depends only on the two images, and not on their order.
///
/// # Errors
/// When the two do not belong together, or a file cannot be read or written.
pub(super) fn add(folder: &ImageFolder, other: &ImageFolder) -> Result<Description> {
    let ours = Description::read(folder)?;
    let theirs = Description::read(other)
        .with_context(|| format!("cannot add the image in {}", other.path.display()))?;
    ensure!(
        ours.revision == theirs.revision,
        "the images are of two commits, {} and {}",
        ours.revision,
        theirs.revision
    );
    let mut images = [
        LayoutImage::read(&folder.layout())?,
        LayoutImage::read(&other.layout())?,
    ];
    images.sort_by_key(|image| image.platform);
    let platforms = images
        .iter()
        .map(|image| image.platform)
        .collect::<Vec<_>>();
    if let [first, second] = platforms.as_slice()
        && first == second
    {
        bail!("both images are for {first}");
    }
    let sbom = merged_sbom(folder, other)?;
    copy_blobs(&other.layout(), &folder.layout())?;
    let digest = write_index(&folder.layout(), &images)?;
    if let Some(sbom) = sbom {
        let text = serde_json::to_string_pretty(&sbom.0.merge(sbom.1, &digest))? + "\n";
        write(&folder.sbom(), text.as_bytes())?;
    }
    let description = Description {
        digest,
        platforms,
        size: images.iter().map(|image| image.size).sum(),
        ..ours
    };
    description.write(folder)?;
    Ok(description)
}

/// Writes the index into the layout, and makes it the layout's only entry.
fn write_index(layout: &Path, images: &[LayoutImage]) -> Result<Digest> {
    let index = Index::new(
        images.iter().map(Entry::from).collect(),
        annotations(images),
    );
    let index = serde_json::to_vec(&index)?;
    let hex = hex::encode(Sha256::digest(&index));
    let digest: Digest = format!("sha256:{hex}").parse()?;
    write(&layout.join("blobs/sha256").join(hex), &index)?;
    let top = Entry {
        media_type: INDEX,
        digest: &digest,
        size: index.len() as u64,
        platform: None,
        annotations: BTreeMap::from([(NAME, "image")]),
    };
    let top = Index::new(vec![top], BTreeMap::new());
    write(&layout.join("index.json"), &serde_json::to_vec(&top)?)?;
    Ok(digest)
}

/// The labels that all images have: registries show the annotations of an index as they show the labels of an image.
fn annotations(images: &[LayoutImage]) -> BTreeMap<&str, &str> {
    let mut labels = images.iter().map(|image| {
        let labels = image.process.labels.iter().flatten();
        labels
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect::<BTreeMap<_, _>>()
    });
    let mut common = labels.next().unwrap_or_default();
    for labels in labels {
        common.retain(|name, value| labels.get(name) == Some(&*value));
    }
    common
}

/// The SBOMs of two images. There are none where the scanner that writes them may be missing.
fn merged_sbom(folder: &ImageFolder, other: &ImageFolder) -> Result<Option<(Sbom, Sbom)>> {
    let files = [folder.sbom(), other.sbom()];
    if files.iter().all(|file| !file.exists()) {
        return Ok(None);
    }
    let read = |file: &Path| {
        read_json(file).context("one image has an SBOM: run `cargo pipeline scan` for the other")
    };
    Ok(Some((read(&files[0])?, read(&files[1])?)))
}

/// Copies the blobs of a layout to another.
fn copy_blobs(from: &Path, to: &Path) -> Result<()> {
    let folder = from.join("blobs/sha256");
    let entries = fs::read_dir(&folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let target = to.join("blobs/sha256").join(entry.file_name());
        // The name is the digest of the content.
        if !target.exists() {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// Adds a blob to a layout, and returns its descriptor.
    fn blob(layout: &Path, content: &Value) -> Value {
        let bytes = content.to_string().into_bytes();
        let hex = hex::encode(Sha256::digest(&bytes));
        fs::write(layout.join("blobs/sha256").join(&hex), &bytes).unwrap();
        json!({"mediaType": MANIFEST, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    }

    /// The folder of an image with a small SBOM.
    fn image(architecture: &str, commit: &str) -> (TempDir, ImageFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = ImageFolder {
            path: temporary.path().to_owned(),
        };
        let layout = folder.layout();
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let labels = json!({"revision": commit, "builder": architecture});
        let configuration = json!({
            "os": "linux", "architecture": architecture, "config": {"Labels": labels},
        });
        let layer = blob(&layout, &json!(architecture));
        let configuration = blob(&layout, &configuration);
        let manifest = json!({"schemaVersion": 2, "config": configuration, "layers": [layer]});
        let manifest = blob(&layout, &manifest);
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        let sbom = json!({
            "metadata": {"component": {"bom-ref": "a", "type": "container", "name": "waybill"}},
            "components": [{"bom-ref": architecture, "type": "library", "name": architecture}],
        });
        fs::write(folder.sbom(), sbom.to_string()).unwrap();
        let image = LayoutImage::read(&layout).unwrap();
        let description = Description {
            digest: image.digest().clone(),
            platforms: vec![image.platform],
            size: image.size,
            revision: commit.to_owned(),
            created: "2026-01-02T03:04:05Z".to_owned(),
            version: "1.0.0".to_owned(),
            builder: "dockerfile".to_owned(),
        };
        description.write(&folder).unwrap();
        (temporary, folder)
    }

    fn json_of(folder: &ImageFolder, digest: &Digest) -> Value {
        let hex = digest.as_str().trim_start_matches("sha256:");
        let bytes = fs::read(folder.layout().join("blobs/sha256").join(hex)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&bytes)), hex);
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn two_platforms_have_one_digest() {
        let (_first, amd64) = image("amd64", COMMIT);
        let (_second, arm64) = image("arm64", COMMIT);
        let digests = [&amd64, &arm64].map(|folder| Description::read(folder).unwrap().digest);
        let added = add(&amd64, &arm64).unwrap();
        assert_eq!(added.platforms, [Platform::Amd64, Platform::Arm64]);
        assert_eq!(added.revision, COMMIT);

        let index = json_of(&amd64, &added.digest);
        assert_eq!(
            (&index["schemaVersion"], &index["mediaType"]),
            (&json!(2), &json!(INDEX))
        );
        assert_eq!(index["annotations"], json!({"revision": COMMIT}));
        for (entry, (architecture, digest)) in index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .zip([("amd64", &digests[0]), ("arm64", &digests[1])])
        {
            assert_eq!(entry["digest"], digest.as_str());
            assert_eq!(
                entry["platform"],
                json!({"architecture": architecture, "os": "linux"})
            );
            // All parts are in the layout.
            let manifest = json_of(&amd64, digest);
            assert_eq!(entry["size"], manifest.to_string().len());
            for part in [&manifest["config"], &manifest["layers"][0]] {
                json_of(&amd64, &part["digest"].as_str().unwrap().parse().unwrap());
            }
        }
        // What is read later is the index, under the same name.
        assert_eq!(Description::read(&amd64).unwrap().digest, added.digest);
        let top: Value = read_json(&amd64.layout().join("index.json")).unwrap();
        assert_eq!(top["manifests"][0]["annotations"][NAME], "image");
        assert_eq!(top["manifests"][0]["mediaType"], INDEX);
        let sbom: Value = read_json(&amd64.sbom()).unwrap();
        assert_eq!(sbom["components"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn the_order_does_not_matter() {
        let (_first, amd64) = image("amd64", COMMIT);
        let (_second, arm64) = image("arm64", COMMIT);
        let expected = add(&amd64, &arm64).unwrap().digest;
        let (_first, amd64) = image("amd64", COMMIT);
        assert_eq!(add(&arm64, &amd64).unwrap().digest, expected);
    }

    #[test]
    fn what_does_not_belong_together_stays_as_it_is() {
        let refused = |other: &ImageFolder, reason: &str| {
            let (_ours, ours) = image("amd64", COMMIT);
            let before = Description::read(&ours).unwrap().digest;
            let error = format!("{:#}", add(&ours, other).unwrap_err());
            assert!(error.contains(reason), "{error}");
            assert_eq!(Description::read(&ours).unwrap().digest, before);
        };
        let (_other, other) = image("amd64", COMMIT);
        refused(&other, "both images are for linux/amd64");
        let (_other, other) = image("arm64", &COMMIT.replace('0', "1"));
        refused(&other, "the images are of two commits");
        let (_other, other) = image("arm64", COMMIT);
        fs::remove_file(other.sbom()).unwrap();
        refused(&other, "run `cargo pipeline scan` for the other");
        let nothing = tempfile::tempdir().unwrap();
        let path = nothing.path().join("nothing");
        refused(&ImageFolder { path }, "there is no built image here");

        // A third image is not added to an index.
        let (_other, other) = image("arm64", COMMIT);
        let (_ours, ours) = image("amd64", COMMIT);
        add(&ours, &other).unwrap();
        let error = format!("{:#}", add(&ours, &other).unwrap_err());
        assert!(error.contains("is not one image"), "{error}");
    }
}
