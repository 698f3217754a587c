//! The commands of docs/github.md, run as a newcomer runs them: from top to bottom, in one shell. `gh`, `skopeo` and
//! `kubectl` are replacements that write down how they were called.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[allow(dead_code, reason = "only a part is needed")]
mod common;

use common::{DELIVERY, succeeded};
use devkit::delivery::Delivery;
use http::Request;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use testkit::github::{GitHub, not_found};
use testkit::server as http;

/// The text of the guide between two headings.
fn steps(from: &str, to: &str) -> String {
    let guide = fs::read_to_string("../../docs/github.md").unwrap();
    let steps = guide.split_once(from).unwrap().1;
    steps.split_once(to).unwrap().0.to_owned()
}

/// The shell blocks between two headings, as one script.
fn script(from: &str, to: &str) -> String {
    let steps = steps(from, to);
    let mut script = String::new();
    let mut inside = false;
    for line in steps.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(kind) => inside = !inside && kind.starts_with("sh"),
            None if inside => script.push_str(&format!("{}\n", line.trim_start())),
            None => {}
        }
    }
    script
}

/// A folder with replacements of programs, which log their arguments and read what they are given.
fn replacements(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let log = |name: &str, more: &str| format!("#!/bin/sh\necho \"{name} $*\" >> \"$LOG\"\n{more}");
    let pipeline = env!("CARGO_BIN_EXE_pipeline");
    for (name, script) in [
        (
            "gh",
            log(
                "gh",
                "case $1$2 in secretset) grep -q KEY || exit 1;; esac\n",
            ),
        ),
        ("kubectl", log("kubectl", "")),
        // `skopeo login --authfile FILE HOST`
        ("skopeo", log("skopeo", "[ $1 = login ] && touch $3\n")),
        (
            "cargo",
            log("cargo", &format!("shift; exec {pipeline} \"$@\"\n")),
        ),
    ] {
        let path = folder.join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// GitHub with a public repository of an organisation, in memory.
fn server() -> GitHub {
    let mut objects: BTreeMap<String, Value> = BTreeMap::new();
    objects.insert(
        String::new(),
        json!({
            "owner": {"login": "acme", "id": 1, "type": "Organization"},
            "private": false,
        }),
    );
    GitHub::start(move |request| answer(request, &mut objects))
}

fn answer(request: &Request, objects: &mut BTreeMap<String, Value>) -> (u16, Value) {
    if request.header("authorization") != Some("Bearer t0ken") {
        return (401, json!({"message": "Bad credentials"}));
    }
    let path = request.target().split('?').next().unwrap();
    let path = path.strip_prefix("/repos/acme/shop").unwrap().to_owned();
    let children = |objects: &BTreeMap<String, Value>| -> Vec<Value> {
        let below = |key: &str| {
            key.rsplit_once('/')
                .is_some_and(|(folder, _)| folder == path)
        };
        objects
            .iter()
            .filter(|(key, _)| below(key))
            .map(|(_, value)| value.clone())
            .collect()
    };
    let policies = path.ends_with("/deployment-branch-policies");
    match request.method() {
        "GET" if path == "/teams" => (200, json!([{"id": 7, "slug": "maintainers"}])),
        "GET" if path == "/codeowners/errors" => (200, json!({"errors": []})),
        "GET" if path == "/rulesets" => {
            let short = |ruleset: &Value| json!({"id": ruleset["id"], "name": ruleset["name"]});
            (200, children(objects).iter().map(short).collect())
        }
        "GET" if policies => (200, json!({"branch_policies": children(objects)})),
        "GET" => match objects.get(&path) {
            Some(found) => (200, found.clone()),
            None => not_found(),
        },
        "POST" => {
            let id = objects.len();
            let mut made = request.json();
            made["id"] = json!(id);
            objects.insert(format!("{path}/{id}"), made.clone());
            (if policies { 200 } else { 201 }, made)
        }
        _ if path.starts_with("/environments/") => {
            let put = request.json();
            let team = |reviewer: &Value| json!({"type": "Team", "reviewer": {"id": reviewer["id"], "slug": "maintainers"}});
            let reviewers: Vec<Value> = put["reviewers"]
                .as_array()
                .unwrap()
                .iter()
                .map(team)
                .collect();
            let made = json!({
                "name": "x",
                "can_admins_bypass": put["can_admins_bypass"],
                "deployment_branch_policy": put["deployment_branch_policy"],
                "protection_rules": [{
                    "type": "required_reviewers",
                    "prevent_self_review": put["prevent_self_review"],
                    "reviewers": reviewers,
                }],
            });
            objects.insert(path, made.clone());
            (200, made)
        }
        _ => {
            let have = objects.get_mut(&path).unwrap();
            for (key, value) in request.json().as_object().unwrap() {
                have[key] = value.clone();
            }
            (200, have.clone())
        }
    }
}

#[test]
fn the_commands_work_from_top_to_bottom() {
    let github = server();
    let folder = TempDir::new().unwrap();
    let project = folder.path().join("project");
    for path in [".git", ".github/workflows", "charts"] {
        fs::create_dir_all(project.join(path)).unwrap();
    }
    fs::write(project.join("delivery.toml"), DELIVERY).unwrap();
    fs::write(
        project.join(".github/CODEOWNERS"),
        "/.github/ @acme/maintainers\n",
    )
    .unwrap();
    fs::copy(
        "../../.github/workflows/ci.yaml",
        project.join(".github/workflows/ci.yaml"),
    )
    .unwrap();
    fs::write(project.join("key.pem"), "KEY").unwrap();
    replacements(&folder.path().join("bin"));
    let log = folder.path().join("log");

    let script = script("## 2. What Actions may do", "## 9. Argo CD");
    let path = format!(
        "{}/bin:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut shell = Command::new("bash");
    shell
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&project)
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("LOG", &log)
        .env("GITHUB_API_URL", &github.address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    // The token that the guide reads without showing it.
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"t0ken\n").unwrap();
    let said = succeeded(&shell.wait_with_output().unwrap());

    assert!(said.contains("the forge agrees with the rules"), "{said}");
    // The token of step 5 can do what the commands asked for, and nothing else.
    assert_eq!(permissions_of_the_token(), named(&github.permissions()));
    let called = fs::read_to_string(&log).unwrap();
    for call in [
        "gh variable set DELIVERY_BOT_CLIENT_ID --body ",
        "cargo pipeline protect --check\n",
        "gh secret set DELIVERY_BOT_PRIVATE_KEY --env dev\n",
        "gh secret set DELIVERY_BOT_PRIVATE_KEY --env staging\n",
        "gh secret set DELIVERY_BOT_PRIVATE_KEY --env prod\n",
        "skopeo login --authfile ghcr.json ghcr.io\n",
        "kubectl create secret generic ghcr --namespace waybill-prod ",
    ] {
        assert!(called.contains(call), "{call}: {called}");
    }
    // Environments exist before they get secrets.
    assert!(
        called.find("protect\n") < called.find("--env dev"),
        "{called}"
    );
    for secret in ["key.pem", "ghcr.json"] {
        assert!(!project.join(secret).exists(), "{secret} is left");
    }
}

/// The permissions that step 5 tells people to give to the token: what is set in italics, such as *Contents: read*.
fn permissions_of_the_token() -> BTreeSet<String> {
    let step = steps("- **Token.**", "as an administrator");
    let words: Vec<&str> = step.split_whitespace().collect();
    let text = words.join(" ");
    let italics = text.split('*').skip(1).step_by(2);
    italics.map(str::to_owned).collect()
}

/// The names that GitHub's pages have for the permissions of some requests.
fn named(permissions: &BTreeSet<String>) -> BTreeSet<String> {
    let writes: Vec<&str> = permissions
        .iter()
        .filter_map(|permission| permission.strip_suffix(": write"))
        .collect();
    let mut names = BTreeSet::new();
    for permission in permissions {
        let (scope, access) = permission.split_once(": ").unwrap();
        let (first, rest) = scope.split_at(1);
        let scope_name = format!("{}{rest}", first.to_uppercase());
        match access {
            // Every token may read metadata.
            "read" if scope == "metadata" || writes.contains(&scope) => false,
            "write" => names.insert(format!("{scope_name}: read and write")),
            other => names.insert(format!("{scope_name}: {other}")),
        };
    }
    names
}

/// The `[protection]` that the guide shows to one maintainer is valid with the approvals that it names.
#[test]
fn the_profile_of_one_maintainer_is_valid() {
    let step = steps("### One maintainer", "## 6. Secrets");
    let block = step.split_once("```toml\n").unwrap().1;
    let profile = block.split_once("```").unwrap().0;
    let (before, rest) = DELIVERY.split_once("[protection]").unwrap();
    let (_, after) = rest.split_once("\n[").unwrap();
    let with = |approvals: &str| {
        let before = before.replacen("approvals = 2", approvals, 1);
        Delivery::parse(&format!("{before}{profile}\n[{after}"))
    };
    assert!(with("approvals = 1").unwrap().protection.solo);
    with("approvals = 2").unwrap_err();
}

/// A package takes over the visibility of its repository when a job publishes it first.
#[test]
fn the_guide_says_who_can_read_the_package() {
    let step = steps("## 8. The package", "## 9. Argo CD");
    for line in [
        "| public | public | nothing |",
        "| private | private | give each namespace a pull secret |",
    ] {
        assert!(step.lines().any(|it| it == line), "{line}");
    }
}

/// GitHub takes patterns of the form `owner/name@*`, also for actions in a folder of a repository.
#[test]
fn the_list_of_allowed_actions_covers_all_workflows() {
    let script = script(
        "## 2. What Actions may do",
        "- Require that actions are pinned",
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir("../..")
        .output()
        .unwrap();
    let patterns = succeeded(&output);
    let patterns: Vec<&str> = patterns.lines().collect();
    assert!(patterns.contains(&"actions/checkout@*"), "{patterns:?}");
    assert!(patterns.contains(&"github/codeql-action@*"), "{patterns:?}");
    for pattern in patterns {
        let name = pattern.strip_suffix("@*").unwrap();
        assert_eq!(name.split('/').count(), 2, "{pattern}");
    }
}
