//! `cargo pipeline rollback` makes Git say that an environment runs an earlier image, and holds it there.

use super::change::{Change, Decision, Edit, Present, hold_by};
use super::proposal::after_merge;
use super::registry::Registry;
use super::values_file::ValuesFile;
use super::verification;
use anyhow::{Context, Result, bail, ensure};
use devkit::git::{Git, short};
use devkit::reference::Image;
use devkit::text::code;
use devkit::values::Hold;
use devkit::{markdown, plain};

/// The trailer of the commit of a rollback: the digest that the environment had before.
const TRAILER: &str = "Rollback-from";

/// Roll an environment back to an earlier image, and hold it there.
///
/// Sets `image.tag` and `image.digest` in the values file of the environment back to the image before the present one, or
/// to the image that the file had at `--to`, and adds `hold`. The first environment gets a commit; the others get the
/// pull request `rollback/NAME` with the usual approvals. Changes no other byte. You can repeat the command.
///
/// Goes back only to images whose signature and provenance verify. While the hold is there, `deploy` and `promote` change
/// nothing and exit with code 3. `cargo pipeline release-hold` removes it. Where sync is manual, first run `argocd app
/// rollback`, which acts within seconds.
#[derive(clap::Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    change: Change,
    /// Commit of the environment's branch whose image to go back to [default: the image before the present one]
    #[arg(
        long,
        env = "ROLLBACK_TO",
        value_name = "REV",
        default_value = "",
        hide_default_value = true
    )]
    to: String,
    /// Why, for the hold [default: names the image that is left]
    #[arg(
        long,
        env = "ROLLBACK_REASON",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Who holds the environment [default: GITHUB_ACTOR, or the user of this machine]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl Rollback {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        self.change.run("rollback", |present| self.decide(present))
    }

    fn decide(&self, present: &Present) -> Result<Decision> {
        let (env, values) = (present.env, &present.values);
        let from = values
            .image()?
            .with_context(|| format!("{env} has no image yet: nothing to roll back"))?;
        let reason = match self.reason.as_str() {
            "" => format!("rolled back from {}", from.tag),
            reason => reason.to_owned(),
        };
        let mut hold = hold_by(self.by.as_deref(), &reason)?;
        let held = values.hold()?;
        let image = match self.to.as_str() {
            "" => previous(present, &from)?,
            revision => Some(image_at(present, revision)?),
        };
        let Some(image) = image.filter(|image| image.digest != from.digest) else {
            return unchanged(present, &from, held.as_ref());
        };
        if let Some(held) = held {
            ensure!(
                held.by == hold.by,
                "{env} is on hold by another person: {held}; ask them, then run `cargo pipeline release-hold --env {env}` and repeat the rollback"
            );
            hold = held;
        }
        edit(present, &from, &image, &hold)
    }
}

/// The change to an earlier image.
fn edit(present: &Present, from: &Image, image: &Image, hold: &Hold) -> Result<Decision> {
    let (env, git, values) = (present.env, present.git, &present.values);
    let built = verification::verify(&Registry::from_env(present.delivery)?, &image.digest)?;
    verification::require_part_of(git, &built, present.tip, present.branch())?;
    let after = values.with_image(image)?;
    let after = match values.hold()? {
        Some(_) => after,
        None => after.with_hold(hold)?,
    };
    let source = git.describe(&built)?;
    let subject = plain!("roll {} back to {}", env, image.tag);
    let mut message = values.message_with(&subject, image, &source);
    message.push(&plain!("{}: {}\n", TRAILER, from.digest));
    Ok(Decision::Edit(Edit {
        values: after,
        message,
        title: plain!("Roll {} back to {}", env, image.tag),
        body: markdown!(
            "{} goes back to {}.\n\n- digest: {}\n- built from: {}\n- hold: {}\n\nUntil the hold is released, {} gets no other image. {}",
            code(from.tag.as_str()),
            code(image.tag.as_str()),
            code(image.digest.as_str()),
            built,
            hold,
            env,
            after_merge(present.delivery, env)
        ),
    }))
}

/// The result when the environment already has the image to go back to.
fn unchanged(present: &Present, image: &Image, held: Option<&Hold>) -> Result<Decision> {
    let (env, tag) = (present.env, &image.tag);
    match held {
        Some(hold) => Ok(Decision::Unchanged(plain!(
            "{} is back at {} already and on hold: {}",
            env,
            tag,
            hold
        ))),
        None => bail!(
            "{env} has {tag} already: name a commit with another image by `--to`, or run `cargo pipeline hold --env {env}` to keep this image"
        ),
    }
}

/// The image that the environment's values had at a commit of its branch.
fn image_at(present: &Present, revision: &str) -> Result<Image> {
    let (env, git, branch) = (present.env, present.git, present.branch());
    let path = &env.values;
    let commit = git.require_commit(revision)?;
    ensure!(
        git.contains(present.tip, &commit)?,
        "commit {} is not on {branch}: name a commit of that branch, such as one that `git log --first-parent {} -- {path}` lists",
        short(&commit),
        short(present.tip)
    );
    let image = ValuesFile::read(git, &commit, path)?.image()?;
    image.with_context(|| {
        format!(
            "{env} had no image at {}: name a later commit of {branch}",
            short(&commit)
        )
    })
}

/// The image before the present one, in the history of the environment's values on its branch; `None` if the present
/// one is itself the result of a rollback, so that a second rollback does not return to the image that was left.
fn previous(present: &Present, image: &Image) -> Result<Option<Image>> {
    let (env, git, branch) = (present.env, present.git, present.branch());
    let path = &env.values;
    // The other parents of merges have values that never were on this branch.
    let args = ["log", "--first-parent", "--format=%H", present.tip, "--"];
    let log = git.read(&[&args[..], &[path]].concat())?;
    let mut since = None;
    for commit in log.lines() {
        // An old version of the file may have had another form, which is nothing to go back to.
        let Ok(Some(before)) = ValuesFile::read(git, commit, path).and_then(|file| file.image())
        else {
            continue;
        };
        if before.digest == image.digest {
            since = Some(commit);
            continue;
        }
        return match since {
            Some(since) if is_rollback(git, since, path)? => Ok(None),
            _ => Ok(Some(before)),
        };
    }
    bail!(
        "{} is the first image of {env} in the history of {path} on {branch}: nothing to roll back to",
        image.tag
    )
}

/// Whether a commit of the first-parent line brought a rollback, itself or by the branch that it merged.
pub(super) fn is_rollback(git: &Git, commit: &str, path: &str) -> Result<bool> {
    has_rollback(git, &format!("{commit}^1..{commit}"), path)
}

/// Whether a commit of a range (`A..B`) is a rollback of the environment whose values are at this path.
pub(super) fn has_rollback(git: &Git, range: &str, path: &str) -> Result<bool> {
    let grep = format!("--grep=^{TRAILER}: ");
    let log = git.read(&["log", "--format=%H", &grep, range, "--", path])?;
    Ok(!log.is_empty())
}
