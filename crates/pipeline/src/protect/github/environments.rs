//! The environments, and which refs may deploy to them.
//!
//! Source: <https://docs.github.com/en/rest/deployments/environments>.

use super::maintainers::Reviewer as Maintainer;
use crate::protect::difference::{Difference, Request, settings};
use crate::protect::rules::EnvironmentRule;
use anyhow::Result;
use devkit::forge::Forge;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why GitHub may not take reviewers.
const ENTERPRISE: &str =
    "GitHub offers reviewers of environments in private repositories only on Enterprise";

/// An environment as GitHub takes it, and in differences, where reviewers are names.
#[derive(Serialize)]
struct EnvironmentSettings<Reviewer> {
    #[serde(flatten)]
    review: ReviewSettings<Reviewer>,
    #[serde(flatten)]
    refs: RefSettings,
}

/// Who must approve a deployment.
#[derive(Serialize)]
struct ReviewSettings<Reviewer> {
    reviewers: Vec<Reviewer>,
    prevent_self_review: bool,
    /// Not in GitHub's description of its API, which answers and takes it.
    can_admins_bypass: Option<bool>,
}

/// Which refs may deploy. All plans that have environments have these settings.
#[derive(Serialize)]
struct RefSettings {
    deployment_branch_policy: Option<BranchPolicy>,
}

#[derive(Serialize, Deserialize)]
struct BranchPolicy {
    protected_branches: bool,
    custom_branch_policies: bool,
}

/// Only the listed refs may deploy.
const LISTED: Option<BranchPolicy> = Some(BranchPolicy {
    protected_branches: false,
    custom_branch_policies: true,
});

/// An environment as GitHub returns it.
#[derive(Deserialize)]
struct Environment {
    #[serde(default)]
    protection_rules: Vec<ProtectionRule>,
    can_admins_bypass: Option<bool>,
    deployment_branch_policy: Option<BranchPolicy>,
}

#[derive(Deserialize)]
struct ProtectionRule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    prevent_self_review: bool,
    #[serde(default)]
    reviewers: Vec<Reviewer>,
}

#[derive(Deserialize)]
struct Reviewer {
    reviewer: Account,
}

/// A team, which has a slug, or a user, who has a login.
#[derive(Deserialize)]
struct Account {
    #[serde(alias = "login")]
    slug: String,
}

impl From<Environment> for EnvironmentSettings<String> {
    fn from(environment: Environment) -> Self {
        let mut rules = environment.protection_rules.into_iter();
        let review = rules.find(|rule| rule.kind == "required_reviewers");
        let (prevent_self_review, reviewers) = match review {
            Some(rule) => (rule.prevent_self_review, rule.reviewers),
            None => (false, Vec::new()),
        };
        Self {
            review: ReviewSettings {
                reviewers: reviewers.into_iter().map(|r| r.reviewer.slug).collect(),
                prevent_self_review,
                can_admins_bypass: environment.can_admins_bypass,
            },
            refs: RefSettings {
                deployment_branch_policy: environment.deployment_branch_policy,
            },
        }
    }
}

/// Refs that may deploy, as GitHub returns them.
#[derive(Deserialize)]
struct Policy {
    id: u64,
    #[serde(flatten)]
    refs: RefPattern,
}

/// Refs that may deploy.
#[derive(PartialEq, Serialize, Deserialize)]
struct RefPattern {
    name: String,
    #[serde(rename = "type", default)]
    kind: RefKind,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RefKind {
    #[default]
    Branch,
    Tag,
}

impl fmt::Display for RefKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        })
    }
}

/// What an environment should be.
pub(super) struct Wanted<'a> {
    pub(super) rule: &'a EnvironmentRule,
    pub(super) reviewers: Vec<Maintainer>,
    /// Whether who starts a deployment may approve it.
    pub(super) self_review: bool,
    /// Whether the repository is private, so that the plan decides what GitHub takes.
    pub(super) private: bool,
}

impl Wanted<'_> {
    /// The differences between an environment and its rule.
    pub(super) fn compare(&self, forge: &Forge) -> Result<Vec<Difference>> {
        let rule = self.rule;
        let path = format!("/environments/{}", rule.name);
        let have: Option<Environment> = forge.find(&path)?;
        let policies_path = format!("{path}/deployment-branch-policies");
        let policies = match have {
            Some(_) => forge.list_in(&policies_path, "branch_policies")?,
            None => Vec::new(),
        };
        let mut differences = Vec::from_iter(self.compare_settings(&path, have)?);
        differences.extend(compare_policies(rule, &policies_path, policies)?);
        Ok(differences)
    }

    fn compare_settings(
        &self,
        path: &str,
        have: Option<Environment>,
    ) -> Result<Option<Difference>> {
        let what = format!("environment {}", self.rule.name);
        let mut request = Request::new("PUT", path, &self.settings(|reviewer| reviewer.id))?;
        if self.private {
            request.fallback = Some(serde_json::to_value(refs())?);
        }
        let want = settings(&self.settings(|reviewer| reviewer.name.clone()))?;
        let have = have.map(EnvironmentSettings::from);
        let have = have.map(|have| settings(&have)).transpose()?;
        let Some(mut difference) = Difference::between(&what, &want, have.as_ref(), request) else {
            return Ok(None);
        };
        // Does it differ only in what the plan may not offer?
        let offered = Request::new("PUT", path, &refs())?;
        let offered = Difference::between(&what, &settings(&refs())?, have.as_ref(), offered);
        if self.private && offered.is_none() {
            difference.unavailable = Some(ENTERPRISE);
            if let Some(request) = &mut difference.request {
                request.fallback = None;
            }
        }
        Ok(Some(difference))
    }

    fn settings<T>(&self, reviewer: fn(&Maintainer) -> T) -> EnvironmentSettings<T> {
        EnvironmentSettings {
            review: ReviewSettings {
                reviewers: self.reviewers.iter().map(reviewer).collect(),
                prevent_self_review: !self.self_review && !self.reviewers.is_empty(),
                can_admins_bypass: Some(false),
            },
            refs: refs(),
        }
    }
}

fn refs() -> RefSettings {
    RefSettings {
        deployment_branch_policy: LISTED,
    }
}

/// Compares which refs may deploy to an environment. `path` is the address of its policies.
fn compare_policies(
    rule: &EnvironmentRule,
    path: &str,
    mut policies: Vec<Policy>,
) -> Result<Vec<Difference>> {
    let what = format!("environment {}", rule.name);
    let mut differences = Vec::new();
    let branch = (RefKind::Branch, rule.branch.as_str());
    let tags = rule.tags.map(|pattern| (RefKind::Tag, pattern));
    for (kind, name) in std::iter::once(branch).chain(tags) {
        let refs = RefPattern {
            name: name.to_owned(),
            kind,
        };
        if policies.iter().any(|policy| policy.refs == refs) {
            policies.retain(|policy| policy.refs != refs);
            continue;
        }
        differences.push(Difference {
            reasons: vec![format!("{what}: the {kind} {name} may not deploy to it")],
            request: Some(Request::new("POST", path, &refs)?),
            unavailable: None,
        });
    }
    // The rules describe an environment completely, so all other policies are removed.
    differences.extend(policies.iter().map(|Policy { id, refs }| Difference {
        reasons: vec![format!(
            "{what}: the {} {:?} may deploy to it, but the rules do not allow this",
            refs.kind, refs.name
        )],
        request: Some(Request::delete(format!("{path}/{id}"))),
        unavailable: None,
    }));
    Ok(differences)
}
