//! `[protection]`: the required check, and the teams that release.

use super::{Environment, Promotion};
use serde::Deserialize;
use std::str::FromStr;

/// The content of `[protection]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protection {
    /// The check that each pull request to an environment's branch must pass.
    pub check: Check,
    /// The teams that create version tags and approve deployments, by the names in URLs. There is at least one. GitHub's
    /// personal accounts have no teams, so the owner of the account takes their place there.
    pub maintainers: Vec<String>,
    /// Whether one person maintains the repository. Nobody can approve their own pull request, so the rules ask this
    /// person only to approve those of the delivery bot.
    #[serde(default)]
    pub solo: bool,
}

/// A job of a workflow, as a required check: `ci / required`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Check {
    /// The name of the workflow.
    pub workflow: String,
    /// The name of the job.
    pub job: String,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(" / ") {
            Some((workflow, job)) if !workflow.is_empty() && !job.is_empty() => Ok(Self {
                workflow: workflow.to_owned(),
                job: job.to_owned(),
            }),
            _ => Err(format!("`{text}` is not a check: write `WORKFLOW / JOB`")),
        }
    }
}

impl TryFrom<String> for Check {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

pub(super) fn check(
    protection: &Protection,
    environments: &[Environment],
    problems: &mut Vec<String>,
) {
    for environment in environments.iter().filter(|_| protection.solo) {
        // People open the pull requests to the first environment, and the bot those to all others.
        let possible = u32::from(environment.promotion != Promotion::Build);
        if environment.approvals > possible {
            problems.push(format!(
                "environment `{environment}`: approvals is {}, and with `protection.solo` it can be at most {possible}: nobody can approve their own pull request",
                environment.approvals
            ));
        }
    }
    if protection.maintainers.is_empty() {
        problems.push(
            "protection.maintainers names no team, so no one could create a version tag".to_owned(),
        );
    }
    for team in &protection.maintainers {
        if !is_team(team) {
            problems.push(format!(
                "protection.maintainers: `{team}` is not a team: write its name without the organisation"
            ));
        }
    }
}

/// Whether a text needs no escaping in a URL. GitHub's slugs and Gitea's names of teams have only such characters.
fn is_team(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !text.is_empty() && text.bytes().all(known) && !text.starts_with('.')
}
