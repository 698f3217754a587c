//! `cargo pipeline protect` with a fake forge that keeps its settings in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod forge;
mod gitea;
mod on_github;
mod plans;

use common::{DELIVERY, failed, succeeded};
use forge::{BOTH, Forge, Kind};
use serde_json::{Value, json};
use testkit::server as http;

/// A change of the forge by hand, and how the check reports it.
pub type Change = (fn(&Forge), &'static str);

/// Makes each change, and expects the check to report it and `protect` to undo it with one request.
pub fn each_is_reported_and_undone(kind: Kind, cases: &[Change]) {
    let forge = Forge::protected(kind);
    for (change, reason) in cases {
        change(&forge);
        let writes = forge.writes();
        let said = failed(&forge.protect(&["--check"]));
        assert!(said.contains(reason), "{reason}: {said}");
        assert_eq!(forge.writes(), writes, "{reason}: a check changes nothing");

        let said = succeeded(&forge.protect(&[]));
        assert!(said.contains(reason), "{reason}: {said}");
        assert_eq!(
            forge.writes().len(),
            writes.len() + 1,
            "{reason}: one request undoes it"
        );
        succeeded(&forge.protect(&["--check"]));
    }
}

/// Deletes the object with a name from the forge.
pub fn remove(forge: &Forge, name: &str) {
    forge.change(|state| {
        let before = state.objects.len();
        state
            .objects
            .retain(|_, value| value["name"] != name && value["rule_name"] != name);
        assert_eq!(state.objects.len(), before - 1, "{name}");
    });
}

#[test]
fn settings_that_agree_with_the_rules_are_left_alone() {
    for kind in BOTH {
        let forge = Forge::new(kind);
        let said = failed(&forge.protect(&["--check"]));
        assert!(
            said.contains("main") && said.contains("there is no such rule"),
            "{said}"
        );
        assert_eq!(forge.writes(), [""; 0], "{kind:?}: a check changes nothing");

        succeeded(&forge.protect(&[]));
        let writes = forge.writes();
        assert!(!writes.is_empty());

        succeeded(&forge.protect(&[]));
        succeeded(&forge.protect(&["--check"]));
        assert_eq!(succeeded(&forge.protect(&["--dry-run"])), "");
        assert_eq!(
            forge.writes(),
            writes,
            "{kind:?}: the second time sends nothing"
        );
    }
}

#[test]
fn unmanaged_settings_are_reported_and_left_to_a_person() {
    let cases: [(Kind, &str, Value, &str); 3] = [
        (
            Kind::GitHub,
            "/rulesets/9",
            json!({"id": 9, "name": "protection: changes of old"}),
            "ruleset \"protection: changes of old\" is not in the rules",
        ),
        (
            Kind::Gitea,
            "/branch_protections/*",
            json!({"rule_name": "*", "priority": 0}),
            "branch main: the protection \"*\" comes first",
        ),
        (
            Kind::Gitea,
            "/tag_protections/9",
            json!({"id": 9, "name_pattern": "*", "whitelist_usernames": ["mallory"]}),
            "tags \"*\": this protection is not in the rules",
        ),
    ];
    for (kind, path, object, reason) in cases {
        let forge = Forge::protected(kind);
        let writes = forge.writes();
        forge.change(|state| state.objects.insert(path.into(), object));
        for args in [["--check"].as_slice(), &[]] {
            let said = failed(&forge.protect(args));
            assert!(said.contains(reason), "{args:?}: {said}");
        }
        assert_eq!(forge.writes(), writes);
    }

    // Rulesets without our prefix are not ours.
    let forge = Forge::protected(Kind::GitHub);
    let theirs = json!({"id": 9, "name": "no big files"});
    forge.change(|state| state.objects.insert("/rulesets/9".into(), theirs));
    succeeded(&forge.protect(&["--check"]));
}

#[test]
fn a_dry_run_prints_the_requests_and_sends_none() {
    for (kind, request) in [
        (Kind::GitHub, "POST {}/repos/acme/parcel/rulesets {"),
        (
            Kind::Gitea,
            "POST {}/api/v1/repos/acme/parcel/branch_protections {",
        ),
    ] {
        let forge = Forge::new(kind);
        let said = succeeded(&forge.protect(&["--dry-run"]));
        assert!(
            said.contains(&request.replace("{}", &forge.address)),
            "{said}"
        );
        assert!(
            said.contains("\"refs/heads/main\"") || said.contains("\"rule_name\": \"main\""),
            "{said}"
        );
        assert_eq!(forge.writes(), [""; 0]);
    }
}

#[test]
fn a_refusal_is_an_error_with_the_message_of_the_forge() {
    for kind in BOTH {
        let forge = Forge::new(kind);
        forge.change(|state| {
            state.refuse = Some((403, "Upgrade to make this private repository safe"))
        });
        let said = failed(&forge.protect(&[]));
        assert!(
            said.contains("403") && said.contains("Upgrade to make this private"),
            "{said}"
        );
        assert_eq!(forge.writes().len(), 1, "it stops there");
    }
}

#[test]
fn missing_variables_and_teams_are_named_before_anything_is_sent() {
    for (kind, name, value, reason) in [
        (
            Kind::GitHub,
            "PROTECT_TOKEN",
            "",
            "PROTECT_TOKEN or GITHUB_TOKEN is not set",
        ),
        (
            Kind::GitHub,
            "GITHUB_REPOSITORY",
            "",
            "GITHUB_REPOSITORY is not set",
        ),
        (
            Kind::GitHub,
            "DELIVERY_BOT_APP_ID",
            "",
            "DELIVERY_BOT_APP_ID is not set",
        ),
        (
            Kind::GitHub,
            "DELIVERY_BOT_APP_ID",
            "the-bot",
            "`the-bot`, not the number",
        ),
        (
            Kind::Gitea,
            "DELIVERY_BOT_USER",
            "",
            "DELIVERY_BOT_USER is not set",
        ),
    ] {
        let forge = Forge::new(kind);
        let said = failed(&forge.run(Some(DELIVERY), &[], &[(name, value)]));
        assert!(said.contains(reason), "{said}");
        assert_eq!(forge.change(|state| state.requests.len()), 0);
    }

    let forge = Forge::new(Kind::GitHub);
    forge.change(|state| state.objects.remove("/teams/7"));
    let said = failed(&forge.protect(&[]));
    assert!(
        said.contains("`maintainers`") && said.contains("give it write access"),
        "{said}"
    );
    assert_eq!(forge.writes(), [""; 0]);

    let said = failed(&forge.run(Some(DELIVERY), &[], &[("PROTECT_TOKEN", "another")]));
    assert!(
        said.contains("401") && said.contains("who are you?"),
        "{said}"
    );
}

#[test]
fn without_a_valid_delivery_file_nothing_is_sent() {
    let forge = Forge::new(Kind::GitHub);
    for (from, to, reason) in [
        ("approvals = 2", "aprovals = 2", "unknown field `aprovals`"),
        ("approvals = 2\n", "", "missing field `approvals`"),
        (
            "approvals = 2",
            "approvals = 99",
            "approvals is 99, and forges support at most 6",
        ),
        (
            "branch = \"main\"",
            "branch = \"ma*n\"",
            "`ma*n` is not the name of a branch",
        ),
        (
            "branch = \"main\"",
            "branch = \"../main\"",
            "`../main` is not the name of a branch",
        ),
        (
            "branch = \"main\"",
            "branch = \"develop\"",
            "two environments have the branch `develop`",
        ),
        (
            "[\"maintainers\"]",
            "[]",
            "protection.maintainers names no team",
        ),
        ("[protection]", "[protect]", "unknown field `protect`"),
    ] {
        let bad = DELIVERY.replacen(from, to, 1);
        assert_ne!(bad, DELIVERY, "{from}");
        let said = failed(&forge.run(Some(&bad), &[], &[]));
        assert!(
            said.contains(reason) && said.contains("delivery.toml"),
            "{reason}: {said}"
        );
    }
    let said = failed(&forge.run(None, &[], &[]));
    assert!(said.contains("delivery.toml"), "{said}");
    assert_eq!(forge.change(|state| state.requests.len()), 0);
}

#[test]
fn a_new_environment_is_protected_without_other_changes() {
    let qa = "[[environment]]\nname = \"qa\"\nbranch = \"release/qa\"\npromotion = \"pull-request\"\nsync = \"manual\"\napprovals = 3\n\n";
    let last = "[[environment]]\nname = \"prod\"";
    let delivery = DELIVERY.replace(last, &format!("{qa}{last}"));
    let forge = Forge::new(Kind::GitHub);
    succeeded(&forge.run(Some(&delivery), &[], &[]));
    let ruleset = forge.look("protection: changes of release/qa");
    let approvals = &ruleset["rules"][0]["parameters"]["required_approving_review_count"];
    assert_eq!(*approvals, 3);
    let history = forge.look("protection: history of branches");
    let branches = history["conditions"]["ref_name"]["include"].to_string();
    assert!(branches.contains("refs/heads/release/qa"), "{branches}");

    let forge = Forge::new(Kind::Gitea);
    succeeded(&forge.run(Some(&delivery), &[], &[]));
    forge.with("release/qa", |rule| rule["required_approvals"] = json!(1));
    succeeded(&forge.run(Some(&delivery), &[], &[]));
    let rule = forge.look("release/qa");
    assert_eq!(rule["required_approvals"], 3);
    assert_eq!(rule["enable_push"], false);
    assert_eq!(rule["block_on_outdated_branch"], true);
}

/// A required check that no workflow reports would block every merge.
#[test]
fn the_required_check_is_a_job_of_the_workflow() {
    let workflow = testkit::root().join(".github/workflows/ci.yaml");
    let workflow = std::fs::read_to_string(workflow).unwrap();
    assert!(workflow.contains("\nname: ci\n") && workflow.contains("\n  required:\n"));
    assert!(DELIVERY.contains("\ncheck = \"ci / required\"\n"));
}
