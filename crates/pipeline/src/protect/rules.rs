//! The rules of protection, which follow from `delivery.toml`.

use super::owners::CodeOwners;
use devkit::delivery::{Check, Delivery, Environment, Promotion};

/// The names of version tags, as a pattern.
const VERSION_TAGS: &str = "v*";

/// What the forge must enforce.
#[derive(Debug)]
pub(super) struct Rules {
    /// The check that a pull request must pass.
    pub(super) check: Check,
    /// The protected branches.
    pub(super) branches: Vec<BranchRule>,
    /// The protected tags.
    pub(super) tags: TagRule,
    /// The environments of the forge.
    pub(super) environments: Vec<EnvironmentRule>,
    /// Who must approve a change to which files.
    pub(super) owners: CodeOwners,
    /// Whether one person maintains the repository, who cannot approve their own changes.
    pub(super) solo: bool,
}

/// A branch that changes only by pull requests, which pass the check and are merged with a merge commit. Force-pushes and
/// deletion are forbidden, a new commit dismisses approvals, and administrators have no exception.
#[derive(Debug)]
pub(super) struct BranchRule {
    /// The name of the branch.
    pub(super) name: String,
    /// The required number of approvals.
    pub(super) approvals: u32,
    /// Whether a pull request must contain the tip of the branch.
    pub(super) up_to_date: bool,
    /// Whether the delivery bot may push without a pull request.
    pub(super) bot_may_push: bool,
}

/// Tags that nobody can move or delete.
#[derive(Debug)]
pub(super) struct TagRule {
    /// The pattern of their names.
    pub(super) pattern: &'static str,
    /// The teams that may create them.
    pub(super) creators: Vec<String>,
}

/// An environment that workflows deploy to. Only GitHub has them.
#[derive(Debug)]
pub(super) struct EnvironmentRule {
    /// The name of the environment.
    pub(super) name: String,
    /// The branch that may deploy to it.
    pub(super) branch: String,
    /// The pattern of tags that may deploy to it.
    pub(super) tags: Option<&'static str>,
    /// The teams of which one member must approve a deployment. Empty if no approval is needed.
    pub(super) reviewers: Vec<String>,
}

impl Rules {
    /// The rules for the environments and the code owners of a project.
    pub(super) fn new(delivery: &Delivery, owners: CodeOwners) -> Self {
        let maintainers = &delivery.protection.maintainers;
        let environments = delivery.environments().iter();
        Self {
            check: delivery.protection.check.clone(),
            branches: environments.clone().map(BranchRule::new).collect(),
            tags: TagRule {
                pattern: VERSION_TAGS,
                creators: maintainers.clone(),
            },
            environments: environments
                .map(|environment| EnvironmentRule::new(environment, maintainers))
                .collect(),
            owners,
            solo: delivery.protection.solo,
        }
    }

    /// Whether the delivery bot may push to any branch, so that its account must be known.
    pub(super) fn needs_bot(&self) -> bool {
        self.branches.iter().any(|branch| branch.bot_may_push)
    }
}

impl BranchRule {
    fn new(environment: &Environment) -> Self {
        let built = environment.promotion == Promotion::Build;
        Self {
            name: environment.branch.clone(),
            approvals: environment.approvals,
            // The bot pushes to this branch after each build, so a pull request would be out of date all the time. The
            // merge is tested again before it is published. A promotion is approved exactly as it will be merged.
            up_to_date: !built,
            bot_may_push: built,
        }
    }
}

impl EnvironmentRule {
    fn new(environment: &Environment, maintainers: &[String]) -> Self {
        let promotion = environment.promotion;
        Self {
            name: environment.name.clone(),
            branch: environment.branch.clone(),
            tags: (promotion == Promotion::Tag).then_some(VERSION_TAGS),
            reviewers: match promotion {
                Promotion::Build => Vec::new(),
                Promotion::PullRequest | Promotion::Tag => maintainers.to_vec(),
            },
        }
    }
}
