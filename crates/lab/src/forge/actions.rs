//! Replacements for the third-party actions that the workflows use: the forge has no network to fetch them from.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use devkit::cache::content_key;
use devkit::process::{Run, command};

use super::client::{Forge, url};
use super::repository;
use crate::sandbox::layout::Layout;

/// Publishes a replacement for each third-party action that the checkout's workflows use. Its branch has the name of the
/// commit that the workflows pin, so that the workflow files run unchanged.
///
/// # Errors
/// When the lab has no replacement for an action, or the forge refuses.
pub(super) fn publish(forge: &Forge, layout: &Layout, checkout: &Path) -> Result<()> {
    let mut uses = BTreeSet::new();
    collect_uses(&checkout.join(".github"), &mut uses)?;
    for (action, commit) in uses {
        let (owner, name) = action
            .split_once('/')
            .with_context(|| format!("`uses: {action}` names no repository"))?;
        let source = checkout.join("crates/lab/actions").join(&action);
        if !source.is_dir() {
            bail!(
                "the workflows use {action}, for which the lab has no replacement; add one in {}",
                source.display()
            );
        }
        let files = command("tar", ["--create", "--sort=name", "--mtime=@0", "."])
            .current_dir(&source)
            .read_bytes()
            .with_context(|| format!("cannot read {}", source.display()))?;
        let key = content_key([files.as_slice(), commit.as_bytes()]);
        let done = layout.state(format!("forge/action-{owner}-{name}-{key}"));
        if done.exists() {
            continue;
        }
        repository::create(forge, owner, name)?;
        let work = layout.state(format!("tmp/action-{owner}-{name}"));
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        command("cp", ["-r"])
            .arg(source.join("."))
            .arg(&work)
            .run_quietly()?;
        let git = forge.git(&work);
        git.read(&["init", "--quiet", "--initial-branch=replacement"])?;
        git.read(&["add", "--all"])?;
        git.read(&["commit", "--quiet", "--message", "Replace the action"])?;
        let branch = format!("refs/heads/{commit}");
        git.push_with(&["--force"], &url(&action), "HEAD", &branch)?;
        fs::remove_dir_all(&work)?;
        forget_copies(layout)?;
        fs::write(done, "")?;
    }
    Ok(())
}

/// Removes the runner's copies of all actions. It never fetches an action again while it has a copy.
fn forget_copies(layout: &Layout) -> Result<()> {
    let Ok(entries) = fs::read_dir(layout.state("runner/work")) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        // The runner names them by a SHA-256 hash. The folders of jobs have shorter names.
        if entry.file_name().len() == 64 {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn collect_uses(folder: &Path, uses: &mut BTreeSet<(String, String)>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_uses(&path, uses)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            uses.extend(text.lines().filter_map(pinned_action));
        }
    }
    Ok(())
}

/// Repository and commit of a `uses:` line that names another repository.
fn pinned_action(line: &str) -> Option<(String, String)> {
    let used = line
        .trim()
        .trim_start_matches("- ")
        .strip_prefix("uses:")?
        .split('#')
        .next()?
        .trim();
    let (action, commit) = used.split_once('@')?;
    let mut parts = action.split('/');
    let repository = format!("{}/{}", parts.next()?, parts.next()?);
    (!action.starts_with('.')).then(|| (repository, commit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_party_actions_are_found_and_local_ones_are_not() {
        let pinned =
            |line| pinned_action(line).map(|(action, commit)| format!("{action}@{commit}"));
        assert_eq!(
            pinned("      - uses: actions/checkout@3d3c42e5 # v7.0.1").as_deref(),
            Some("actions/checkout@3d3c42e5")
        );
        assert_eq!(
            pinned("        uses: github/codeql-action/init@ff2f1c62").as_deref(),
            Some("github/codeql-action@ff2f1c62")
        );
        assert_eq!(pinned("      - uses: ./.github/actions/setup"), None);
        assert_eq!(pinned("      - run: echo uses"), None);
    }
}
