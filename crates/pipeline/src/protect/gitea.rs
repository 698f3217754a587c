//! The rules on Gitea: branch protections, tag protections, and settings of the repository.

use super::difference::{Comparison, Difference, Request, Settings, settings};
use super::rules::{BranchRule, Rules, TagRule};
use anyhow::Result;
use devkit::delivery::Check;
use devkit::env;
use devkit::forge::{Forge, encoded};
use serde::{Deserialize, Serialize};

/// The variable with the user name of the delivery bot.
const BOT: &str = "DELIVERY_BOT_USER";

/// Only merge commits: a promotion must contain the tested commits unchanged.
#[derive(Serialize)]
struct MergeSettings {
    allow_merge_commits: bool,
    allow_rebase: bool,
    allow_rebase_explicit: bool,
    allow_squash_merge: bool,
    allow_fast_forward_only_merge: bool,
    allow_manual_merge: bool,
    default_merge_style: &'static str,
}

const MERGE_COMMITS: MergeSettings = MergeSettings {
    allow_merge_commits: true,
    allow_rebase: false,
    allow_rebase_explicit: false,
    allow_squash_merge: false,
    allow_fast_forward_only_merge: false,
    allow_manual_merge: false,
    default_merge_style: "merge",
};

/// The settings of a branch protection (`EditBranchProtectionOption` in Gitea's API).
#[derive(Serialize)]
struct BranchSettings<'a> {
    enable_push: bool,
    enable_push_whitelist: bool,
    push_whitelist_usernames: Vec<&'a str>,
    push_whitelist_teams: [&'a str; 0],
    push_whitelist_deploy_keys: bool,
    enable_force_push: bool,
    /// Files that may be pushed to directly.
    unprotected_file_patterns: &'a str,
    enable_merge_whitelist: bool,
    enable_status_check: bool,
    status_check_contexts: [String; 1],
    required_approvals: u32,
    enable_approvals_whitelist: bool,
    /// Gitea's name for a list.
    approvals_whitelist_username: [&'a str; 0],
    approvals_whitelist_teams: &'a [String],
    block_on_rejected_reviews: bool,
    dismiss_stale_approvals: bool,
    block_on_outdated_branch: bool,
    block_admin_merge_override: bool,
}

/// A new branch protection.
#[derive(Serialize)]
struct NewBranchProtection<'a> {
    rule_name: &'a str,
    #[serde(flatten)]
    settings: &'a BranchSettings<'a>,
}

/// A branch protection of the forge. The name may be a pattern.
#[derive(Deserialize)]
struct BranchProtection {
    rule_name: String,
    #[serde(flatten)]
    settings: Settings,
}

/// The settings of a tag protection (`EditTagProtectionOption` in Gitea's API).
#[derive(Serialize)]
struct TagSettings<'a> {
    whitelist_usernames: [&'a str; 0],
    whitelist_teams: &'a [String],
}

/// A new tag protection.
#[derive(Serialize)]
struct NewTagProtection<'a> {
    name_pattern: &'a str,
    #[serde(flatten)]
    settings: &'a TagSettings<'a>,
}

/// A tag protection of the forge.
#[derive(Deserialize)]
struct TagProtection {
    id: u64,
    name_pattern: String,
    #[serde(flatten)]
    settings: Settings,
}

/// The differences between a repository and the rules.
pub(super) fn compare(forge: &Forge, rules: &Rules) -> Result<Comparison> {
    let bot = match rules.needs_bot() {
        true => Some(env::require(BOT)?),
        false => None,
    };
    let mut differences = Vec::from_iter(Difference::of_repository(
        &forge.settings()?,
        &MERGE_COMMITS,
    )?);

    let protections: Vec<BranchProtection> = forge.list("/branch_protections")?;
    for branch in &rules.branches {
        let bot = bot.as_deref().filter(|_| branch.bot_may_push);
        let mut protections = protections.iter();
        let have = protections.find(|protection| protection.rule_name == branch.name);
        differences.extend(compare_branch(
            branch,
            &rules.check,
            &rules.tags.creators,
            bot,
            have,
        )?);
        if have.is_some() {
            differences.extend(shadowed(forge, &branch.name)?);
        }
    }

    let protections: Vec<TagProtection> = forge.list("/tag_protections")?;
    let (ours, others): (Vec<_>, Vec<_>) = protections
        .into_iter()
        .partition(|protection| protection.name_pattern == rules.tags.pattern);
    differences.extend(compare_tags(&rules.tags, ours.first())?);
    // A tag may match several protections, and one that allows a user is enough.
    differences.extend(others.into_iter().map(|other| {
        Difference::unmanaged(format!(
            "tags {:?}: this protection is not in the rules and may allow more: remove it from the forge",
            other.name_pattern
        ))
    }));
    Ok(Comparison {
        differences,
        ..Comparison::default()
    })
}

fn compare_branch(
    branch: &BranchRule,
    check: &Check,
    maintainers: &[String],
    bot: Option<&str>,
    have: Option<&BranchProtection>,
) -> Result<Option<Difference>> {
    let name = &branch.name;
    let want = BranchSettings {
        // If pushes are enabled, only listed users may push. Otherwise all changes need a pull request.
        enable_push: bot.is_some(),
        enable_push_whitelist: bot.is_some(),
        push_whitelist_usernames: Vec::from_iter(bot),
        push_whitelist_teams: [],
        push_whitelist_deploy_keys: false,
        enable_force_push: false,
        unprotected_file_patterns: "",
        enable_merge_whitelist: false,
        enable_status_check: true,
        status_check_contexts: [format!("{} / {} (pull_request)", check.workflow, check.job)],
        required_approvals: branch.approvals,
        // Otherwise the approval of everyone who may write counts, so that of the bot too.
        enable_approvals_whitelist: true,
        approvals_whitelist_username: [],
        approvals_whitelist_teams: maintainers,
        block_on_rejected_reviews: true,
        dismiss_stale_approvals: true,
        block_on_outdated_branch: branch.up_to_date,
        block_admin_merge_override: true,
    };
    let request = match have {
        Some(_) => Request::new(
            "PATCH",
            &format!("/branch_protections/{}", encoded(name)),
            &want,
        )?,
        None => {
            let new = NewBranchProtection {
                rule_name: name,
                settings: &want,
            };
            Request::new("POST", "/branch_protections", &new)?
        }
    };
    Ok(Difference::between(
        &format!("branch {name}"),
        &settings(&want)?,
        have.map(|protection| &protection.settings),
        request,
    ))
}

/// Gitea applies only the first protection that matches a branch, and another one may come before ours.
fn shadowed(forge: &Forge, branch: &str) -> Result<Option<Difference>> {
    let Some(found) = forge.find_branch(branch)? else {
        return Ok(None);
    };
    let first = found.effective_protection.unwrap_or_default();
    Ok((first != branch).then(|| {
        Difference::unmanaged(format!(
            "branch {branch}: the protection {first:?} comes first and replaces that of the branch: move it down"
        ))
    }))
}

fn compare_tags(tags: &TagRule, have: Option<&TagProtection>) -> Result<Option<Difference>> {
    let want = TagSettings {
        whitelist_usernames: [],
        whitelist_teams: &tags.creators,
    };
    let request = match have {
        Some(have) => Request::new("PATCH", &format!("/tag_protections/{}", have.id), &want)?,
        None => {
            let new = NewTagProtection {
                name_pattern: tags.pattern,
                settings: &want,
            };
            Request::new("POST", "/tag_protections", &new)?
        }
    };
    Ok(Difference::between(
        &format!("tags {}", tags.pattern),
        &settings(&want)?,
        have.map(|protection| &protection.settings),
        request,
    ))
}
