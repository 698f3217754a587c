//! The rules on GitHub.

use crate::common::failed;
use crate::forge::{BOT_APP, Forge, Kind};
use crate::{Change, each_is_reported_and_undone, remove};
use serde_json::{Map, Value, json};

#[test]
fn github_gets_the_rules() {
    let forge = Forge::protected(Kind::GitHub);
    let parameters = |ruleset: &Value, kind: &str| {
        let rules = ruleset["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["type"] == kind);
        rule.unwrap()["parameters"].clone()
    };
    let bot = json!([{"actor_type": "Integration", "actor_id": BOT_APP, "bypass_mode": "always"}]);
    for (branch, approvals, up_to_date, bypass) in [
        ("develop", 0, false, &bot),
        ("staging", 1, true, &json!([])),
        ("main", 2, true, &json!([])),
    ] {
        let ruleset = forge.look(&format!("protection: changes of {branch}"));
        assert_eq!(ruleset["enforcement"], "active");
        assert_eq!(ruleset["bypass_actors"], *bypass, "{branch}");
        let refs = json!({"include": [format!("refs/heads/{branch}")], "exclude": []});
        assert_eq!(ruleset["conditions"]["ref_name"], refs);
        let pull = parameters(&ruleset, "pull_request");
        assert_eq!(pull["required_approving_review_count"], approvals);
        assert_eq!(pull["require_last_push_approval"], approvals > 0);
        assert_eq!(pull["dismiss_stale_reviews_on_push"], true);
        assert_eq!(pull["allowed_merge_methods"], json!(["merge"]));
        let checks = parameters(&ruleset, "required_status_checks");
        assert_eq!(checks["required_status_checks"][0]["context"], "required");
        assert_eq!(checks["strict_required_status_checks_policy"], up_to_date);
    }

    // Rules without exceptions are in rulesets that nobody bypasses.
    let team = json!([{"actor_type": "Team", "actor_id": 7, "bypass_mode": "always"}]);
    for (name, rules, bypass) in [
        (
            "history of branches",
            ["deletion", "non_fast_forward"].as_slice(),
            &json!([]),
        ),
        ("history of tags v*", &["deletion", "update"], &json!([])),
        ("making of tags v*", &["creation"], &team),
    ] {
        let ruleset = forge.look(&format!("protection: {name}"));
        let found = ruleset["rules"].as_array().unwrap();
        let found: Vec<&str> = found
            .iter()
            .filter_map(|rule| rule["type"].as_str())
            .collect();
        assert_eq!(found, rules, "{name}");
        assert_eq!(ruleset["bypass_actors"], *bypass, "{name}");
    }

    assert_eq!(forge.look("")["allow_squash_merge"], false);
    let prod = forge.look("/environments/prod");
    assert_eq!(prod["reviewers"], json!([{"type": "Team", "id": 7}]));
    assert_eq!(prod["can_admins_bypass"], false);
    let policies = forge
        .change(|state| state.get("/environments/prod/deployment-branch-policies"))
        .unwrap();
    let policies = policies["branch_policies"].as_array().unwrap();
    let policies: Vec<_> = policies
        .iter()
        .map(|policy| [&policy["type"], &policy["name"]])
        .collect();
    assert_eq!(policies, [["branch", "main"], ["tag", "v*"]]);
}

/// The parameters of a rule on a branch.
fn parameters(forge: &Forge, branch: &str, at: usize, change: fn(&mut Map<String, Value>)) {
    forge.with(&format!("protection: changes of {branch}"), |ruleset| {
        change(ruleset["rules"][at]["parameters"].as_object_mut().unwrap());
    });
}

const WEAKER_ON_GITHUB: &[Change] = &[
    (
        |forge| remove(forge, "protection: changes of main"),
        "ruleset \"protection: changes of main\": there is no such rule",
    ),
    (
        |forge| {
            parameters(forge, "main", 0, |p| {
                p["required_approving_review_count"] = json!(1)
            })
        },
        "required_approving_review_count is 1 and should be 2",
    ),
    (
        |forge| {
            parameters(forge, "staging", 0, |p| {
                p["dismiss_stale_reviews_on_push"] = json!(false)
            })
        },
        "dismiss_stale_reviews_on_push is false and should be true",
    ),
    (
        |forge| {
            parameters(forge, "main", 0, |p| {
                p["allowed_merge_methods"] = json!(["merge", "squash"])
            })
        },
        "allowed_merge_methods has \"squash\", which is not in the rules",
    ),
    (
        |forge| {
            parameters(forge, "develop", 1, |p| {
                p["required_status_checks"] = json!([])
            })
        },
        "required_status_checks lacks \"required by App 15368\"",
    ),
    (
        |forge| {
            parameters(forge, "main", 1, |p| {
                p["required_status_checks"] = json!([{"context": "required"}]);
            });
        },
        "required_status_checks lacks \"required by App 15368\"",
    ),
    (
        |forge| {
            forge.with("protection: changes of main", |ruleset| {
                        let admin = json!({"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "pull_request"});
                        ruleset["bypass_actors"] = json!([admin]);
                    });
        },
        "bypass has \"RepositoryRole 5 (pull_request)\", which is not in the rules",
    ),
    (
        |forge| {
            forge.with("protection: history of branches", |ruleset| {
                ruleset["rules"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|rule| rule["type"] != "non_fast_forward");
            });
        },
        "rules lacks \"non_fast_forward\"",
    ),
    (
        |forge| {
            forge.with("protection: history of branches", |ruleset| {
                ruleset["conditions"]["ref_name"]["exclude"] = json!(["refs/heads/main"]);
            });
        },
        "refs left out has \"refs/heads/main\"",
    ),
    (
        |forge| {
            forge.with("protection: history of tags v*", |ruleset| {
                ruleset["enforcement"] = json!("disabled")
            })
        },
        "enforcement is \"disabled\" and should be \"active\"",
    ),
    (
        |forge| {
            forge.with("", |repository| {
                repository["allow_squash_merge"] = json!(true)
            })
        },
        "repository: allow_squash_merge is true and should be false",
    ),
    (
        |forge| {
            forge.with("/environments/prod", |prod| {
                prod["reviewers"] = json!([{"type": "Team", "id": 7}, {"type": "Team", "id": 8}])
            })
        },
        "environment prod: reviewers has \"guests\"",
    ),
    (
        |forge| {
            forge.with("/environments/prod", |prod| {
                prod["can_admins_bypass"] = json!(true)
            })
        },
        "environment prod: can_admins_bypass is true",
    ),
    (
        |forge| {
            let policy = json!({"id": 9, "name": "feature/*", "type": "branch"});
            let path = "/environments/prod/deployment-branch-policies/9".to_owned();
            forge.change(|state| state.objects.insert(path, policy));
        },
        "environment prod: the branch \"feature/*\" may deploy to it",
    ),
    (
        |forge| {
            forge.change(|state| {
                let tag = |value: &Value| value["name"] == "v*" && value["type"] == "tag";
                state.objects.retain(|_, value| !tag(value));
            });
        },
        "environment prod: the tag v* may not deploy to it",
    ),
];

#[test]
fn each_weaker_rule_is_reported_and_restored() {
    each_is_reported_and_undone(Kind::GitHub, WEAKER_ON_GITHUB);
}

#[test]
fn the_check_fails_if_the_token_cannot_see_who_may_bypass() {
    let forge = Forge::protected(Kind::GitHub);
    forge.change(|state| state.hides_bypass = true);
    let said = failed(&forge.protect(&["--check"]));
    assert!(said.contains("cannot see who may bypass"), "{said}");
}
