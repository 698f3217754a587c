//! The rules on GitHub: rulesets, environments, and settings of the repository.
//!
//! Who may bypass a ruleset bypasses all of it. So one ruleset has what the bot may bypass (pull request and check), and
//! another has what nobody may bypass (force-push, deletion). Creating and moving tags are separate for the same reason.

use super::difference::{Difference, Request, fields};
use super::rules::{EnvironmentRule, Rules};
use crate::api::Api;
use crate::workflow;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The prefix of our rulesets' names.
const OURS: &str = "protection: ";

/// The variable with the number of the delivery bot's app.
const BOT: &str = "BOT_APP_ID";

/// The number of the app of GitHub Actions. Without it, anyone with write access could report the required check.
const ACTIONS: u64 = 15368;

pub(super) fn compare(api: &Api, rules: &Rules) -> Result<Vec<Difference>> {
    let bot = match rules.branches.iter().any(|branch| branch.bot_may_push) {
        true => Some(app(&workflow::require(BOT)?)?),
        false => None,
    };
    let repository = api.get("")?.with_context(|| api.nothing_there())?;
    let teams = teams(api, rules)?;
    let mut differences: Vec<Difference> = settings(&repository).into_iter().collect();
    differences.extend(compare_rulesets(api, &rulesets(rules, bot, &teams))?);
    for environment in &rules.environments {
        differences.extend(compare_environment(api, environment, &teams)?);
    }
    Ok(differences)
}

fn app(id: &str) -> Result<u64> {
    id.parse()
        .with_context(|| format!("{BOT} is `{id}`, not the number of an app"))
}

/// The numbers of the teams in the rules. All must exist before any request changes something.
fn teams(api: &Api, rules: &Rules) -> Result<HashMap<String, u64>> {
    let listed = api.list("/teams", None)?;
    let teams: HashMap<String, u64> = listed
        .iter()
        .filter_map(|team| Some((team["slug"].as_str()?.to_owned(), team["id"].as_u64()?)))
        .collect();
    let creators = rules.tags.iter().flat_map(|tags| &tags.creators);
    let reviewers = rules.environments.iter().flat_map(|e| &e.reviewers);
    for team in creators.chain(reviewers) {
        ensure!(
            teams.contains_key(team),
            "the team `{team}` in the rules has no access to the repository: give it access (only organisations have teams)"
        );
    }
    Ok(teams)
}

/// Only merge commits: a promotion must contain the tested commits unchanged.
fn settings(repository: &Value) -> Option<Difference> {
    let want = json!({
        "allow_merge_commit": true,
        "allow_squash_merge": false,
        "allow_rebase_merge": false,
    });
    let request = Request {
        method: "PATCH",
        path: String::new(),
        body: want.clone(),
    };
    Difference::between("repository", &fields(want), Some(repository), request)
}

fn rulesets(rules: &Rules, bot: Option<u64>, teams: &HashMap<String, u64>) -> Vec<Value> {
    let actor =
        |kind: &str, id: &u64| json!({"actor_type": kind, "actor_id": id, "bypass_mode": "always"});
    let branch = |name: &str| format!("refs/heads/{name}");
    let mut rulesets = Vec::new();
    for rule in &rules.branches {
        let bypass = bot.filter(|_| rule.bot_may_push);
        rulesets.push(ruleset(
            &format!("changes of {}", rule.name),
            "branch",
            &[branch(&rule.name)],
            bypass.iter().map(|id| actor("Integration", id)).collect(),
            json!([
                {"type": "pull_request", "parameters": {
                    "allowed_merge_methods": ["merge"],
                    "required_approving_review_count": rule.approvals,
                    "dismiss_stale_reviews_on_push": rule.dismiss_stale_approvals,
                    // It asks for an approval, also where the count is none.
                    "require_last_push_approval": rule.approvals > 0,
                    "require_code_owner_review": false,
                    "required_review_thread_resolution": false,
                }},
                {"type": "required_status_checks", "parameters": {
                    "required_status_checks": [{"context": rules.check.job, "integration_id": ACTIONS}],
                    "strict_required_status_checks_policy": rule.up_to_date,
                    "do_not_enforce_on_create": false,
                }},
            ]),
        ));
    }
    let names = rules.branches.iter().map(|rule| branch(&rule.name));
    rulesets.push(ruleset(
        "history of branches",
        "branch",
        &names.collect::<Vec<_>>(),
        Vec::new(),
        json!([{"type": "deletion"}, {"type": "non_fast_forward"}]),
    ));
    for tags in &rules.tags {
        let refs = [format!("refs/tags/{}", tags.pattern)];
        let creators = tags.creators.iter().filter_map(|team| teams.get(team));
        rulesets.push(ruleset(
            &format!("making of tags {}", tags.pattern),
            "tag",
            &refs,
            creators.map(|id| actor("Team", id)).collect(),
            json!([{"type": "creation"}]),
        ));
        rulesets.push(ruleset(
            &format!("history of tags {}", tags.pattern),
            "tag",
            &refs,
            Vec::new(),
            json!([{"type": "deletion"}, {"type": "update"}]),
        ));
    }
    rulesets
}

fn ruleset(name: &str, target: &str, refs: &[String], bypass: Vec<Value>, rules: Value) -> Value {
    json!({
        "name": format!("{OURS}{name}"),
        "target": target,
        "enforcement": "active",
        "bypass_actors": bypass,
        "conditions": {"ref_name": {"include": refs, "exclude": []}},
        "rules": rules,
    })
}

fn compare_rulesets(api: &Api, wanted: &[Value]) -> Result<Vec<Difference>> {
    let mut listed = api.list("/rulesets?includes_parents=false", None)?;
    listed.retain(|entry| {
        let name = entry["name"].as_str().unwrap_or_default();
        name.starts_with(OURS)
    });
    let mut differences = Vec::new();
    for body in wanted {
        let name = &body["name"];
        let what = format!("ruleset {name}");
        let known = listed.iter().position(|entry| entry["name"] == *name);
        // The list does not contain the content of a ruleset.
        let (have, method, path) = match known.map(|at| listed.remove(at)) {
            None => (None, "POST", "/rulesets".to_owned()),
            Some(entry) => {
                let path = format!("/rulesets/{}", entry["id"]);
                let have = api
                    .get(&path)?
                    .with_context(|| format!("{what} was deleted in the meantime"))?;
                ensure!(
                    have["bypass_actors"].is_array(),
                    "this token cannot see who may bypass {what}: use the token of an administrator"
                );
                (Some(Value::Object(view(&have))), "PUT", path)
            }
        };
        let request = Request {
            method,
            path,
            body: body.clone(),
        };
        differences.extend(Difference::between(
            &what,
            &view(body),
            have.as_ref(),
            request,
        ));
    }
    differences.extend(listed.iter().map(|entry| {
        Difference::unmanaged(format!(
            "ruleset {} is not in the rules: remove it from the forge, or add it to the rules",
            entry["name"]
        ))
    }));
    Ok(differences)
}

/// A ruleset as flat fields, which make readable differences.
fn view(ruleset: &Value) -> Map<String, Value> {
    let list = |value: &Value, word: fn(&Value) -> Value| -> Value {
        value.as_array().into_iter().flatten().map(word).collect()
    };
    let refs = &ruleset["conditions"]["ref_name"];
    let mut view = fields(json!({
        "target": ruleset["target"],
        "enforcement": ruleset["enforcement"],
        "bypass": list(&ruleset["bypass_actors"], actor),
        "refs": refs["include"],
        "refs left out": refs["exclude"],
        "rules": list(&ruleset["rules"], |rule| rule["type"].clone()),
    }));
    for rule in ruleset["rules"].as_array().into_iter().flatten() {
        for (key, value) in rule["parameters"].as_object().into_iter().flatten() {
            let value = match key.as_str() {
                "required_status_checks" => list(value, check),
                _ => value.clone(),
            };
            view.insert(key.clone(), value);
        }
    }
    view
}

fn actor(actor: &Value) -> Value {
    let (kind, mode) = (word(&actor["actor_type"]), word(&actor["bypass_mode"]));
    json!(format!("{kind} {} ({mode})", actor["actor_id"]))
}

fn check(check: &Value) -> Value {
    let app = match &check["integration_id"] {
        Value::Null => "anybody".to_owned(),
        app => format!("App {app}"),
    };
    json!(format!("{} by {app}", word(&check["context"])))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// Compares an environment, and which refs may deploy to it.
fn compare_environment(
    api: &Api,
    environment: &EnvironmentRule,
    teams: &HashMap<String, u64>,
) -> Result<Vec<Difference>> {
    let path = format!("/environments/{}", environment.name);
    let what = format!("environment {}", environment.name);
    let have = api.get(&path)?;
    let asks = !environment.reviewers.is_empty();
    let reviewers = environment.reviewers.iter();
    let ids = reviewers.filter_map(|team| teams.get(team));
    let named = json!({"protected_branches": false, "custom_branch_policies": true});
    let request = Request {
        method: "PUT",
        path: path.clone(),
        body: json!({
            "reviewers": ids.map(|id| json!({"type": "Team", "id": id})).collect::<Vec<_>>(),
            "prevent_self_review": asks,
            "can_admins_bypass": false,
            "deployment_branch_policy": named,
        }),
    };
    let want = fields(json!({
        "reviewers": environment.reviewers,
        "prevent_self_review": asks,
        "can_admins_bypass": false,
        "deployment_branch_policy": named,
    }));
    let seen = have.as_ref().map(|have| {
        let rules = have["protection_rules"].as_array();
        let mut rules = rules.into_iter().flatten();
        let review = rules.find(|rule| rule["type"] == "required_reviewers");
        let reviewers = review.and_then(|rule| rule["reviewers"].as_array());
        let name = |reviewer: &Value| {
            let who = &reviewer["reviewer"];
            who.get("slug").unwrap_or(&who["login"]).clone()
        };
        json!({
            "reviewers": reviewers.into_iter().flatten().map(name).collect::<Vec<_>>(),
            "prevent_self_review": review.is_some_and(|rule| rule["prevent_self_review"] == true),
            "can_admins_bypass": have["can_admins_bypass"],
            "deployment_branch_policy": have["deployment_branch_policy"],
        })
    });
    let mut differences = Vec::from_iter(Difference::between(&what, &want, seen.as_ref(), request));

    let path = format!("{path}/deployment-branch-policies");
    let policies = match have {
        Some(_) => api.list(&path, Some("branch_policies"))?,
        None => Vec::new(),
    };
    differences.extend(compare_policies(environment, &path, policies));
    Ok(differences)
}

/// Compares which refs may deploy to an environment. `path` is the address of its policies.
fn compare_policies(
    environment: &EnvironmentRule,
    path: &str,
    mut policies: Vec<Value>,
) -> Vec<Difference> {
    let what = format!("environment {}", environment.name);
    let mut differences = Vec::new();
    let branches = environment.branches.iter().map(|name| ("branch", name));
    let tags = environment.tags.iter().map(|name| ("tag", name));
    for (kind, name) in branches.chain(tags) {
        let same = |policy: &Value| policy["name"] == **name && policy["type"] == kind;
        if policies.iter().any(same) {
            policies.retain(|policy| !same(policy));
            continue;
        }
        differences.push(Difference {
            reasons: vec![format!("{what}: the {kind} {name} may not deploy to it")],
            request: Some(Request {
                method: "POST",
                path: path.to_owned(),
                body: json!({"name": name, "type": kind}),
            }),
        });
    }
    // The rules describe an environment completely, so all other policies are removed.
    differences.extend(policies.iter().map(|policy| Difference {
        reasons: vec![format!(
            "{what}: the {} {} may deploy to it, but the rules do not allow this",
            word(&policy["type"]),
            policy["name"]
        )],
        request: Some(Request {
            method: "DELETE",
            path: format!("{path}/{}", policy["id"]),
            body: json!({}),
        }),
    }));
    differences
}
