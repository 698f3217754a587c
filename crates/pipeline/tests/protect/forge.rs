//! A fake forge that keeps the settings of one repository in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::common::{DELIVERY, pipeline, succeeded};
use crate::http;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::github::{self, GitHub};

const TOKEN: &str = "s3cret-t0ken";
pub const BOT_APP: u64 = 12345;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    GitHub,
    Gitea,
}

/// What the plan of the account offers on GitHub.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plan {
    /// Everything, as in a public repository.
    Full,
    /// A private repository on Pro or Team.
    Team,
    /// A private repository on Free.
    Free,
}

/// What GitHub says in a private repository on Free.
pub const UPGRADE: &str =
    "Upgrade to GitHub Pro or make this repository public to enable this feature.";
/// What GitHub says in a private repository on Pro or Team.
pub const BILLING: &str = "Failed to create the environment protection rule. Please ensure the billing plan supports the required reviewers protection rule.";

pub const BOTH: [Kind; 2] = [Kind::GitHub, Kind::Gitea];

/// The settings of one repository: objects by their path.
pub struct State {
    kind: Kind,
    pub plan: Plan,
    pub objects: BTreeMap<String, Value>,
    next: u64,
    /// Method and path of each request.
    pub requests: Vec<(String, String)>,
    /// Answers every write with this status and message.
    pub refuse: Option<(u16, &'static str)>,
    /// Accepts writes, but drops the names of users who may not write.
    pub drops_users: bool,
    /// Does not say who may bypass a ruleset.
    pub hides_bypass: bool,
}

impl State {
    fn answer(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.requests.push((method.into(), path.into()));
        let path = path.split('?').next().unwrap();
        if let Some((status, message)) = self.plan_refuses(method, path, &body) {
            return (status, json!({"message": message}));
        }
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
                if self.kind == Kind::GitHub && path.ends_with("/deployment-branch-policies") {
                    let environment = path.rsplit_once('/').unwrap().0;
                    if !self.objects.contains_key(environment) {
                        return github::not_found();
                    }
                }
                self.next += 1;
                let mut body = body;
                body["id"] = json!(self.next);
                let key = match body["rule_name"].as_str() {
                    Some(name) => name.replace('/', "%2F"),
                    None => self.next.to_string(),
                };
                if self.drops_users {
                    body["push_whitelist_usernames"] = json!([]);
                }
                self.objects.insert(format!("{path}/{key}"), body.clone());
                // GitHub answers this one operation with another status.
                match self.kind == Kind::GitHub && path.ends_with("/deployment-branch-policies") {
                    true => (200, body),
                    false => (201, body),
                }
            }
            "PUT" | "PATCH" => {
                let have = self.objects.entry(path.into()).or_insert(json!({}));
                for (key, value) in body.as_object().unwrap() {
                    have[key] = value.clone();
                }
                (200, self.get(path).unwrap())
            }
            "DELETE" => match self.objects.remove(path) {
                Some(_) => (204, Value::Null),
                None => (404, json!({"message": "Not Found"})),
            },
            _ => (405, json!({})),
        }
    }

    /// What GitHub answers to what the plan does not offer.
    fn plan_refuses(&self, method: &str, path: &str, body: &Value) -> Option<(u16, &'static str)> {
        let reviews = ["reviewers", "prevent_self_review", "can_admins_bypass"];
        match (self.plan, method) {
            (Plan::Free, _) if path.starts_with("/rulesets") => Some((403, UPGRADE)),
            (Plan::Free, "PUT") if path.starts_with("/environments/") => Some((404, "Not Found")),
            // GitHub refuses them even with the default values.
            (Plan::Team, "PUT")
                if path.starts_with("/environments/")
                    && reviews.iter().any(|name| !body[name].is_null()) =>
            {
                Some((422, BILLING))
            }
            _ => None,
        }
    }

    pub fn get(&self, path: &str) -> Option<Value> {
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

    /// Gitea names the protection in force in the branch: a plain name comes before a pattern, unless its priority is
    /// worse.
    fn branch(&self, name: &str) -> Option<Value> {
        let rules = self.objects.iter().filter_map(|(key, rule)| {
            let pattern = key.strip_prefix("/branch_protections/")?;
            let pattern = pattern.replace("%2F", "/");
            let matches = pattern == name || pattern == "*";
            matches.then(|| {
                (
                    rule["priority"].as_i64().unwrap_or(1),
                    pattern == "*",
                    pattern.clone(),
                )
            })
        });
        let (_, _, first) = rules.min()?;
        Some(json!({
            "name": name,
            "commit": {"id": "0123456789abcdef0123456789abcdef01234567"},
            "effective_branch_protection_name": first,
        }))
    }

    fn writes(&self) -> Vec<String> {
        let writes = self.requests.iter().filter(|(method, _)| method != "GET");
        writes
            .map(|(method, path)| format!("{method} {path}"))
            .collect()
    }
}

/// GitHub returns an environment in another form than it accepts.
fn environment(put: &Value) -> Value {
    let reviewer = |reviewer: &Value| {
        let found = match (reviewer["type"].as_str(), reviewer["id"].as_u64()) {
            (Some("User"), _) => json!({"id": reviewer["id"], "login": "ann"}),
            (_, Some(7)) => json!({"id": 7, "slug": "maintainers"}),
            _ => json!({"id": reviewer["id"], "slug": "guests"}),
        };
        json!({"type": reviewer["type"], "reviewer": found})
    };
    let reviewers: Vec<Value> = put["reviewers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(reviewer)
        .collect();
    let mut rules = vec![json!({"type": "branch_policy"})];
    if !reviewers.is_empty() {
        rules.push(json!({
            "type": "required_reviewers",
            "prevent_self_review": put["prevent_self_review"],
            "reviewers": reviewers,
        }));
    }
    json!({
        "protection_rules": rules,
        "can_admins_bypass": put["can_admins_bypass"] != false,
        "deployment_branch_policy": put["deployment_branch_policy"],
    })
}

/// A fake forge on its own port.
pub struct Forge {
    kind: Kind,
    pub address: String,
    state: Arc<Mutex<State>>,
    /// Compares requests and answers with GitHub's description, also when it is dropped.
    _github: Option<GitHub>,
}

impl Forge {
    pub fn new(kind: Kind) -> Self {
        let repository = match kind {
            Kind::GitHub => {
                json!({
                    "full_name": "acme/parcel",
                    "owner": {"login": "acme", "id": 1, "type": "Organization"},
                    "private": false,
                    "visibility": "public",
                    "allow_merge_commit": true,
                    "allow_squash_merge": true,
                    "allow_rebase_merge": true,
                })
            }
            Kind::Gitea => json!({"allow_squash_merge": true, "default_merge_style": "merge"}),
        };
        let state = Arc::new(Mutex::new(State {
            kind,
            plan: Plan::Full,
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
        let answer = move |request: &http::Request| answer(request, &mut shared.lock().unwrap());
        let github = match kind {
            Kind::GitHub => Ok(GitHub::start(answer)),
            Kind::Gitea => Err(http::serve(move |request| {
                let (status, answer) = answer(&request);
                (
                    status,
                    if status == 204 {
                        String::new()
                    } else {
                        answer.to_string()
                    },
                )
            })),
        };
        let address = match &github {
            Ok(github) => github.address.clone(),
            Err(address) => address.clone(),
        };
        Self {
            kind,
            address,
            state,
            _github: github.ok(),
        }
    }

    /// A forge whose settings agree with the rules.
    pub fn protected(kind: Kind) -> Self {
        let forge = Self::new(kind);
        succeeded(&forge.protect(&[]));
        forge
    }

    /// Runs the command as an administrator, with the project's own delivery file.
    pub fn protect(&self, args: &[&str]) -> Output {
        self.run(Some(DELIVERY), args, &[])
    }

    /// Runs the command with a delivery file, and with more variables.
    pub fn run(
        &self,
        delivery: Option<&str>,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Output {
        let files = delivery.map(|delivery| ("delivery.toml", delivery));
        self.run_in(files.as_slice(), args, environment)
    }

    /// Runs the command in a project with these files.
    pub fn run_in(
        &self,
        files: &[(&str, &str)],
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Output {
        let project = TempDir::new().unwrap();
        for folder in [".git", ".github"] {
            fs::create_dir(project.path().join(folder)).unwrap();
        }
        for (file, text) in files {
            fs::write(project.path().join(file), text).unwrap();
        }
        let mut command = pipeline(project.path(), &[&["protect"], args].concat());
        let path = if self.kind == Kind::Gitea {
            "/api/v1"
        } else {
            ""
        };
        command
            .env("GITHUB_API_URL", format!("{}{path}", self.address))
            .env("GITHUB_REPOSITORY", "acme/parcel")
            .env("PROTECT_TOKEN", TOKEN)
            .env("DELIVERY_BOT_APP_ID", BOT_APP.to_string())
            .env("DELIVERY_BOT_USER", "delivery-bot")
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        for said in [&output.stdout, &output.stderr] {
            assert!(!String::from_utf8_lossy(said).contains(TOKEN), "{output:?}");
        }
        output
    }

    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub fn writes(&self) -> Vec<String> {
        self.change(|state| state.writes())
    }

    /// Reads or changes the object with a name.
    pub fn with<T>(&self, name: &str, change: impl FnOnce(&mut Value) -> T) -> T {
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

    pub fn look(&self, name: &str) -> Value {
        self.with(name, |object| object.clone())
    }
}

/// The answer of the forge, which only an administrator gets.
fn answer(request: &http::Request, state: &mut State) -> (u16, Value) {
    let authorized = request.header("authorization") == Some(&format!("Bearer {TOKEN}"));
    let base = match state.kind {
        Kind::GitHub => "/repos/acme/parcel",
        Kind::Gitea => "/api/v1/repos/acme/parcel",
    };
    match request.target().strip_prefix(base) {
        Some(path) if authorized => state.answer(request.method(), path, request.json()),
        _ => (401, json!({"message": "who are you?"})),
    }
}
