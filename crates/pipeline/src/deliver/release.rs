//! `cargo pipeline release` writes the release of a version tag on the forge.

use super::cosign::trust_arguments;
use super::environment::{Environment, pinned_digest, require_on_staging};
use super::reference::is_prerelease;
use super::registry::Registry;
use super::verify;
use crate::api::{Api, Kind};
use crate::git::Git;
use crate::project::root;
use crate::workflow::Event;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Write the release of a version tag on the forge: notes, SBOM, checksums, and how to verify the image.
///
/// The tag must be on `staging`, whose values name the image; `cargo pipeline publish` must have run before. The notes
/// are the section of the version in CHANGELOG.md; for a prerelease without one, the section `Unreleased`. Running the
/// command again updates the release. Needs a token in RELEASE_TOKEN or GITHUB_TOKEN.
#[derive(clap::Args)]
pub(crate) struct Release {
    /// Print the notes without changing anything
    #[arg(long)]
    dry_run: bool,
}

impl Release {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let event = Event::from_env()?;
        let tag = event.reference.strip_prefix("refs/tags/");
        let tag = tag.with_context(|| format!("{} is not a tag", event.reference))?;
        let prerelease = is_prerelease(tag)?;
        let root = root()?;
        require_on_staging(&Git::new(&root), &event.sha)?;
        let digest = pinned_digest(Environment::Staging)?
            .context("staging has no image yet: promote an image first")?;
        let registry = Registry::from_env()?;
        let commit = verify::verify(&registry, &digest)?;
        let sbom = verify::sbom(&registry, &digest)?;
        let sums = format!("{}  sbom.cdx.json\n", hex::encode(Sha256::digest(&sbom)));

        let changes = std::fs::read_to_string(root.join("CHANGELOG.md"))
            .context("cannot read CHANGELOG.md")?;
        let image = format!("{}@{digest}", registry.image());
        let notes = notes(&changes, tag, prerelease, &image, &commit, &sums)?;
        if self.dry_run {
            print!("{notes}");
            return Ok(());
        }
        let api = Api::from_env(&["RELEASE_TOKEN", "GITHUB_TOKEN"])?;
        let release = publish_release(&api, tag, prerelease, &notes)?;
        for (name, content) in [
            ("sbom.cdx.json", sbom.as_slice()),
            ("SHA256SUMS", sums.as_bytes()),
        ] {
            attach(&api, &release, name, content)?;
        }
        println!("released {tag}: {image}");
        Ok(())
    }
}

/// Creates the release, or updates the existing release of the tag.
fn publish_release(api: &Api, tag: &str, prerelease: bool, notes: &str) -> Result<Value> {
    let body = json!({"tag_name": tag, "name": tag, "body": notes, "prerelease": prerelease});
    match api.get(&format!("/releases/tags/{tag}"))? {
        None => api.send("POST", "/releases", &body),
        Some(existing) => {
            let id = existing["id"].as_i64().context("the release has no id")?;
            api.send("PATCH", &format!("/releases/{id}"), &body)
        }
    }
}

/// Attaches a file, and replaces an existing one with the same name.
fn attach(api: &Api, release: &Value, name: &str, content: &[u8]) -> Result<()> {
    let id = release["id"].as_i64().context("the release has no id")?;
    let assets = release["assets"].as_array().into_iter().flatten();
    for old in assets.filter(|asset| asset["name"] == name) {
        let asset = old["id"].as_i64().context("an asset has no id")?;
        // GitHub addresses assets directly, Gitea below their release.
        api.delete(&match api.kind() {
            Kind::GitHub => format!("/releases/assets/{asset}"),
            Kind::Gitea => format!("/releases/{id}/assets/{asset}"),
        })?;
    }
    let place = release["upload_url"]
        .as_str()
        .context("the forge named no upload address for the release")?;
    let place = place.split('{').next().unwrap_or(place);
    api.upload(&format!("{place}?name={name}"), content)
        .with_context(|| format!("cannot attach {name}"))
}

/// The section of the changelog, and the command that verifies the image.
fn notes(
    changes: &str,
    tag: &str,
    prerelease: bool,
    image: &str,
    commit: &str,
    sums: &str,
) -> Result<String> {
    let version = tag.trim_start_matches('v');
    let unreleased = || section(changes, "Unreleased").filter(|_| prerelease);
    let mut notes = section(changes, version)
        .or_else(unreleased)
        .with_context(|| {
            format!("CHANGELOG.md has no section `## [{version}]`: add one, and tag again")
        })?;
    let trust = trust_arguments()?.join(" \\\n  ");
    write!(
        notes,
        "\n## Image\n\n`{image}`, built from {commit}.\n\n```sh\ncosign verify \\\n  {trust} \\\n  {image}\n```\n\n```text\n{sums}```\n"
    )?;
    Ok(notes)
}

/// The lines below `## [VERSION]`, up to the next heading of the same level.
fn section(changes: &str, version: &str) -> Option<String> {
    let heading = format!("## [{version}]");
    let mut lines = changes
        .lines()
        .skip_while(|line| !line.starts_with(&heading));
    lines.next()?;
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    Some(format!("{}\n", body.join("\n").trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGES: &str = "# Changelog\n\n## [Unreleased]\n- new\n\n## [1.2.0] - 2026-01-02\n\n### Added\n- a\n\n## [1.1.0]\n- b\n";

    #[test]
    fn a_version_has_its_own_lines() {
        assert_eq!(section(CHANGES, "1.2.0").unwrap(), "### Added\n- a\n");
        assert_eq!(section(CHANGES, "1.1.0").unwrap(), "- b\n");
        assert_eq!(section(CHANGES, "1.2"), None);
    }
}
