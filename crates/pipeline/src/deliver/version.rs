//! Version tags, such as `v1.2.0`.

use anyhow::{Context, Result, ensure};
use devkit::delivery::Environment;
use devkit::git::{Git, short};
use semver::Version;

/// Whether a version tag is a prerelease. The tag is `v` and a semantic version (<https://semver.org>) without build
/// metadata, because an image tag must not contain `+`.
pub(super) fn is_prerelease(tag: &str) -> Result<bool> {
    let version = tag.strip_prefix('v').filter(|_| tag.len() <= 128);
    let version = version.and_then(|version| Version::parse(version).ok());
    let version = version.filter(|version| version.build.is_empty());
    let version = version.with_context(|| {
        format!(
            "`{tag}` is not a release tag: expected vX.Y.Z or vX.Y.Z-PRERELEASE, numbers without leading zeros"
        )
    })?;
    Ok(!version.pre.is_empty())
}

/// Fails unless a commit is on the branch of an environment in this clone: a version tag names a commit that ran there.
pub(super) fn require_on_branch(git: &Git, env: &Environment, commit: &str) -> Result<()> {
    let branch = &env.branch;
    let tip = git
        .commit(&format!("refs/remotes/origin/{branch}"))
        .with_context(|| {
            format!("this clone does not have the branch {branch}: fetch the whole history")
        })?;
    require_on_tip(git, env, &tip, commit)
}

/// As [`require_on_branch`], for a given tip of the branch.
pub(super) fn require_on_tip(git: &Git, env: &Environment, tip: &str, commit: &str) -> Result<()> {
    ensure!(
        git.contains(tip, commit)?,
        "commit {} is not on {}: a version needs a commit that ran in {env}, so tag a commit of that branch",
        short(commit),
        env.branch
    );
    Ok(())
}
