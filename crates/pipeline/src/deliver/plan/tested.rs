//! The jobs that need not run again: they have passed on the same tree, in the run of the pull request that was merged.

use super::change;
use super::files::{changed_files, files_of};
use crate::workflow::{Event, Payload};
use anyhow::Result;
use devkit::delivery::Delivery;
use devkit::forge::{Conclusion, Forge, Job, Run, RunFilter};
use devkit::git::{self, Git};

/// The file of the workflow that the plan is for.
const WORKFLOW: &str = "ci.yaml";

/// The job that succeeds only if every job that its run needs has succeeded.
const REQUIRED: &str = "required";

/// The jobs whose result depends on nothing but the tree.
const TESTS: [&str; 4] = ["lint", "security", "unit", "integration"];

/// Those of them that the values of environments do not affect.
const WITHOUT_VALUES: [&str; 3] = ["security", "unit", "integration"];

/// The most commits that a branch may have got since the pull request left it.
const MOVES: usize = 50;

/// A run that has tested the tree of the event's commit.
pub(super) struct Tested {
    /// The jobs that it can stand for.
    candidates: &'static [&'static str],
    jobs: Vec<Job>,
    /// Which run of which commit, for the log.
    pub(super) reason: String,
}

impl Tested {
    /// Whether a job need not run again: it has succeeded there; of a matrix, all its jobs have.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut ours = self.jobs.iter().filter(|job| job.is(name)).peekable();
        self.candidates.contains(&name) && ours.peek().is_some() && ours.all(succeeded)
    }

    /// Looks for a run that has tested the tree of a push.
    ///
    /// The forge's list of runs is the evidence, because only the forge writes it. Anyone who may push can set a commit
    /// status, and anyone can write anything into a message.
    pub(super) fn find(
        event: &Event,
        payload: &Payload,
        git: &Git,
        delivery: &Delivery,
    ) -> Result<Option<Self>> {
        let before = change::before(event, payload, git)?;
        let forge = Forge::from_env(&["GITHUB_TOKEN"])?;
        let line = git.read(&["rev-list", "--parents", "--max-count=1", &event.sha])?;
        for head in line.split_whitespace().filter(|commit| *commit != before) {
            let Some((candidates, what)) = agreement(git, delivery, &before, head, &event.sha)?
            else {
                continue;
            };
            let filter = RunFilter {
                head_sha: Some(head),
                ..RunFilter::default()
            };
            for run in forge.runs(&filter)? {
                if run.head_sha != head || !is_check(&run) {
                    continue;
                }
                let jobs = forge.jobs(run.id)?;
                if jobs.iter().any(|job| job.is(REQUIRED) && succeeded(job)) {
                    let (short, number) = (git::short(head), run.run_number);
                    return Ok(Some(Self {
                        candidates,
                        jobs,
                        reason: format!("run {number} has tested {what} at {short}"),
                    }));
                }
            }
        }
        Ok(None)
    }
}

/// The jobs whose result is the same for a pushed commit as for the head of a pull request, and in what the two agree.
///
/// A run of a pull request tests its head, or a merge of its head and its base at that time. Both have the pushed tree if
/// the head has it and contains the commit that the branch had before. A branch that the bot has written to since differs
/// by values of environments only, which affect no test.
fn agreement(
    git: &Git,
    delivery: &Delivery,
    before: &str,
    head: &str,
    pushed: &str,
) -> Result<Option<(&'static [&'static str], &'static str)>> {
    let are_values = |files: &[String]| {
        let mut files = files.iter();
        files.all(|file| delivery.by_values(file).is_some())
    };
    let differing = changed_files(git, head, pushed)?;
    if !are_values(&differing) {
        return Ok(None);
    }
    let moves = git.read(&["rev-list", before, &format!("^{head}")])?;
    if moves.lines().count() > MOVES {
        return Ok(None);
    }
    for commit in moves.lines() {
        if !are_values(&files_of(git, commit)?) {
            return Ok(None);
        }
    }
    Ok(Some(match differing.is_empty() && moves.is_empty() {
        true => (&TESTS, "the same tree"),
        false => (
            &WITHOUT_VALUES,
            "the same tree but for values of environments",
        ),
    }))
}

/// Whether a run is one of this workflow for a pull request. The workflow is in the tree too, so it is the same.
pub(super) fn is_check(run: &Run) -> bool {
    run.file() == WORKFLOW && run.trigger() == "pull_request"
}

fn succeeded(job: &Job) -> bool {
    job.conclusion == Some(Conclusion::Success)
}
