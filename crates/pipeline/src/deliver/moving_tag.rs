//! The tags that each push to a branch moves, such as the branch's name. When runs overlap, a late one must not move them
//! back to its older commit.

use super::registry::Registry;
use anyhow::{Context, Result};
use devkit::delivery::Environment;
use devkit::git::Git;
use devkit::process::Run;
use jiff::Timestamp;

/// The image's labels that name its commit and the time of the commit.
const LABELS: &str = r#"{{index .Labels "org.opencontainers.image.revision"}} {{index .Labels "org.opencontainers.image.created"}}"#;

/// Whether a tag of an environment's branch is the same for every commit.
pub(super) fn moves(env: &Environment, tag: &str) -> bool {
    // A commit that no tag can name.
    let any = env.image_tags("-");
    any.iter().any(|other| other == tag)
}

/// The commit of the image that a tag names, if that is newer than this one.
///
/// Another run may move the tag between this question and the push, which takes about a second. No registry can exclude
/// that: the distribution specification has no conditional push.
pub(super) fn newer(
    registry: &Registry,
    git: &Git,
    tag: &str,
    commit: &str,
) -> Result<Option<String>> {
    let target = format!("docker://{}:{tag}", registry.repository());
    let inspect = ["inspect", "--no-tags", "--format", LABELS, &target];
    // The tag may not exist yet. If the registry does not answer, the push fails too.
    let Ok(labels) = registry.command("skopeo", &inspect).read() else {
        return Ok(None);
    };
    let (tagged, created) = labels.trim().split_once(' ').unwrap_or((labels.trim(), ""));
    if !devkit::git::is_commit(tagged) || tagged == commit {
        return Ok(None);
    }
    let is_newer = match git.commit(tagged) {
        Some(_) => git.contains(tagged, commit)?,
        // It was pushed after this clone was made, or the branch was rewritten since.
        None => {
            let ours = time_of(git, commit)?;
            created.parse().is_ok_and(|time: Timestamp| time > ours)
        }
    };
    Ok(is_newer.then(|| tagged.to_owned()))
}

/// The time of a commit, which is also the time in the labels of its image.
fn time_of(git: &Git, commit: &str) -> Result<Timestamp> {
    let show = ["show", "--no-patch", "--no-show-signature", "--format=%ct"];
    let seconds = git.read(&[&show[..], &[commit]].concat())?;
    let seconds = seconds
        .parse()
        .context("git printed a commit time that is not a number")?;
    Timestamp::from_second(seconds).context("the commit time is out of range")
}
