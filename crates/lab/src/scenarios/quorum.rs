//! B7, C21. No one gets around the approvals of prod: not with one too few, not by approving their own work, not with the
//! bot's approval, not as an administrator, not by a change after the approval, and not by a push.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devkit::git::Git;
use serde_json::json;

use super::steps;
use super::world::World;
use crate::expect::{Verdict, eventually};
use crate::forge::pull_request;

/// A file that a pull request changes. Nothing is built or deployed for it.
const PAGE: &str = "docs/glossary.md";

/// The forge starts no run for such a commit: the status that it requires is set by the scenario.
const TITLE: &str = "Try to get around the approvals [skip ci]";

pub(super) fn run(world: &World) -> Result<()> {
    let clone = world.clone("quorum", &world.delivery.last().branch)?;
    let number = needs_all_approvals(world, &clone)?;
    needs_them_again_after_a_change(world, &clone, number)?;
    world.forge.close_pull(number)?;
    cannot_be_pushed_to(world, &clone)
}

/// Returns the number of a pull request to prod with one approval too few.
fn needs_all_approvals(world: &World, clone: &Path) -> Result<u64> {
    // Given a pull request to prod that only lacks approvals,
    let forge = &world.forge;
    let number = propose(world, clone, "One line.")?;
    ensure_lacks_approvals(world, number, "nobody")?;

    // when its author approves it, then the forge refuses;
    ensure!(
        forge
            .approve_pull(number, &devkit::markdown!("Mine."))
            .is_err(),
        "the author could approve"
    );
    // when the bot approves it, and one person less than necessary, then it cannot be merged,
    if forge
        .as_bot()?
        .approve_pull(number, &devkit::markdown!("Good."))
        .is_ok()
    {
        ensure_lacks_approvals(world, number, "the bot")?;
    }
    let people = steps::reviewers(world.delivery.last());
    for person in people.iter().skip(1) {
        forge.review(person, number)?;
        ensure_lacks_approvals(world, number, person)?;
    }
    // not even by an administrator who insists.
    let merge = json!({"Do": "merge", "force_merge": true});
    let forced = forge.execute("POST", &format!("/pulls/{number}/merge"), &merge);
    ensure!(
        forced.is_err(),
        "an administrator merged without the approvals"
    );
    Ok(number)
}

fn needs_them_again_after_a_change(world: &World, clone: &Path, number: u64) -> Result<()> {
    // Given a pull request with all approvals, when it is changed, then it has none.
    for person in steps::reviewers(world.delivery.last()) {
        world.forge.review(person, number)?;
    }
    let updated = propose(world, clone, "Another line.")?;
    ensure!(
        updated == number,
        "the change opened pull request {updated}"
    );
    ensure_lacks_approvals(world, number, "people, before the change,")
}

fn cannot_be_pushed_to(world: &World, clone: &Path) -> Result<()> {
    // When the bot pushes to an environment that needs approvals, or an administrator to any, then the forge refuses.
    let forge = &world.forge;
    for env in world.delivery.environments() {
        let commit = forge.git(clone).fetch("origin", &env.reference())?;
        forge.git(clone).read(&["checkout", "--quiet", &commit])?;
        add_line(&clone.join(PAGE), "Pushed.")?;
        world.commit(clone, TITLE)?;
        let bot = (env.approvals > 0).then(|| forge.bot_git(clone));
        for git in [forge.git(clone)].into_iter().chain(bot) {
            ensure_push_refused(world, &git, &env.reference())?;
        }
        ensure!(
            forge.tip(&env.branch)? == Some(commit),
            "a push changed {}",
            env.branch
        );
    }
    Ok(())
}

fn ensure_push_refused(world: &World, git: &Git, reference: &str) -> Result<()> {
    let pushed = git.push(&world.forge.url(), "HEAD", reference);
    ensure!(pushed.is_err(), "{reference} could be pushed to");
    Ok(())
}

/// Opens or updates a pull request to prod, and sets the status that its branch requires.
fn propose(world: &World, clone: &Path, line: &str) -> Result<u64> {
    let base = &world.delivery.last().branch;
    add_line(&clone.join(PAGE), line)?;
    world.commit(clone, TITLE)?;
    let pull = pull_request::open(&world.forge, clone, base, "quorum", TITLE)?;
    steps::set_required_status(world, &pull.head.sha)?;
    Ok(pull.number)
}

fn add_line(path: &Path, line: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {PAGE}"))?;
    fs::write(path, format!("{text}\n{line}\n")).with_context(|| format!("cannot write {PAGE}"))
}

/// Checks that the forge does not merge a pull request, because it lacks approvals.
fn ensure_lacks_approvals(world: &World, number: u64, approver: &str) -> Result<()> {
    let what = format!("pull request {number} lacks approvals");
    eventually(&what, Duration::from_secs(30), || {
        let Err(refusal) = world.forge.merge_pull(number) else {
            let merged = format!("it was merged when {approver} had approved it");
            return Ok(Verdict::Failed(merged));
        };
        let refusal = refusal.to_string();
        Ok(match refusal.contains("approvals") {
            true => Verdict::Met(()),
            // The forge is still looking for conflicts.
            false => Verdict::Pending(refusal),
        })
    })
}
