//! The software bill of materials (SBOM) of an image, as CycloneDX (<https://cyclonedx.org/docs/1.6/json/>).
//!
//! Trivy writes it with the current time and with random identifiers. This module replaces both, so that the same
//! image always gives the same SBOM.

use super::layout::Description;
use anyhow::{Context, Result};
use devkit::reference::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A CycloneDX document. `other` keeps the fields that this module does not change.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sbom {
    serial_number: Option<String>,
    metadata: Metadata,
    #[serde(default)]
    pub(super) components: Vec<Component>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Metadata {
    timestamp: Option<String>,
    component: Component,
    #[serde(flatten)]
    other: Map<String, Value>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Component {
    #[serde(rename = "bom-ref")]
    reference: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// What a component depends on, by references.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    depends_on: Vec<String>,
}

impl Sbom {
    /// Parses a document of Trivy, and replaces what differs between two scans of the same image.
    pub(super) fn reproducible(text: &str, image: &Description) -> Result<Self> {
        let mut sbom: Self =
            serde_json::from_str(text).context("this is not CycloneDX with metadata")?;
        sbom.serial_number = Some(serial_number(&image.digest));
        sbom.metadata.timestamp = Some(image.created.clone());
        // Trivy knows only the folder of the image.
        sbom.metadata.component.name = "waybill".to_owned();
        sbom.metadata.component.version = Some(image.revision.clone());
        sbom.replace_references();
        Ok(sbom)
    }

    /// Trivy's reference is the package URL of a component, or a random identifier where there is no such URL. This
    /// names the latter after the component, and restores the order of lists that are sorted by reference.
    fn replace_references(&mut self) {
        let mut names = BTreeMap::new();
        for component in self.components.iter().chain([&self.metadata.component]) {
            if !component.reference.starts_with("pkg:") {
                let name = format!("{}:{}", component.kind, component.name);
                names.insert(component.reference.clone(), name);
            }
        }
        let rename = |reference: &mut String| {
            if let Some(name) = names.get(reference) {
                reference.clone_from(name);
            }
        };
        rename(&mut self.metadata.component.reference);
        self.components
            .iter_mut()
            .for_each(|component| rename(&mut component.reference));
        self.components
            .sort_by(|a, b| a.reference.cmp(&b.reference));
        for dependency in &mut self.dependencies {
            rename(&mut dependency.reference);
            dependency.depends_on.iter_mut().for_each(rename);
            dependency.depends_on.sort();
        }
        self.dependencies
            .sort_by(|a, b| a.reference.cmp(&b.reference));
    }
}

impl Sbom {
    /// The components of the images of two platforms. A field in which the same component differs is left out: it is about
    /// one platform only, such as the digest of a layer.
    pub(super) fn merge(mut self, other: Self, index: &Digest) -> Self {
        self.serial_number = Some(serial_number(index));
        keep_common(
            &mut self.metadata.component.other,
            &other.metadata.component.other,
        );
        for component in other.components {
            let mut ours = self.components.iter_mut();
            match ours.find(|ours| ours.reference == component.reference) {
                Some(ours) => keep_common(&mut ours.other, &component.other),
                None => self.components.push(component),
            }
        }
        for dependency in other.dependencies {
            let mut ours = self.dependencies.iter_mut();
            match ours.find(|ours| ours.reference == dependency.reference) {
                Some(ours) => ours.depends_on.extend(dependency.depends_on),
                None => self.dependencies.push(dependency),
            }
        }
        self.components
            .sort_by(|a, b| a.reference.cmp(&b.reference));
        self.dependencies
            .sort_by(|a, b| a.reference.cmp(&b.reference));
        for dependency in &mut self.dependencies {
            dependency.depends_on.sort();
            dependency.depends_on.dedup();
        }
        self
    }
}

/// Keeps the fields that have the same value in both.
fn keep_common(fields: &mut Map<String, Value>, others: &Map<String, Value>) {
    fields.retain(|name, value| others.get(name) == Some(&*value));
}

/// A UUID that follows from the digest: version 8 (RFC 9562), whose content is free.
fn serial_number(digest: &Digest) -> String {
    let hex = digest.as_str().trim_start_matches("sha256:");
    let part = |range| hex.get(range).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(12..15),
        part(15..18),
        part(18..30)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use devkit::delivery::Platform;
    use serde_json::json;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    fn image() -> Description {
        Description {
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4))
                .parse()
                .unwrap(),
            platforms: vec![Platform::Amd64],
            size: 1,
            revision: REVISION.to_owned(),
            created: "2026-01-02T03:04:05Z".to_owned(),
            version: "1.0.0".to_owned(),
            builder: "dockerfile".to_owned(),
        }
    }

    /// What Trivy writes for an image with one binary of two crates. The random identifiers differ each time.
    fn written(root: &str, binary: &str, serial: &str, time: &str) -> String {
        let mut components = vec![
            json!({"bom-ref": binary, "type": "application", "name": "waybill"}),
            json!({"bom-ref": "pkg:cargo/b@1.0.0", "type": "library", "name": "b"}),
            json!({"bom-ref": "pkg:cargo/a@1.0.0", "type": "library", "name": "a", "purl": "pkg:cargo/a@1.0.0"}),
        ];
        components.sort_by_key(|component| component["bom-ref"].to_string());
        json!({
            "bomFormat": "CycloneDX",
            "serialNumber": serial,
            "metadata": {
                "timestamp": time,
                "component": {"bom-ref": root, "type": "container", "name": "target/image/layout"}
            },
            "components": components,
            "dependencies": [
                {"ref": root, "dependsOn": [binary]},
                {"ref": binary, "dependsOn": ["pkg:cargo/b@1.0.0", "pkg:cargo/a@1.0.0"]},
            ],
        })
        .to_string()
    }

    #[test]
    fn the_same_image_gives_the_same_sbom() {
        let one =
            Sbom::reproducible(&written("2f1c", "9a00", "urn:uuid:1", "now"), &image()).unwrap();
        let other =
            Sbom::reproducible(&written("c001", "0b5e", "urn:uuid:2", "later"), &image()).unwrap();
        assert_eq!(one, other);
        let one = serde_json::to_value(one).unwrap();
        assert_eq!(one["bomFormat"], "CycloneDX");
        assert_eq!(one["components"][1]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(one["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(one["metadata"]["component"]["version"], REVISION);
        assert_eq!(
            one["dependencies"],
            json!([
                {"ref": "application:waybill", "dependsOn": ["pkg:cargo/a@1.0.0", "pkg:cargo/b@1.0.0"]},
                {"ref": "container:waybill", "dependsOn": ["application:waybill"]},
            ])
        );
    }

    #[test]
    fn two_platforms_have_one_list_of_components() {
        let of = |names: &[&str], layer: &str| -> Sbom {
            let component = |name: &&str| {
                json!({
                    "bom-ref": format!("pkg:cargo/{name}@1.0.0"), "type": "library", "name": name,
                    "purl": format!("pkg:cargo/{name}@1.0.0"), "properties": [{"value": layer}],
                })
            };
            let references = names.iter().map(|name| format!("pkg:cargo/{name}@1.0.0"));
            let document = json!({
                "serialNumber": "urn:uuid:1",
                "metadata": {"component": {"bom-ref": "container:waybill", "type": "container", "name": "waybill"}},
                "components": names.iter().map(component).collect::<Vec<_>>(),
                "dependencies": [{"ref": "container:waybill", "dependsOn": references.collect::<Vec<_>>()}],
            });
            serde_json::from_value(document).unwrap()
        };
        let digest = image().digest;
        let (amd64, arm64) = (["a", "b"], ["a", "c"]);
        let merged = of(&amd64, "1").merge(of(&arm64, "2"), &digest);
        let again = of(&arm64, "2").merge(of(&amd64, "1"), &digest);
        let value = serde_json::to_value(&merged).unwrap();
        assert_eq!(merged, again);
        assert_eq!(value["serialNumber"], serial_number(&digest));
        let components = value["components"].as_array().unwrap();
        let names: Vec<&Value> = components.iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(components[0]["purl"], "pkg:cargo/a@1.0.0");
        assert_eq!(components[0].get("properties"), None);
        assert_eq!(components[1]["properties"], json!([{"value": "1"}]));
        let all = [
            "pkg:cargo/a@1.0.0",
            "pkg:cargo/b@1.0.0",
            "pkg:cargo/c@1.0.0",
        ];
        assert_eq!(value["dependencies"][0]["dependsOn"], json!(all));
    }

    #[test]
    fn the_serial_number_is_a_uuid() {
        assert_eq!(
            serial_number(&image().digest),
            "urn:uuid:01234567-89ab-8cde-8f01-23456789abcd"
        );
    }
}
