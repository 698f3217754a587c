//! What is in the built image, and whether any of it is known to be dangerous.

use crate::Outcome;
use crate::build::image::{Description, Folder};
use crate::check::Ran;
use crate::checks::security;
use crate::project::{root, run};
use crate::tools::{self, Step};
use crate::trivy;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// `none` where the database of vulnerabilities can't be fetched.
const DATABASE: &str = "SCAN_DATABASE";

/// Scan the built image, and write down what is in it.
///
/// A severe finding fails; a vulnerability only if there is a fix. Writes target/security/image.sarif and beside
/// the image sbom.cdx.json, its bill of materials as CycloneDX. With SCAN_DATABASE=none no database is fetched,
/// and vulnerabilities are not looked for.
#[derive(clap::Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    folder: Folder,
}

impl Scan {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let vulnerabilities = match workflow::var(DATABASE).as_deref() {
            None => true,
            Some("none") => false,
            Some(other) => bail!("{DATABASE} is `{other}`; it can only be `none`, or not set"),
        };
        let folder = &self.folder;
        let image = Description::read(folder)?;
        if let Some(Ran::Skipped(reason)) = tools::skipped("trivy") {
            println!("skipped: {reason}");
            return Ok(());
        }
        let layout = folder.layout();
        let input = format!("--input={}", layout.display());

        let components = bill(&root, &input, &folder.bill(), &image)?;
        println!("{}: {components} components", folder.bill().display());

        let mut args = vec!["image", &input, "--image-config-scanners=misconfig,secret"];
        args.extend(match vulnerabilities {
            true => ["--scanners=vuln,secret,misconfig", "--ignore-unfixed"],
            false => ["--scanners=secret,misconfig", "--offline-scan"],
        });
        let sarif = security::sarif(&root, "image")?;
        trivy::scan(&root, Step::Scan, &args, &sarif)
            .with_context(|| format!("image {}", image.digest))?;
        match vulnerabilities {
            true => println!("no severe finding in image {}", image.digest),
            false => println!(
                "no severe finding in image {}; vulnerabilities were not looked for: no database here",
                image.digest
            ),
        }
        Ok(())
    }
}

/// Writes the bill of materials, and returns how many components are on it.
fn bill(root: &Path, input: &str, file: &Path, image: &Description) -> Result<usize> {
    let mut trivy = tools::command(root, Step::Scan, "trivy", &["image", input])?;
    trivy.args(["--quiet", "--skip-version-check", "--disable-telemetry"]);
    trivy.args(["--offline-scan", "--format=cyclonedx", "--output"]);
    run(trivy.arg(file))?;
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let bill = settle(&text, image).with_context(|| file.display().to_string())?;
    std::fs::write(file, format!("{bill:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let components = bill.get("components").and_then(Value::as_array);
    let count = components.map_or(0, Vec::len);
    ensure!(
        count > 0,
        "trivy finds no components in the image: was its binary built with `cargo auditable`?"
    );
    Ok(count)
}

/// The same image gives the same bill: Trivy would put in the time, and random identifiers where a component has
/// no package URL.
fn settle(text: &str, image: &Description) -> Result<Value> {
    let mut bill: Value = serde_json::from_str(text).context("this is not JSON")?;
    let mut set = |table: &str, key: &str, value: &str| -> Result<()> {
        let table = bill.pointer_mut(table).and_then(Value::as_object_mut);
        let table = table.context("this is not CycloneDX with metadata")?;
        table.insert(key.to_owned(), json!(value));
        Ok(())
    };
    set("", "serialNumber", &serial_number(&image.digest)?)?;
    set("/metadata", "timestamp", &image.created)?;
    // Trivy knows the image only as a folder.
    set("/metadata/component", "name", "waybill")?;
    set("/metadata/component", "version", &image.revision)?;

    let mut names = BTreeMap::new();
    let components = bill.get("components").and_then(Value::as_array);
    for component in components
        .into_iter()
        .flatten()
        .chain([&bill["metadata"]["component"]])
    {
        let text = |key| {
            component
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let reference = text("bom-ref");
        if !reference.starts_with("pkg:") {
            let name = format!("{}:{}", text("type"), text("name"));
            names.insert(reference.to_owned(), name);
        }
    }
    rename(&mut bill, &names);
    Ok(bill)
}

/// Puts the new names for the old ones, and lists whose order followed from them in the order of the new ones.
fn rename(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                text.clone_from(name);
            }
        }
        Value::Array(values) => {
            values.iter_mut().for_each(|value| rename(value, names));
            values.sort_by_cached_key(|value| match value {
                Value::Object(object) => {
                    let key = object.get("bom-ref").or(object.get("ref"));
                    key.unwrap_or(&Value::Null).to_string()
                }
                other => other.to_string(),
            });
        }
        Value::Object(object) => object.values_mut().for_each(|value| rename(value, names)),
        _ => {}
    }
}

/// A UUID (of version 8, which leaves the bits to us) that follows from the digest.
fn serial_number(digest: &str) -> Result<String> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
    let hex = hex.with_context(|| format!("`{digest}` is no SHA-256 digest"))?;
    let part = |range| hex.get(range).unwrap_or_default();
    Ok(format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(12..15),
        part(15..18),
        part(18..30)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    fn image() -> Description {
        Description {
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            revision: REVISION.to_owned(),
            created: "2026-01-02T03:04:05Z".to_owned(),
            builder: "dockerfile".to_owned(),
        }
    }

    /// What Trivy writes for an image with one binary of two crates, with other random identifiers each time.
    fn written(root: &str, binary: &str, serial: &str, time: &str) -> String {
        let mut components = vec![
            json!({"bom-ref": binary, "type": "application", "name": "waybill"}),
            json!({"bom-ref": "pkg:cargo/b@1.0.0", "type": "library", "name": "b"}),
            json!({"bom-ref": "pkg:cargo/a@1.0.0", "type": "library", "name": "a"}),
        ];
        components.sort_by_key(|component| component["bom-ref"].to_string());
        json!({
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
    fn the_same_image_gives_the_same_bill() {
        let one = settle(&written("2f1c", "9a00", "urn:uuid:1", "now"), &image()).unwrap();
        let other = settle(&written("c001", "0b5e", "urn:uuid:2", "later"), &image()).unwrap();
        assert_eq!(one, other);
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
    fn the_serial_number_is_a_uuid() {
        assert_eq!(
            serial_number(&image().digest).unwrap(),
            "urn:uuid:01234567-89ab-8cde-8f01-23456789abcd"
        );
        assert!(serial_number("sha256:0123").is_err());
    }
}
