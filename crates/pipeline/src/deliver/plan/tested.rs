//! The jobs that need not run again: they have passed on the same tree, in the run of the pull request that was merged.

use super::change;
use crate::workflow::{Event, Payload};
use anyhow::{Context, Result};
use devkit::forge::{Conclusion, Forge, Job, Run, RunFilter};
use devkit::git::{self, Git};

/// The file of the workflow that the plan is for.
const WORKFLOW: &str = "ci.yaml";

/// The job that succeeds only if every job that its run needs has succeeded.
const REQUIRED: &str = "required";

/// A run that has passed on the tree of the event's commit.
pub(super) struct Tested {
    jobs: Vec<Job>,
    /// Which run of which commit, for the log.
    pub(super) reason: String,
}

impl Tested {
    /// Whether a job has succeeded; of a matrix, whether all its jobs have.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut ours = self.jobs.iter().filter(|job| job.is(name)).peekable();
        ours.peek().is_some() && ours.all(succeeded)
    }

    /// Looks for a run that has tested the tree of a push.
    ///
    /// The forge's list of runs is the evidence, because only the forge writes it. Anyone who may push can set a commit
    /// status, and anyone can write anything into a message.
    ///
    /// A run of a pull request tests its head, or a merge of its head and its base at that time. Both have the pushed tree
    /// if the head has this tree and contains the commit that the branch had before.
    pub(super) fn find(event: &Event, payload: &Payload, git: &Git) -> Result<Option<Self>> {
        let before = change::before(event, payload, git)?;
        let tree = tree(git, &event.sha)?;
        let forge = Forge::from_env(&["GITHUB_TOKEN"])?;
        let line = git.read(&["rev-list", "--parents", "--max-count=1", &event.sha])?;
        for commit in line.split_whitespace() {
            let is_same = commit != before
                && self::tree(git, commit)? == tree
                && git.contains(commit, &before)?;
            if !is_same {
                continue;
            }
            let filter = RunFilter {
                head_sha: Some(commit),
                ..RunFilter::default()
            };
            for run in forge.runs(&filter)? {
                if run.head_sha != commit || !is_check(&run) {
                    continue;
                }
                let jobs = forge.jobs(run.id)?;
                if jobs.iter().any(|job| job.is(REQUIRED) && succeeded(job)) {
                    let short = git::short(commit);
                    let number = run.run_number;
                    return Ok(Some(Self {
                        jobs,
                        reason: format!("run {number} has tested the same tree at {short}"),
                    }));
                }
            }
        }
        Ok(None)
    }
}

fn tree(git: &Git, commit: &str) -> Result<String> {
    git.read(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])
        .with_context(|| format!("this clone does not have {}", git::short(commit)))
}

/// Whether a run is one of this workflow for a pull request. The workflow is in the tree too, so it is the same.
fn is_check(run: &Run) -> bool {
    run.file() == WORKFLOW && run.trigger() == "pull_request"
}

fn succeeded(job: &Job) -> bool {
    job.conclusion == Some(Conclusion::Success)
}
