//! The rules on Gitea: branch protections, tag protections, and settings of the repository.

use super::difference::{Difference, Request, fields};
use super::rules::{BranchRule, RequiredCheck, Rules, TagRule};
use crate::api::Api;
use crate::workflow;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The variable with the user name of the delivery bot.
const BOT: &str = "DELIVERY_BOT_USER";

pub(super) fn compare(api: &Api, rules: &Rules) -> Result<Vec<Difference>> {
    let bot = match rules.branches.iter().any(|branch| branch.bot_may_push) {
        true => Some(workflow::require(BOT)?),
        false => None,
    };
    let repository = api.get("")?.with_context(|| api.nothing_there())?;
    let mut differences: Vec<Difference> = settings(&repository).into_iter().collect();

    // Gitea does not page these lists.
    let protections = api.get("/branch_protections")?.unwrap_or_default();
    for branch in &rules.branches {
        let bot = bot.as_deref().filter(|_| branch.bot_may_push);
        let have = find(&protections, "rule_name", &branch.name);
        differences.extend(protection(branch, &rules.check, bot, have));
        if have.is_some() {
            differences.extend(shadowed(api, &branch.name)?);
        }
    }

    let protections = api.get("/tag_protections")?.unwrap_or_default();
    let mut others: Vec<&Value> = protections.as_array().into_iter().flatten().collect();
    for tags in &rules.tags {
        others.retain(|other| other["name_pattern"] != tags.pattern);
        let have = find(&protections, "name_pattern", &tags.pattern);
        differences.extend(tag_protection(tags, have));
    }
    // A tag may match several protections, and one that allows a user is enough.
    differences.extend(others.into_iter().map(|other| {
        Difference::unmanaged(format!(
            "tags {}: this protection is not in the rules and may allow more: remove it from the forge, or add it to the rules",
            other["name_pattern"]
        ))
    }));
    Ok(differences)
}

fn find<'a>(list: &'a Value, key: &str, name: &str) -> Option<&'a Value> {
    let mut list = list.as_array()?.iter();
    list.find(|entry| entry[key] == name)
}

/// Only merge commits: a promotion must contain the tested commits unchanged.
fn settings(repository: &Value) -> Option<Difference> {
    let want = json!({
        "allow_merge_commits": true,
        "allow_rebase": false,
        "allow_rebase_explicit": false,
        "allow_squash_merge": false,
        "allow_fast_forward_only_merge": false,
        "allow_manual_merge": false,
        "default_merge_style": "merge",
    });
    let request = Request {
        method: "PATCH",
        path: String::new(),
        body: want.clone(),
    };
    Difference::between("repository", &fields(want), Some(repository), request)
}

fn protection(
    branch: &BranchRule,
    check: &RequiredCheck,
    bot: Option<&str>,
    have: Option<&Value>,
) -> Option<Difference> {
    let name = &branch.name;
    let mut body = json!({
        // If pushes are enabled, only listed users may push. Otherwise all changes need a pull request.
        "enable_push": bot.is_some(),
        "enable_push_whitelist": bot.is_some(),
        "push_whitelist_usernames": Vec::from_iter(bot),
        "push_whitelist_teams": [],
        "push_whitelist_deploy_keys": false,
        "enable_force_push": false,
        // Files that may be pushed to directly.
        "unprotected_file_patterns": "",
        "enable_merge_whitelist": false,
        "enable_status_check": true,
        "status_check_contexts": [format!("{} / {} (pull_request)", check.workflow, check.job)],
        "required_approvals": branch.approvals,
        // A list could count approvals of users who may only read. Nobody can approve their own pull request anyway.
        "enable_approvals_whitelist": false,
        "block_on_rejected_reviews": true,
        "dismiss_stale_approvals": branch.dismiss_stale_approvals,
        "block_on_outdated_branch": branch.up_to_date,
        "block_admin_merge_override": true,
    });
    let want = fields(body.clone());
    let request = match have {
        Some(_) => Request {
            method: "PATCH",
            path: format!("/branch_protections/{name}"),
            body,
        },
        None => {
            body["rule_name"] = json!(name);
            Request {
                method: "POST",
                path: "/branch_protections".into(),
                body,
            }
        }
    };
    Difference::between(&format!("branch {name}"), &want, have, request)
}

/// Gitea applies only the first protection that matches a branch, and another one may come before ours.
fn shadowed(api: &Api, branch: &str) -> Result<Option<Difference>> {
    let Some(found) = api.get(&format!("/branches/{branch}"))? else {
        return Ok(None);
    };
    let first = &found["effective_branch_protection_name"];
    Ok((first != branch).then(|| {
        Difference::unmanaged(format!(
            "branch {branch}: the protection {first} comes first and replaces that of the branch: move it down"
        ))
    }))
}

fn tag_protection(tags: &TagRule, have: Option<&Value>) -> Option<Difference> {
    let want = json!({
        "whitelist_usernames": [],
        "whitelist_teams": tags.creators,
    });
    let mut body = want.clone();
    let request = match have {
        Some(have) => Request {
            method: "PATCH",
            path: format!("/tag_protections/{}", have["id"]),
            body,
        },
        None => {
            body["name_pattern"] = json!(tags.pattern);
            Request {
                method: "POST",
                path: "/tag_protections".into(),
                body,
            }
        }
    };
    let what = format!("tags {}", tags.pattern);
    Difference::between(&what, &fields(want), have, request)
}
