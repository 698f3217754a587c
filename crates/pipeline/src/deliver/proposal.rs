//! Pull requests of the delivery bot to the branch of an environment.

use super::signing::signed;
use anyhow::Result;
use devkit::delivery::{Delivery, Environment, Sync};
use devkit::forge::{Forge, NewPull, Pull, PullText};
use devkit::git::Git;
use devkit::markdown;
use devkit::text::{Markdown, Plain, code};

/// A pull request to open. Its commits are in this clone.
pub(super) struct Proposal {
    /// The commit that is proposed.
    pub(super) head: String,
    /// Commits in its history that the forge has. All after them are the bot's.
    pub(super) known: Vec<String>,
    /// The branch that the commit is pushed to.
    pub(super) branch: String,
    /// The branch that the pull request is to be merged to.
    pub(super) base: String,
    /// The title.
    pub(super) title: Plain,
    /// The description, for the reviewers.
    pub(super) body: Markdown,
}

/// What became of a proposal.
pub(super) enum Proposed {
    /// There is a new pull request.
    Opened(Pull),
    /// An open pull request proposes this now. Its approvals are lost.
    Refreshed(Pull),
    /// A pull request was open already, and is not changed.
    Open {
        /// The pull request.
        pull: Pull,
        /// The commit that it proposes.
        head: String,
    },
}

impl Proposal {
    /// Opens the pull request. Changes one that is open only if `refresh` is set.
    ///
    /// # Errors
    /// When the forge refuses, or the branch was changed in the meantime.
    pub(super) fn submit(&self, git: &Git, remote: &str, refresh: bool) -> Result<Proposed> {
        let forge = Forge::from_env(&["DELIVERY_BOT_TOKEN", "GITHUB_TOKEN"])?;
        let (head, base) = (&*self.branch, &*self.base);
        let (title, body) = (&self.title, &self.body);
        let reference = format!("refs/heads/{head}");
        let open = forge.find_open_pull(head, base)?;
        let existing = git.remote_tip(remote, &reference)?;
        let open = match open {
            Some(pull) if !refresh => {
                let head = git.fetch(remote, &reference)?;
                return Ok(Proposed::Open { pull, head });
            }
            open => open,
        };
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let commit = signed(git, remote, &self.head, &known)?;
        // The push fails if the remote branch changed in the meantime.
        git.replace(remote, &commit, &reference, existing.as_deref())?;
        Ok(match open {
            Some(pull) => {
                let text = PullText { title, body };
                Proposed::Refreshed(forge.edit_pull(pull.number, &text)?)
            }
            None => {
                let new = NewPull {
                    head,
                    base,
                    title,
                    body,
                };
                Proposed::Opened(forge.create_pull(&new)?)
            }
        })
    }
}

/// What happens after the merge of a pull request to an environment, for its description.
pub(super) fn after_merge(delivery: &Delivery, env: &Environment) -> Markdown {
    match env.sync {
        Sync::Automatic => markdown!("After the merge, Argo CD deploys it to {}.", env),
        Sync::Manual => markdown!(
            "After the merge, {} is OutOfSync until you sync it: {}.",
            env,
            code(format!("argocd app sync {}", delivery.application(env)))
        ),
    }
}
