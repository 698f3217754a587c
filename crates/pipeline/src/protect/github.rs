//! The rules on GitHub: rulesets, environments, and settings of the repository.
//!
//! GitHub offers private repositories less, depending on the plan. Rulesets and environments need Pro, Team or
//! Enterprise; without them GitHub answers 403 to requests for rulesets. Reviewers of environments need Enterprise;
//! without it GitHub answers 422
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/deployments-and-environments>).

mod actor;
mod environments;
mod maintainers;
mod repository;
mod rulesets;

use super::difference::{Comparison, Difference};
use super::rules::Rules;
use anyhow::{Context, Result};
use devkit::env;
use devkit::forge::Forge;
use maintainers::Maintainers;
use repository::{MERGE_COMMITS, Repository};

/// The variable with the number of the delivery bot's App.
const BOT: &str = "DELIVERY_BOT_APP_ID";

/// How a repository differs from the rules.
pub(super) fn compare(forge: &Forge, rules: &Rules) -> Result<Comparison> {
    let bot = match rules.needs_bot() {
        true => Some(app(&env::require(BOT)?)?),
        false => None,
    };
    let repository: Repository = forge.settings()?;
    let maintainers = Maintainers::find(forge, rules, &repository.owner)?;
    let mut comparison = Comparison::default();
    let merge = Difference::of_repository(&repository.settings, &MERGE_COMMITS)?;
    comparison.differences.extend(merge);
    if !repository.has_code_scanning() {
        comparison.notes.push(
            "code scanning needs a licence in a private repository: switch its jobs off with `gh variable set CODE_SCANNING --body false`".to_owned(),
        );
    }
    let existing = match rulesets::list(forge) {
        Err(error) if error.status() == Some(403) && repository.private => {
            comparison.left_out.push(format!(
                "rulesets and environments: branches, version tags and the bot's key are not protected (GitHub offers them in private repositories on Pro, Team and Enterprise: {error})"
            ));
            return Ok(comparison);
        }
        other => other?,
    };
    let wanted = rulesets::Wanted {
        rules,
        bot,
        maintainers: &maintainers,
    };
    let differences = wanted.compare(forge, existing)?;
    comparison.differences.extend(differences);
    comparison.left_out.extend(wanted.unowned_branches());
    for environment in &rules.environments {
        let wanted = environments::Wanted {
            rule: environment,
            reviewers: maintainers.reviewers(&environment.reviewers),
            // The owner of a personal account, or the only maintainer, also starts deployments.
            self_review: rules.solo || maintainers.is_personal(),
            private: repository.private,
        };
        comparison.differences.extend(wanted.compare(forge)?);
    }
    if !rules.owners.files.is_empty() && !rules.solo {
        let errors = repository::owners_errors(forge)?.into_iter();
        comparison
            .differences
            .extend(errors.map(Difference::unmanaged));
    }
    Ok(comparison)
}

fn app(id: &str) -> Result<u64> {
    id.parse()
        .with_context(|| format!("{BOT} is `{id}`, not the number of an App"))
}
