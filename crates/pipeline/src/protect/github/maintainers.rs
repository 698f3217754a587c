//! Who creates version tags, reviews deployments and owns code: teams in an organisation, and on a personal account,
//! which has none, roles and the owner of the account.

use super::actor::Actor;
use super::repository::{Account, AccountKind};
use crate::protect::rules::Rules;
use anyhow::{Result, ensure};
use devkit::forge::Forge;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The number of the repository role *Admin*, which the owner of a personal account has
/// (<https://docs.github.com/en/rest/repos/rules>).
const ADMIN: u64 = 5;

/// A team with access to the repository.
#[derive(Deserialize)]
struct Team {
    id: u64,
    slug: String,
}

/// The maintainers of the repository.
pub(super) enum Maintainers {
    /// The numbers of an organisation's teams, by their names.
    Teams(HashMap<String, u64>),
    /// The owner of a personal account.
    Owner(Account),
}

/// Who must approve a deployment.
pub(super) struct Reviewer {
    pub(super) id: ReviewerId,
    pub(super) name: String,
}

/// Who must approve a deployment, as GitHub takes it.
#[derive(Clone, Copy, Serialize)]
pub(super) struct ReviewerId {
    #[serde(rename = "type")]
    kind: &'static str,
    id: u64,
}

impl Maintainers {
    /// The maintainers of a repository. All teams in the rules must exist before any request changes something.
    pub(super) fn find(forge: &Forge, rules: &Rules, owner: &Account) -> Result<Self> {
        if owner.kind == AccountKind::User {
            return Ok(Self::Owner(owner.clone()));
        }
        let listed: Vec<Team> = forge.find_list("/teams")?.unwrap_or_default();
        let teams: HashMap<String, u64> = listed.into_iter().map(|t| (t.slug, t.id)).collect();
        let reviewers = rules.environments.iter().flat_map(|e| &e.reviewers);
        let owners = rules.owners.teams.keys();
        for team in rules.tags.creators.iter().chain(reviewers).chain(owners) {
            ensure!(
                teams.contains_key(team),
                "the team `{team}` in delivery.toml or .github/CODEOWNERS has no access to the repository: give it write access"
            );
        }
        Ok(Self::Teams(teams))
    }

    /// Who may create version tags.
    pub(super) fn tag_creators(&self, names: &[String]) -> Vec<Actor> {
        match self {
            Self::Teams(teams) => {
                let ids = names.iter().filter_map(|name| teams.get(name));
                ids.map(|id| Actor::always("Team", *id)).collect()
            }
            Self::Owner(_) => vec![Actor::always("RepositoryRole", ADMIN)],
        }
    }

    /// Who must approve the deployments that these teams approve.
    pub(super) fn reviewers(&self, names: &[String]) -> Vec<Reviewer> {
        let reviewer = |kind, id, name: &str| Reviewer {
            id: ReviewerId { kind, id },
            name: name.to_owned(),
        };
        match self {
            Self::Teams(teams) => {
                let known = names.iter().filter_map(|name| teams.get_key_value(name));
                known
                    .map(|(name, id)| reviewer("Team", *id, name))
                    .collect()
            }
            Self::Owner(_) if names.is_empty() => Vec::new(),
            Self::Owner(owner) => vec![reviewer("User", owner.id, &owner.login)],
        }
    }

    /// The number of a team, if there are teams.
    pub(super) fn team(&self, name: &str) -> Option<u64> {
        match self {
            Self::Teams(teams) => teams.get(name).copied(),
            Self::Owner(_) => None,
        }
    }

    /// Whether the repository belongs to a personal account.
    pub(super) fn is_personal(&self) -> bool {
        matches!(self, Self::Owner(_))
    }
}
