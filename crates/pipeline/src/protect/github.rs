//! The rules on GitHub: rulesets, environments, and settings of the repository.

mod environments;
mod rulesets;

use super::difference::Difference;
use super::rules::Rules;
use anyhow::{Context, Result, ensure};
use devkit::env;
use devkit::forge::Forge;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The variable with the number of the delivery bot's App.
const BOT: &str = "DELIVERY_BOT_APP_ID";

/// Only merge commits: a promotion must contain the tested commits unchanged.
#[derive(Serialize)]
struct MergeSettings {
    allow_merge_commit: bool,
    allow_squash_merge: bool,
    allow_rebase_merge: bool,
}

const MERGE_COMMITS: MergeSettings = MergeSettings {
    allow_merge_commit: true,
    allow_squash_merge: false,
    allow_rebase_merge: false,
};

/// A team with access to the repository.
#[derive(Deserialize)]
struct Team {
    id: u64,
    slug: String,
}

/// The numbers of teams by their names.
type Teams = HashMap<String, u64>;

/// The differences between a repository and the rules.
pub(super) fn compare(forge: &Forge, rules: &Rules) -> Result<Vec<Difference>> {
    let bot = match rules.needs_bot() {
        true => Some(app(&env::require(BOT)?)?),
        false => None,
    };
    let repository = forge.settings()?;
    let teams = teams(forge, rules)?;
    let mut differences = Vec::from_iter(Difference::of_repository(&repository, &MERGE_COMMITS)?);
    differences.extend(rulesets::compare(forge, rules, bot, &teams)?);
    for environment in &rules.environments {
        differences.extend(environments::compare(forge, environment, &teams)?);
    }
    Ok(differences)
}

fn app(id: &str) -> Result<u64> {
    id.parse()
        .with_context(|| format!("{BOT} is `{id}`, not the number of an App"))
}

/// The numbers of the teams in the rules. All must exist before any request changes something.
fn teams(forge: &Forge, rules: &Rules) -> Result<Teams> {
    let listed: Vec<Team> = forge.find_list("/teams")?.unwrap_or_default();
    let teams: Teams = listed.into_iter().map(|t| (t.slug, t.id)).collect();
    let reviewers = rules.environments.iter().flat_map(|e| &e.reviewers);
    for team in rules.tags.creators.iter().chain(reviewers) {
        ensure!(
            teams.contains_key(team),
            "the team `{team}` in the rules has no access to the repository: give it access (only organisations have teams)"
        );
    }
    Ok(teams)
}
