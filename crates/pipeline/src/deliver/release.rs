//! A release: a version tag on `staging` names the image that runs there, and people can read and check what it is.

use crate::Outcome;
use crate::api::{Api, Kind};
use crate::deliver::environment::Env;
use crate::deliver::publish;
use crate::deliver::registry::Registry;
use crate::deliver::sign as signature;
use crate::deliver::tags;
use crate::git::Git;
use crate::project::root;
use crate::workflow::Event;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Write the release of a version tag on the forge: notes, bill of materials, checksums, and how to verify it.
///
/// The tag must be on `staging`, whose values name the image; `cargo pipeline publish` has given it the tag before. The
/// notes are the version's part of CHANGELOG.md; a preview without one has `Unreleased`. Run again, it renews the same
/// release. Needs RELEASE_TOKEN or GITHUB_TOKEN.
#[derive(clap::Args)]
pub(crate) struct Release {
    /// Print the notes, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Release {
    pub(crate) fn run(&self) -> Outcome {
        let event = Event::from_env()?;
        let tag = event.reference.strip_prefix("refs/tags/");
        let tag = tag.with_context(|| format!("{} is not a tag", event.reference))?;
        let preview = tags::is_preview(tag)?;
        let root = root()?;
        on_staging(&Git::new(&root), &event.sha)?;
        let digest = publish::pinned(Env::Staging)?.context("staging has no image yet")?;
        let registry = Registry::from_env()?;
        let commit = signature::verify(&registry, &digest)?;
        let sbom = signature::sbom(&registry, &digest)?;
        let sums = format!("{}  sbom.cdx.json\n", hex::encode(Sha256::digest(&sbom)));

        let changes = std::fs::read_to_string(root.join("CHANGELOG.md"))
            .context("cannot read CHANGELOG.md")?;
        let image = format!("{}@{digest}", registry.image());
        let notes = notes(&changes, tag, preview, &image, &commit, &sums)?;
        if self.dry_run {
            print!("{notes}");
            return Ok(());
        }
        let api = Api::from_env(&["RELEASE_TOKEN", "GITHUB_TOKEN"])?;
        let release = publish_release(&api, tag, preview, &notes)?;
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

/// Refuses a commit that never was on `staging`: what is released has run there.
pub(crate) fn on_staging(git: &Git, sha: &str) -> Outcome {
    let staging = git
        .commit("refs/remotes/origin/staging")
        .context("this clone doesn't have the branch staging: fetch the whole history")?;
    is_on_staging(git, &staging, sha)
}

/// As [`on_staging`], of a tip of that branch.
pub(crate) fn is_on_staging(git: &Git, staging: &str, sha: &str) -> Outcome {
    ensure!(
        git.contains(staging, sha)?,
        "commit {sha} is not on staging: a release names what staging runs, so tag a commit of that branch"
    );
    Ok(())
}

/// Creates the release, or renews the one that the tag has.
fn publish_release(api: &Api, tag: &str, preview: bool, notes: &str) -> Result<Value> {
    let body = json!({"tag_name": tag, "name": tag, "body": notes, "prerelease": preview});
    match api.get(&format!("/releases/tags/{tag}"))? {
        None => api.send("POST", "/releases", &body),
        Some(there) => {
            let id = there["id"].as_i64().context("the release has no id")?;
            api.send("PATCH", &format!("/releases/{id}"), &body)
        }
    }
}

/// Attaches a file, in place of the one of that name.
fn attach(api: &Api, release: &Value, name: &str, content: &[u8]) -> Outcome {
    let id = release["id"].as_i64().context("the release has no id")?;
    let assets = release["assets"].as_array().into_iter().flatten();
    for old in assets.filter(|asset| asset["name"] == name) {
        let asset = old["id"].as_i64().context("an asset has no id")?;
        // GitHub counts assets by themselves, Gitea within their release.
        api.delete(&match api.kind() {
            Kind::GitHub => format!("/releases/assets/{asset}"),
            Kind::Gitea => format!("/releases/{id}/assets/{asset}"),
        })?;
    }
    let place = release["upload_url"]
        .as_str()
        .context("the forge takes no files for releases")?;
    let place = place.split('{').next().unwrap_or(place);
    api.upload(&format!("{place}?name={name}"), content)
        .with_context(|| format!("cannot attach {name}"))
}

/// The version's part of the changelog, and what a reader needs to check the image.
fn notes(
    changes: &str,
    tag: &str,
    preview: bool,
    image: &str,
    commit: &str,
    sums: &str,
) -> Result<String> {
    let version = tag.trim_start_matches('v');
    // What a preview shows is what is not released yet.
    let unreleased = || section(changes, "Unreleased").filter(|_| preview);
    let mut notes = section(changes, version)
        .or_else(unreleased)
        .with_context(|| {
            format!("CHANGELOG.md has no part `## [{version}]`: write one, and tag again")
        })?;
    let trust = signature::trust_arguments()?.join(" \\\n  ");
    write!(
        notes,
        "\n## Image\n\n`{image}`, built from {commit}.\n\n```sh\ncosign verify \\\n  {trust} \\\n  {image}\n```\n\n```text\n{sums}```\n"
    )?;
    Ok(notes)
}

/// The lines below `## [VERSION]`, to the next heading of that rank.
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
