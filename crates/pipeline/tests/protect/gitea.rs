//! The rules on Gitea.

use crate::common::failed;
use crate::forge::{Forge, Kind};
use crate::{each_is_reported_and_undone, remove};
use serde_json::{Value, json};

#[test]
fn gitea_gets_the_rules() {
    let forge = Forge::protected(Kind::Gitea);
    for (branch, approvals, up_to_date, pushers) in [
        ("develop", 0, false, json!(["delivery-bot"])),
        ("staging", 1, true, json!([])),
        ("main", 2, true, json!([])),
    ] {
        let rule = forge.look(branch);
        let bot = branch == "develop";
        for (field, value) in [
            ("enable_push", json!(bot)),
            ("enable_push_whitelist", json!(bot)),
            ("push_whitelist_usernames", pushers),
            ("enable_force_push", json!(false)),
            ("enable_status_check", json!(true)),
            (
                "status_check_contexts",
                json!(["ci / required (pull_request)"]),
            ),
            ("required_approvals", json!(approvals)),
            ("enable_approvals_whitelist", json!(true)),
            ("approvals_whitelist_teams", json!(["maintainers"])),
            ("dismiss_stale_approvals", json!(true)),
            ("block_on_outdated_branch", json!(up_to_date)),
            ("block_admin_merge_override", json!(true)),
        ] {
            assert_eq!(rule[field], value, "{branch}: {field}");
        }
    }
    assert_eq!(forge.look("v*")["whitelist_teams"], json!(["maintainers"]));
    assert_eq!(forge.look("")["allow_squash_merge"], false);
}

#[test]
fn each_weaker_rule_is_reported_and_restored() {
    each_is_reported_and_undone(
        Kind::Gitea,
        &[
            (
                |forge| remove(forge, "main"),
                "branch main: there is no such rule",
            ),
            (
                |forge| forge.with("main", |rule| rule["required_approvals"] = json!(1)),
                "branch main: required_approvals is 1 and should be 2",
            ),
            (
                |forge| {
                    forge.with("develop", |rule| {
                        rule["push_whitelist_usernames"] = json!(["delivery-bot", "mallory"])
                    })
                },
                "branch develop: push_whitelist_usernames has \"mallory\", which is not in the rules",
            ),
            (
                |forge| {
                    forge.with("main", |rule| {
                        rule["approvals_whitelist_username"] = json!(["delivery-bot"])
                    })
                },
                "branch main: approvals_whitelist_username has \"delivery-bot\"",
            ),
            (
                |forge| forge.with("staging", |rule| rule["enable_push"] = json!(true)),
                "branch staging: enable_push is true",
            ),
            (
                |forge| forge.with("develop", |rule| rule["enable_status_check"] = json!(false)),
                "branch develop: enable_status_check is false",
            ),
            (
                // Gitea returns null for an empty list.
                |forge| forge.with("main", |rule| rule["status_check_contexts"] = Value::Null),
                "branch main: status_check_contexts lacks \"ci / required (pull_request)\"",
            ),
            (
                |forge| forge.with("develop", |rule| rule["enable_force_push"] = json!(true)),
                "branch develop: enable_force_push is true",
            ),
            (
                |forge| {
                    forge.with("main", |rule| {
                        rule["block_admin_merge_override"] = json!(false)
                    })
                },
                "branch main: block_admin_merge_override is false",
            ),
            (
                |forge| {
                    forge.with("main", |rule| {
                        rule["unprotected_file_patterns"] = json!("charts/**")
                    })
                },
                "branch main: unprotected_file_patterns is \"charts/**\"",
            ),
            (
                |forge| {
                    forge.with("v*", |rule| {
                        rule["whitelist_usernames"] = json!(["mallory"])
                    })
                },
                "tags v*: whitelist_usernames has \"mallory\"",
            ),
            (
                |forge| forge.with("", |repository| repository["allow_rebase"] = json!(true)),
                "repository: allow_rebase is true and should be false",
            ),
        ],
    );
}

/// Gitea accepts the name of a user who may not write, and drops it.
#[test]
fn settings_that_the_forge_drops_silently_are_an_error() {
    let forge = Forge::new(Kind::Gitea);
    forge.change(|state| state.drops_users = true);
    let said = failed(&forge.protect(&[]));
    assert!(
        said.contains("push_whitelist_usernames lacks \"delivery-bot\""),
        "{said}"
    );
}
