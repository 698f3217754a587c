//! C16. A merge whose tree no pull request has tested is tested in full: a conflict that a person resolved, a branch that
//! moved, and a red pull request with a forged status.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use devkit::forge::{Conclusion, Pull};
use devkit::git::short;

use super::steps;
use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, push, wait_failed_job};

/// The jobs that the change of a page needs.
const TESTS: [&str; 3] = ["lint", "security", "unit"];

/// The page that the scenario changes.
const PAGE: &str = "docs/glossary.md";

/// Another page, for a change that does not conflict.
const OTHER_PAGE: &str = "docs/benchmarks.md";

pub(super) fn run(world: &World) -> Result<()> {
    // Given two pull requests whose checks pass, each with a change of a page,
    let page = Proposal::open(world, "resolved", PAGE, "Terms")?;
    let other = Proposal::open(world, "moved", OTHER_PAGE, "Figures")?;
    page.wait_checked(world)?;
    other.wait_checked(world)?;

    // when the branch changes too, and a person resolves the conflict of the first,
    let resolved = page.merge_by_hand(world, "Words")?;
    // (the forge would give the runs of two pushes at once the commit of the second)
    WorkflowRun::wait_started(&world.forge, &push(world.trunk()), &resolved, CI_LIMIT)?;
    // and the second is merged into the branch that has moved,
    let moved = pull_request::merge(&world.forge, other.pull.number)?;
    // then both merges are tested in full.
    for merge in [resolved, moved] {
        let run = WorkflowRun::wait(&world.forge, &push(world.trunk()), &merge, CI_LIMIT)?;
        for job in TESTS {
            run.ensure_conclusion(job, Conclusion::Success)?;
        }
    }

    // Given a pull request that fails, because a link leads nowhere,
    let broken = Proposal::open(world, "forged", PAGE, "[Nowhere](nowhere.md)")?;
    let head = &broken.pull.head.sha;
    wait_failed_job(&world.forge, &PULL_REQUEST, head, "required", CI_LIMIT)?;
    // when a person sets the status that the branch's protection requires, so that the forge merges it,
    steps::set_required_status(world, head)?;
    let forged = pull_request::merge(&world.forge, broken.pull.number)?;
    // then the merge is tested in full too, and fails.
    let trigger = push(world.trunk());
    wait_failed_job(&world.forge, &trigger, &forged, "required", CI_LIMIT)?;
    let run = WorkflowRun::wait_completed(&world.forge, &trigger, &forged, CI_LIMIT)?;
    run.ensure_conclusion("lint", Conclusion::Success)?;
    run.ensure_conclusion("unit", Conclusion::Failure)?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    revert(world, &forged)
}

/// A pull request that adds text below the heading of a page.
struct Proposal {
    pull: Pull,
    clone: PathBuf,
    base: String,
}

impl Proposal {
    fn open(world: &World, name: &str, page: &str, text: &str) -> Result<Self> {
        let clone = world.clone(name, world.trunk())?;
        let base = world.forge.git(&clone).head()?;
        add(&clone, page, text, &base)?;
        let title = format!("docs: Change {page} ({name})");
        world.commit(&clone, &title)?;
        let pull = pull_request::open(&world.forge, &clone, world.trunk(), name, &title)?;
        Ok(Self { pull, clone, base })
    }

    fn wait_checked(&self, world: &World) -> Result<()> {
        let head = &self.pull.head.sha;
        WorkflowRun::wait(&world.forge, &PULL_REQUEST, head, CI_LIMIT).map(drop)
    }

    /// Changes the same page on the branch, and merges the pull request with a resolution of the conflict.
    fn merge_by_hand(&self, world: &World, text: &str) -> Result<String> {
        let git = world.forge.bot_git(&self.clone);
        git.read(&["checkout", "--quiet", "--detach", &self.base])?;
        add(&self.clone, PAGE, text, &self.base)?;
        git.read(&[
            "commit",
            "--quiet",
            "--all",
            "--message",
            "docs: Change the page too",
        ])?;
        let head = &self.pull.head.sha;
        let merge = git.read(&["merge", "--quiet", "--no-ff", "-m", "Merge by hand", head]);
        ensure!(merge.is_err(), "the two changes of {PAGE} do not conflict");
        git.read(&["checkout", "--quiet", "--ours", PAGE])?;
        git.read(&["commit", "--quiet", "--all", "--message", "Merge by hand"])?;
        let merge = git.head()?;
        let branch = world.delivery.first().reference();
        git.push(&world.forge.url(), &merge, &branch)?;
        Ok(merge)
    }
}

/// Adds a line below the heading of a page. It names a commit, so that it differs from that of an earlier run.
fn add(clone: &Path, page: &str, text: &str, commit: &str) -> Result<()> {
    let path = clone.join(page);
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {page}"))?;
    let (heading, rest) = old.split_once('\n').unwrap_or((&old, ""));
    let new = format!("{heading}\n\n{text} at {}.\n{rest}", short(commit));
    fs::write(&path, new).with_context(|| format!("cannot write {page}"))
}

/// Takes a merge back, and waits until the branch passes its checks again.
fn revert(world: &World, merge: &str) -> Result<()> {
    let clone = world.clone("revert", world.trunk())?;
    let git = world.forge.bot_git(&clone);
    git.read(&["revert", "--no-edit", "--mainline", "1", merge])?;
    let (branch, head) = (world.delivery.first().reference(), git.head()?);
    git.push(&world.forge.url(), &head, &branch)?;
    WorkflowRun::wait(&world.forge, &push(world.trunk()), &head, CI_LIMIT).map(drop)
}
