//! `cargo pipeline protect` from outside, on forges that keep their rules in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[expect(dead_code, reason = "nothing here is in git")]
mod common;
#[path = "common/http.rs"]
mod http;

use common::{failed, pipeline, succeeded};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

const TOKEN: &str = "s3cret-t0ken";
const BOT_APP: u64 = 12345;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    GitHub,
    Gitea,
}

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Gitea];

/// What a forge has of one repository: objects by their path.
struct State {
    kind: Kind,
    objects: BTreeMap<String, Value>,
    next: u64,
    /// Method and path of each request.
    requests: Vec<(String, String)>,
    /// Answers every write with this status and message.
    refuse: Option<(u16, &'static str)>,
    /// Takes writes, and drops the names of people who may not write.
    drops_users: bool,
    /// Keeps to itself who may bypass.
    hides_bypass: bool,
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.requests.push((method.into(), path.into()));
        let path = path.split('?').next().unwrap();
        if method == "GET" {
            return match self.get(path) {
                Some(found) => (200, found),
                None => (404, json!({"message": "Not Found"})),
            };
        }
        if let Some((status, message)) = self.refuse {
            return (status, json!({"message": message}));
        }
        match method {
            "POST" => {
                self.next += 1;
                let mut body = body;
                body["id"] = json!(self.next);
                let key = match body["rule_name"].as_str() {
                    Some(name) => name.to_owned(),
                    None => self.next.to_string(),
                };
                if self.drops_users {
                    body["push_whitelist_usernames"] = json!([]);
                }
                self.objects.insert(format!("{path}/{key}"), body);
                (201, json!({}))
            }
            "PUT" | "PATCH" => {
                let have = self.objects.entry(path.into()).or_insert(json!({}));
                for (key, value) in body.as_object().unwrap() {
                    have[key] = value.clone();
                }
                (200, json!({}))
            }
            "DELETE" => match self.objects.remove(path) {
                Some(_) => (204, Value::Null),
                None => (404, json!({"message": "Not Found"})),
            },
            _ => (405, json!({})),
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        if let Some(branch) = path.strip_prefix("/branches/") {
            return self.branch(branch);
        }
        let list = |path: &str| -> Vec<Value> {
            let below = |key: &str| {
                key.rsplit_once('/')
                    .is_some_and(|(folder, _)| folder == path)
            };
            let found = self.objects.iter().filter(|(key, _)| below(key));
            found.map(|(_, value)| value.clone()).collect()
        };
        match path {
            "/rulesets" => {
                let short = |value: Value| json!({"id": value["id"], "name": value["name"]});
                Some(list(path).into_iter().map(short).collect())
            }
            "/teams" | "/branch_protections" | "/tag_protections" => Some(list(path).into()),
            _ if path.ends_with("/deployment-branch-policies") => {
                let policies = list(path);
                Some(json!({"total_count": policies.len(), "branch_policies": policies}))
            }
            _ if path.starts_with("/environments/") => self.objects.get(path).map(environment),
            _ => {
                let mut object = self.objects.get(path)?.clone();
                if self.hides_bypass {
                    object.as_object_mut()?.remove("bypass_actors");
                }
                Some(object)
            }
        }
    }

    /// Gitea puts the protection that is in force into the branch: a plain name before a pattern, unless its
    /// priority is worse.
    fn branch(&self, name: &str) -> Option<Value> {
        let rules = self.objects.iter().filter_map(|(key, rule)| {
            let pattern = key.strip_prefix("/branch_protections/")?;
            let matches = pattern == name || pattern == "*";
            matches.then(|| {
                (
                    rule["priority"].as_i64().unwrap_or(1),
                    pattern == "*",
                    pattern,
                )
            })
        });
        let (_, _, first) = rules.min()?;
        Some(json!({"name": name, "effective_branch_protection_name": first}))
    }

    fn writes(&self) -> Vec<String> {
        let writes = self.requests.iter().filter(|(method, _)| method != "GET");
        writes
            .map(|(method, path)| format!("{method} {path}"))
            .collect()
    }
}

/// GitHub tells an environment in another shape than it takes it.
fn environment(put: &Value) -> Value {
    let team = |reviewer: &Value| {
        let slug = if reviewer["id"] == 7 {
            "maintainers"
        } else {
            "guests"
        };
        json!({"type": "Team", "reviewer": {"id": reviewer["id"], "slug": slug}})
    };
    let reviewers = put["reviewers"].as_array().unwrap();
    let mut rules = vec![json!({"type": "branch_policy"})];
    if !reviewers.is_empty() {
        rules.push(json!({
            "type": "required_reviewers",
            "prevent_self_review": put["prevent_self_review"],
            "reviewers": reviewers.iter().map(team).collect::<Vec<_>>(),
        }));
    }
    json!({
        "protection_rules": rules,
        "can_admins_bypass": put["can_admins_bypass"],
        "deployment_branch_policy": put["deployment_branch_policy"],
    })
}

/// A forge on a port of its own.
struct Forge {
    kind: Kind,
    address: String,
    state: Arc<Mutex<State>>,
}

impl Forge {
    fn new(kind: Kind) -> Self {
        let repository = match kind {
            Kind::GitHub => {
                json!({"allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": true})
            }
            Kind::Gitea => json!({"allow_squash_merge": true, "default_merge_style": "merge"}),
        };
        let state = Arc::new(Mutex::new(State {
            kind,
            objects: BTreeMap::from([
                (String::new(), repository),
                ("/teams/7".into(), json!({"id": 7, "slug": "maintainers"})),
            ]),
            next: 100,
            requests: Vec::new(),
            refuse: None,
            drops_users: false,
            hides_bypass: false,
        }));
        let shared = Arc::clone(&state);
        let address = http::serve(move |request| answer(&request, &mut shared.lock().unwrap()));
        Self {
            kind,
            address,
            state,
        }
    }

    /// One that is as the rules say.
    fn protected(kind: Kind) -> Self {
        let forge = Self::new(kind);
        succeeded(&forge.protect(&[]));
        forge
    }

    /// Runs the command as an administrator, with the project's own rules.
    fn protect(&self, args: &[&str]) -> Output {
        self.run(&project(".github/protection.yaml"), args, &[])
    }

    fn run(&self, rules: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = pipeline(
            &project(""),
            &[
                &["protect", "--file"][..],
                &[rules.to_str().unwrap()][..],
                args,
            ]
            .concat(),
        );
        let path = if self.kind == Kind::Gitea {
            "/api/v1"
        } else {
            ""
        };
        command
            .env("GITHUB_API_URL", format!("{}{path}", self.address))
            .env("GITHUB_REPOSITORY", "waybill/waybill")
            .env("PROTECT_TOKEN", TOKEN)
            .env("BOT_APP_ID", BOT_APP.to_string())
            .env("DELIVERY_BOT_USER", "delivery-bot")
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(said).contains(TOKEN), "{output:?}");
        }
        output
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    fn writes(&self) -> Vec<String> {
        self.change(|state| state.writes())
    }

    /// The object with a name, for looking at or for spoiling.
    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Value) -> T) -> T {
        self.change(|state| {
            let mut objects = state.objects.iter_mut();
            let named = |key: &str, value: &Value| {
                key == name
                    || ["name", "rule_name", "name_pattern"]
                        .iter()
                        .any(|field| value[field] == name)
            };
            change(objects.find(|(key, value)| named(key, value)).unwrap().1)
        })
    }

    fn look(&self, name: &str) -> Value {
        self.with(name, |object| object.clone())
    }
}

/// What a forge answers to an administrator, and only to one.
fn answer(request: &http::Request, state: &mut State) -> (u16, String) {
    let authorized = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
    let base = match state.kind {
        Kind::GitHub => "/repos/waybill/waybill",
        Kind::Gitea => "/api/v1/repos/waybill/waybill",
    };
    let (status, answer) = match request.target().strip_prefix(base) {
        Some(path) if authorized => state.answer(request.method(), path, request.json()),
        _ => (401, json!({"message": "who are you?"})),
    };
    let text = || answer.to_string();
    (status, if status == 204 { String::new() } else { text() })
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

#[test]
fn what_is_as_the_rules_say_is_left_alone() {
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
fn github_gets_what_the_rules_say() {
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

    // What nobody may is in rulesets that nobody bypasses.
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

#[test]
fn gitea_gets_what_the_rules_say() {
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

/// What somebody does to a forge behind the rules' back, and what the check says about it.
type Spoiled = (fn(&Forge), &'static str);

fn each_is_noticed_and_mended(kind: Kind, cases: &[Spoiled]) {
    let forge = Forge::protected(kind);
    for (spoil, reason) in cases {
        spoil(&forge);
        let writes = forge.writes();
        let said = failed(&forge.protect(&["--check"]));
        assert!(said.contains(reason), "{reason}: {said}");
        assert_eq!(forge.writes(), writes, "{reason}: a check changes nothing");

        let said = succeeded(&forge.protect(&[]));
        assert!(said.contains(reason), "{reason}: {said}");
        assert_eq!(
            forge.writes().len(),
            writes.len() + 1,
            "{reason}: one request mends it"
        );
        succeeded(&forge.protect(&["--check"]));
    }
}

/// The parameters of a rule on a branch.
fn parameters(forge: &Forge, branch: &str, at: usize, change: fn(&mut Map<String, Value>)) {
    forge.with(&format!("protection: changes of {branch}"), |ruleset| {
        change(ruleset["rules"][at]["parameters"].as_object_mut().unwrap());
    });
}

fn remove(forge: &Forge, name: &str) {
    forge.change(|state| {
        let before = state.objects.len();
        state
            .objects
            .retain(|_, value| value["name"] != name && value["rule_name"] != name);
        assert_eq!(state.objects.len(), before - 1, "{name}");
    });
}

const WEAKER_ON_GITHUB: &[Spoiled] = &[
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
fn each_weaker_rule_on_github_is_noticed_and_mended() {
    each_is_noticed_and_mended(Kind::GitHub, WEAKER_ON_GITHUB);
}

#[test]
fn each_weaker_rule_on_gitea_is_noticed_and_mended() {
    each_is_noticed_and_mended(
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
                |forge| forge.with("staging", |rule| rule["enable_push"] = json!(true)),
                "branch staging: enable_push is true",
            ),
            (
                |forge| forge.with("develop", |rule| rule["enable_status_check"] = json!(false)),
                "branch develop: enable_status_check is false",
            ),
            (
                // As Gitea tells an empty list.
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

#[test]
fn what_the_rules_do_not_know_is_reported_and_left_to_a_person() {
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

    // What others protect beside it is none of our business.
    let forge = Forge::protected(Kind::GitHub);
    let theirs = json!({"id": 9, "name": "no big files"});
    forge.change(|state| state.objects.insert("/rulesets/9".into(), theirs));
    succeeded(&forge.protect(&["--check"]));
}

#[test]
fn a_dry_run_prints_the_requests_and_sends_none() {
    for (kind, request) in [
        (Kind::GitHub, "POST {}/repos/waybill/waybill/rulesets {"),
        (
            Kind::Gitea,
            "POST {}/api/v1/repos/waybill/waybill/branch_protections {",
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
fn a_refusal_is_an_error_in_the_forges_words() {
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

/// Gitea takes the name of somebody who may not write, and forgets it.
#[test]
fn what_the_forge_drops_silently_is_an_error() {
    let forge = Forge::new(Kind::Gitea);
    forge.change(|state| state.drops_users = true);
    let said = failed(&forge.protect(&[]));
    assert!(
        said.contains("push_whitelist_usernames lacks \"delivery-bot\""),
        "{said}"
    );
}

#[test]
fn a_token_that_may_not_see_bypasses_does_not_pass_the_check() {
    let forge = Forge::protected(Kind::GitHub);
    forge.change(|state| state.hides_bypass = true);
    let said = failed(&forge.protect(&["--check"]));
    assert!(said.contains("cannot see who may bypass"), "{said}");
}

#[test]
fn what_is_missing_is_named_before_anything_is_sent() {
    let rules = project(".github/protection.yaml");
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
        (Kind::GitHub, "BOT_APP_ID", "", "BOT_APP_ID is not set"),
        (
            Kind::GitHub,
            "BOT_APP_ID",
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
        let said = failed(&forge.run(&rules, &[], &[(name, value)]));
        assert!(said.contains(reason), "{said}");
        assert_eq!(forge.change(|state| state.requests.len()), 0);
    }

    let forge = Forge::new(Kind::GitHub);
    forge.change(|state| state.objects.remove("/teams/7"));
    let said = failed(&forge.protect(&[]));
    assert!(
        said.contains("`maintainers`") && said.contains("give it access"),
        "{said}"
    );
    assert_eq!(forge.writes(), [""; 0]);

    let said = failed(&forge.run(&rules, &[], &[("PROTECT_TOKEN", "another")]));
    assert!(
        said.contains("401") && said.contains("who are you?"),
        "{said}"
    );
}

/// What is replaced in good rules, by what, and what is said of it.
const BAD_RULES: &[[&str; 3]] = &[
    [
        "    approvals: 2",
        "    aprovals: 2",
        "unknown field `aprovals`",
    ],
    ["    approvals: 2\n", "", "missing field `approvals`"],
    ["approvals: 2", "approvals: two", "approvals: two"],
    ["approvals: 2", "approvals: -1", "approvals: -1"],
    [
        "approvals: 2",
        "approvals: 99",
        "99 is not a number of approvals from 0 to 6",
    ],
    [
        "up-to-date: false",
        "up-to-date: no",
        "strict mode expects true/false",
    ],
    [
        "bot-may-push: true",
        "bot-may-push: [a]",
        "bot-may-push: [a]",
    ],
    [
        "  main:\n",
        "  \"ma*n\":\n",
        "`branches.ma*n` is not the name of a single branch",
    ],
    [
        "  main:\n",
        "  ../main:\n",
        "`branches.../main` is not the name",
    ],
    [
        "  main:\n",
        "  develop:\n",
        "duplicate mapping key: develop",
    ],
    [
        "creators: [maintainers]",
        "creators: []",
        "`tags.v*.creators` names no team",
    ],
    [
        "creators: [maintainers]",
        "creators: maintainers",
        "expected sequence",
    ],
    ["reviewers: []", "reviewers: [{}]", "reviewers: [{}]"],
    [
        "check: ci / required",
        "check: required",
        "`check` is `required`, not `WORKFLOW / JOB`",
    ],
    ["\ntags:\n", "\nlabels:\n", "unknown field `labels`"],
    ["check: ci / required", "check: 'ci", "single-quoted"],
];

#[test]
fn bad_rules_are_refused_by_the_key_and_nothing_is_sent() {
    let good = fs::read_to_string(project(".github/protection.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let forge = Forge::new(Kind::GitHub);
    for [from, to, reason] in BAD_RULES {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        fs::write(&file, bad).unwrap();
        let said = failed(&forge.run(&file, &[], &[]));
        assert!(
            said.contains(reason) && said.contains("rules.yaml"),
            "{reason}: {said}"
        );
    }
    let said = failed(&forge.run(&folder.path().join("none.yaml"), &[], &[]));
    assert!(said.contains("none.yaml"), "{said}");
    assert_eq!(forge.change(|state| state.requests.len()), 0);
}

/// A required check that no workflow reports would block every merge.
#[test]
fn the_required_check_is_a_job_of_the_workflow() {
    let workflow = fs::read_to_string(project(".github/workflows/ci.yaml")).unwrap();
    assert!(workflow.contains("\nname: ci\n") && workflow.contains("\n  required:\n"));
    let rules = fs::read_to_string(project(".github/protection.yaml")).unwrap();
    assert!(rules.contains("\ncheck: ci / required\n"));
}
