//! `cargo pipeline release` writes the release of a version tag on the forge.

use super::cosign::trust_arguments;
use super::registry::Registry;
use super::values_file::pinned_digest;
use super::verification;
use super::version::{is_prerelease, require_on_branch};
use crate::project::root;
use crate::workflow::Event;
use anyhow::{Context, Result};
use devkit::delivery::Delivery;
use devkit::forge::{Forge, NewRelease};
use devkit::git::Git;
use devkit::markdown;
use devkit::text::{Markdown, code, code_block};
use sha2::{Digest, Sha256};

/// The most characters of the changes. The rest of what a forge accepts is for the name of the image.
const LONGEST_CHANGES: usize = 60_000;

/// Write the release of a version tag on the forge: notes, SBOM, checksums, and how to verify the image.
///
/// The tag must be on the branch of the environment before the last one in delivery.toml, whose values name the image.
/// `cargo pipeline publish` must have run before. The notes are the section of the version in CHANGELOG.md; for a
/// prerelease without one, the section `Unreleased`. Running the command again updates the release. Needs a token in
/// RELEASE_TOKEN or GITHUB_TOKEN.
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
        let tag = event.tag();
        let tag = tag.with_context(|| format!("{} is not a tag", event.reference))?;
        let prerelease = is_prerelease(tag)?;
        let root = root()?;
        let delivery = Delivery::load(&root)?;
        let env = delivery.tagged();
        require_on_branch(&Git::new(&root), env, &event.sha)?;
        let digest = pinned_digest(&root, env)?;
        let digest =
            digest.with_context(|| format!("{env} has no image yet: promote an image first"))?;
        let registry = Registry::from_env(&delivery)?;
        let commit = verification::verify(&registry, &digest)?;
        let sbom = verification::sbom(&registry, &digest)?;
        let sums = format!("{}  sbom.cdx.json\n", hex::encode(Sha256::digest(&sbom)));

        let changes = std::fs::read_to_string(root.join("CHANGELOG.md"))
            .context("cannot read CHANGELOG.md")?;
        let image = registry.image(&digest);
        let verification = verification(&registry, &image, &commit, &sums)?;
        let changes = changes_of(&changes, tag, prerelease)?;
        let mut notes = Markdown::reviewed(&changes, LONGEST_CHANGES);
        notes.push(&verification);
        if self.dry_run {
            print!("{}", notes.as_str());
            return Ok(());
        }
        let forge = Forge::from_env(&["RELEASE_TOKEN", "GITHUB_TOKEN"])?;
        let new = NewRelease {
            tag_name: tag,
            name: tag,
            body: &notes,
            prerelease,
        };
        let files = [
            ("sbom.cdx.json", sbom.as_slice()),
            ("SHA256SUMS", sums.as_bytes()),
        ];
        forge
            .publish_release(&new, &files)
            .with_context(|| format!("cannot publish the release {tag}"))?;
        println!("released {tag}: {image}");
        Ok(())
    }
}

/// The section of a version in the changelog; for a prerelease without one, the section `Unreleased`.
fn changes_of(changes: &str, tag: &str, prerelease: bool) -> Result<String> {
    let version = tag.trim_start_matches('v');
    let unreleased = || section(changes, "Unreleased").filter(|_| prerelease);
    section(changes, version)
        .or_else(unreleased)
        .with_context(|| {
            format!("CHANGELOG.md has no section `## [{version}]`: add one, and tag again")
        })
}

/// The name of the image, and the command that verifies it.
fn verification(registry: &Registry, image: &str, commit: &str, sums: &str) -> Result<Markdown> {
    let trust = trust_arguments(registry)?.join(" \\\n  ");
    let command = format!("cosign verify \\\n  {trust} \\\n  {image}\n");
    Ok(markdown!(
        "\n## Image\n\n{}, built from {}.\n\n{}\n{}",
        code(image),
        commit,
        code_block("sh", &command),
        code_block("text", sums)
    ))
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
