//! What GitHub offers: to an organisation, a personal account, a private repository, and on a free plan.

use crate::common::{DELIVERY, failed};
use crate::forge::{BILLING, Forge, Kind, Plan, UPGRADE};
use serde_json::{Value, json};
use std::process::Output;

const OWNERS: &str = "/.github/ @acme/maintainers\n/delivery.toml @acme/maintainers\n";

/// A project with code owners.
const PROJECT: &[(&str, &str)] = &[("delivery.toml", DELIVERY), (".github/CODEOWNERS", OWNERS)];

/// The standard output of a command that sets what the forge offers, and leaves something out.
fn left_out(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn succeeded(output: &Output) -> String {
    let said = crate::common::succeeded(output);
    assert!(!said.contains("left out"), "{said}");
    said
}

/// A repository of `ann`, who is a person.
fn personal() -> Forge {
    let forge = Forge::new(Kind::GitHub);
    forge.with("", |repository| {
        repository["owner"] = json!({"login": "ann", "id": 42, "type": "User"});
    });
    forge.change(|state| state.objects.remove("/teams/7"));
    forge
}

fn private(plan: Plan) -> Forge {
    let forge = Forge::new(Kind::GitHub);
    make_private(&forge, plan);
    forge
}

fn make_private(forge: &Forge, plan: Plan) {
    forge.with("", |repository| {
        repository["private"] = json!(true);
        repository["visibility"] = json!("private");
    });
    forge.change(|state| state.plan = plan);
}

fn pull_request(forge: &Forge, branch: &str) -> Value {
    forge.look(&format!("protection: changes of {branch}"))["rules"][0]["parameters"].clone()
}

#[test]
fn an_organisation_requires_the_owners_of_code_on_every_branch() {
    let forge = Forge::new(Kind::GitHub);
    succeeded(&forge.run_in(PROJECT, &[], &[]));
    // Without a required approval, GitHub does not ask code owners, but it asks teams by path.
    let develop = pull_request(&forge, "develop");
    let team = json!({
        "file_patterns": [".github/**", "delivery.toml"],
        "minimum_approvals": 1,
        "reviewer": {"type": "Team", "id": 7},
    });
    assert_eq!(develop["required_approving_review_count"], 0);
    assert_eq!(develop["required_reviewers"], json!([team]));
    let main = pull_request(&forge, "main");
    assert_eq!(main["require_code_owner_review"], true);
    assert!(main["required_reviewers"].is_null(), "{main}");

    forge.with("protection: changes of develop", |ruleset| {
        ruleset["rules"][0]["parameters"]["required_reviewers"] = json!([]);
    });
    let said = failed(&forge.run_in(PROJECT, &["--check"], &[]));
    let reason = "required_reviewers lacks \"1 of Team 7 for .github/** delivery.toml\"";
    assert!(said.contains(reason), "{said}");
    succeeded(&forge.run_in(PROJECT, &[], &[]));
    succeeded(&forge.run_in(PROJECT, &["--check"], &[]));
}

#[test]
fn a_mistake_in_the_code_owners_is_reported() {
    let forge = Forge::new(Kind::GitHub);
    succeeded(&forge.run_in(PROJECT, &[], &[]));
    let error = json!({"path": ".github/CODEOWNERS", "line": 2, "column": 16, "kind": "Unknown owner", "message": "…"});
    forge.change(|state| {
        let errors = json!({"errors": [error]});
        state.objects.insert("/codeowners/errors".into(), errors);
    });
    let said = failed(&forge.run_in(PROJECT, &["--check"], &[]));
    assert!(
        said.contains(".github/CODEOWNERS, line 2: Unknown owner"),
        "{said}"
    );
}

#[test]
fn a_personal_account_has_roles_instead_of_teams() {
    let forge = personal();
    let said = left_out(&forge.run_in(PROJECT, &[], &[]));
    assert!(
        said.contains("branch develop: the review by code owners"),
        "{said}"
    );
    let creators = forge.look("protection: making of tags v*")["bypass_actors"].clone();
    let admin = json!({"actor_type": "RepositoryRole", "actor_id": 5, "bypass_mode": "always"});
    assert_eq!(creators, json!([admin]));
    let prod = forge.look("/environments/prod");
    assert_eq!(prod["reviewers"], json!([{"type": "User", "id": 42}]));
    // The owner also starts deployments, and may be the only person who can approve them.
    assert_eq!(prod["prevent_self_review"], false);

    let writes = forge.writes();
    left_out(&forge.run_in(PROJECT, &[], &[]));
    left_out(&forge.run_in(PROJECT, &["--check"], &[]));
    assert_eq!(forge.writes(), writes, "the second time sends nothing");

    // With an approval on every branch, nothing is left out.
    let approvals = DELIVERY.replacen("approvals = 0", "approvals = 1", 1);
    let project = [("delivery.toml", approvals.as_str()), PROJECT[1]];
    succeeded(&forge.run_in(&project, &[], &[]));
    assert_eq!(
        pull_request(&forge, "develop")["require_code_owner_review"],
        true
    );
}

#[test]
fn one_maintainer_needs_no_approval_of_their_own_changes() {
    let forge = personal();
    let solo = DELIVERY
        .replacen("[protection]", "[protection]\nsolo = true", 1)
        .replacen("approvals = 2", "approvals = 1", 1);
    let project = [("delivery.toml", solo.as_str()), PROJECT[1]];
    succeeded(&forge.run_in(&project, &[], &[]));
    for (branch, approvals) in [("develop", 0), ("staging", 1), ("main", 1)] {
        let rule = pull_request(&forge, branch);
        assert_eq!(
            rule["required_approving_review_count"], approvals,
            "{branch}"
        );
        assert_eq!(rule["require_code_owner_review"], false, "{branch}");
    }
    let with_two = solo.replacen("approvals = 1", "approvals = 2", 1);
    let said = failed(&forge.run_in(&[("delivery.toml", &with_two)], &[], &[]));
    assert!(
        said.contains("nobody can approve their own pull request"),
        "{said}"
    );
}

#[test]
fn a_private_repository_gets_what_its_plan_offers() {
    let forge = private(Plan::Team);
    let said = left_out(&forge.run_in(PROJECT, &[], &[]));
    assert!(said.contains(BILLING), "{said}");
    for reason in [
        "environment prod: reviewers lacks \"maintainers\" (GitHub offers reviewers of environments in private repositories only on Enterprise)",
        "note: code scanning needs a licence in a private repository",
        "the forge agrees with all other rules",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    // The rest is set.
    assert_eq!(
        pull_request(&forge, "main")["required_approving_review_count"],
        2
    );
    let policies = forge.change(|state| state.get("/environments/prod/deployment-branch-policies"));
    assert_eq!(policies.unwrap()["total_count"], 2);
    left_out(&forge.run_in(PROJECT, &["--check"], &[]));
    left_out(&forge.run_in(PROJECT, &[], &[]));

    // What the plan offers is still checked.
    forge.with("/environments/prod", |prod| {
        prod["deployment_branch_policy"] = Value::Null;
    });
    let said = failed(&forge.run_in(PROJECT, &["--check"], &[]));
    assert!(
        said.contains("environment prod: deployment_branch_policy"),
        "{said}"
    );
    left_out(&forge.run_in(PROJECT, &[], &[]));
}

#[test]
fn a_private_repository_on_enterprise_with_a_licence_gets_everything() {
    let forge = private(Plan::Full);
    forge.with("", |repository| {
        repository["security_and_analysis"] = json!({"code_security": {"status": "enabled"}});
    });
    let said = succeeded(&forge.run_in(PROJECT, &[], &[]));
    assert!(!said.contains("code scanning"), "{said}");
    assert_eq!(
        forge.look("/environments/prod")["reviewers"],
        json!([{"type": "Team", "id": 7}])
    );
}

#[test]
fn a_private_repository_on_free_gets_its_merge_options() {
    let forge = private(Plan::Free);
    let said = left_out(&forge.run_in(PROJECT, &[], &[]));
    assert!(
        said.contains("rulesets and environments") && said.contains(UPGRADE),
        "{said}"
    );
    assert_eq!(forge.writes(), ["PATCH "]);
    assert_eq!(forge.look("")["allow_squash_merge"], false);
    left_out(&forge.run_in(PROJECT, &["--check"], &[]));

    // In a public repository, the same answer means that the token may not see the rules.
    let forge = Forge::new(Kind::GitHub);
    forge.change(|state| state.plan = Plan::Free);
    let said = failed(&forge.run_in(PROJECT, &[], &[]));
    assert!(said.contains("403"), "{said}");
}
