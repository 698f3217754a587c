//! A repository with environments and a forge that keeps pull requests in memory, for the tests of several commands.

#![allow(dead_code, reason = "not every test needs all of it")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::common::{DELIVERY, commit, git, pipeline, succeeded, with_fakes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::Template;
use testkit::github::GitHub;
use testkit::server::Request;

pub const DEV: &str = "charts/waybill/values-dev.yaml";
pub const STAGING: &str = "charts/waybill/values-staging.yaml";
pub const QA: &str = "charts/waybill/values-qa.yaml";
pub const PROD: &str = "charts/waybill/values-prod.yaml";
pub const NONE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The address that GitHub gives to the commits of an App: it has the number of the App's account.
pub const BOT_EMAIL: &str = "7+delivery-bot[bot]@users.noreply.github.com";

pub fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

pub fn values(tag: &str, digest: &str, rest: &str) -> String {
    format!("# Stays.\nimage:\n  tag: {tag} # too\n  digest: {digest}\n\nreplicas: 2\n{rest}")
}

/// The repositories of a [`Project`] before a test changes them.
struct Repositories {
    template: Template,
    /// What dev's image was built from.
    built: String,
}

impl Repositories {
    fn new(delivery: &str) -> Self {
        let mut built = String::new();
        let template = Template::new(|folder| {
            git(folder, &["init", "--quiet", "--bare", "forge.git"]);
            git(folder, &["clone", "--quiet", "forge.git", "clone"]);
            let clone = folder.join("clone");
            git(&clone, &["checkout", "--quiet", "-b", "develop"]);
            commit(&clone, "delivery.toml", delivery);
            for file in [DEV, STAGING, QA, PROD] {
                commit(&clone, file, &values("unreleased", NONE, ""));
            }
            for branch in ["develop", "develop:staging", "develop:qa", "develop:main"] {
                git(&clone, &["push", "--quiet", "origin", branch]);
            }
            built = change_on(&clone, "develop", "src/main.rs", "one");
            change_on(&clone, "develop", DEV, &values("develop-1", &digest(1), ""));
        });
        Self { template, built }
    }
}

/// The repositories with the text of a delivery.toml, which are made once.
fn repositories(delivery: &str) -> Arc<Repositories> {
    static MADE: Mutex<BTreeMap<String, Arc<Repositories>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    let entry = made.entry(delivery.to_owned());
    Arc::clone(entry.or_insert_with(|| Arc::new(Repositories::new(delivery))))
}

/// Commits a file to a branch, at the forge too.
fn change_on(clone: &Path, branch: &str, file: &str, text: &str) -> String {
    git(clone, &["fetch", "--quiet", "origin"]);
    let there = format!("origin/{branch}");
    git(clone, &["checkout", "--quiet", "-B", branch, &there]);
    let id = commit(clone, file, text);
    git(clone, &["push", "--quiet", "origin", branch]);
    id
}

/// A forge's repository where develop is ahead of the other branches, and a clone of it.
pub struct Project {
    pub folder: TempDir,
    forge: GitHub,
    /// Open pull requests, as the forge lists them.
    pub pulls: Arc<Mutex<Vec<Value>>>,
    pub seen: Arc<Mutex<Vec<Request>>>,
    /// The commits that have statuses, and the statuses.
    pub statuses: Arc<Mutex<Vec<(String, Value)>>>,
    /// Whether the forge signs the commits that it makes.
    pub signs: Arc<Mutex<bool>>,
    /// What dev's image was built from.
    pub built: String,
}

impl Project {
    pub fn new() -> Self {
        Self::with(DELIVERY)
    }

    /// With the text of a delivery.toml.
    pub fn with(delivery: &str) -> Self {
        let Repositories { template, built } = &*repositories(delivery);
        let folder = template.copy();
        let pulls = Arc::default();
        let seen = Arc::default();
        let statuses = Arc::default();
        let signs = Arc::new(Mutex::new(true));
        let forge = GitHub::start(forge(
            Arc::clone(&pulls),
            Arc::clone(&seen),
            Arc::clone(&statuses),
            folder.path().join("forge.git"),
            Arc::clone(&signs),
        ));
        Self {
            folder,
            forge,
            pulls,
            seen,
            statuses,
            signs,
            built: built.clone(),
        }
    }

    pub fn clone(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    /// Commits a file to develop, at the forge too.
    pub fn change(&self, file: &str, text: &str) -> String {
        self.change_on("develop", file, text)
    }

    pub fn change_on(&self, branch: &str, file: &str, text: &str) -> String {
        change_on(&self.clone(), branch, file, text)
    }

    /// As [`Project::change`], with a message.
    pub fn change_with(&self, file: &str, text: &str, message: &str) -> String {
        self.change(file, text);
        let clone = self.clone();
        let path = self.folder.path().join("message");
        std::fs::write(&path, message).unwrap();
        let path = path.to_str().unwrap();
        git(&clone, &["commit", "--quiet", "--amend", "--file", path]);
        git(&clone, &["push", "--quiet", "--force", "origin", "develop"]);
        git(&clone, &["rev-parse", "HEAD"])
    }

    pub fn promote(&self, arguments: &[&str]) -> Output {
        self.promote_unless_unsigned(arguments, "nothing")
    }

    pub fn promote_unless_unsigned(&self, arguments: &[&str], unsigned: &str) -> Output {
        let mut command = self.command(&[&["promote"], arguments].concat());
        command.env("FAKE_UNSIGNED", unsigned).output().unwrap()
    }

    /// `cargo pipeline …` as ann, with the forge and everything signed.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = pipeline(&self.clone(), arguments);
        with_fakes(&mut command)
            .env("GITHUB_REPOSITORY", "some/body")
            .env("GITHUB_SERVER_URL", "https://forge.example.org")
            .env("GITHUB_API_URL", &self.forge.address)
            .env("GITHUB_ACTOR", "ann")
            .env("DELIVERY_BOT_TOKEN", "t0ken")
            .env("FAKE_COMMIT", &self.built)
            // As a workflow has what nobody asked for.
            .env("GITOPS_REPOSITORY", "")
            .env("PROMOTE_REFRESH", "")
            .env("ROLLBACK_TO", "")
            .env("ROLLBACK_REASON", "");
        command
    }

    /// Proposes an image to an environment, whose branch has the name of the environment, and merges the proposal.
    pub fn merged_to(&self, env: &str) {
        succeeded(&self.promote(&["--to", env]));
        let proposed = format!("refs/heads/promote/{env}");
        self.read(&["update-ref", &format!("refs/heads/{env}"), &proposed]);
    }

    pub fn read(&self, args: &[&str]) -> String {
        git(&self.folder.path().join("forge.git"), args)
    }

    pub fn branches(&self) -> String {
        self.read(&["for-each-ref", "--format=%(refname:short) %(objectname)"])
    }

    /// Sets a commit status, newer than all others.
    pub fn report(&self, commit: &str, by: &str, context: &str, state: &str, text: &str) {
        let mut statuses = self.statuses.lock().unwrap();
        let id = statuses.len() + 1;
        let status = json!({
            "id": id, "context": context, "state": state, "description": text, "target_url": null,
            "creator": {"login": by},
        });
        statuses.push((commit.to_owned(), status));
    }

    /// What was asked to change since the last time.
    pub fn changed(&self) -> Vec<Request> {
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.retain(|request| request.method() != "GET");
        seen
    }
}

/// Makes a commit as GitHub does for an App: the App is its author, and GitHub signs it.
fn make_commit(repository: &Path, asked: &Value, signs: bool) -> Value {
    let run = |args: &[&str], input: &str| -> String {
        let mut git = testkit::git(repository)
            .args(args)
            .env("GIT_AUTHOR_NAME", "delivery-bot[bot]")
            .env("GIT_AUTHOR_EMAIL", BOT_EMAIL)
            .env("GIT_COMMITTER_NAME", "GitHub")
            .env("GIT_COMMITTER_EMAIL", "noreply@github.com")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut git.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = git.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let parents = asked["parents"].as_array().unwrap().iter();
    let parents = parents.flat_map(|parent| ["-p", parent.as_str().unwrap()]);
    let mut args = vec!["commit-tree", asked["tree"].as_str().unwrap()];
    args.extend(parents);
    let unsigned = run(&args, asked["message"].as_str().unwrap());
    let payload = run(&["cat-file", "commit", unsigned.trim()], "");
    let signature = "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";
    if !signs {
        let verification = json!({"verified": false, "signature": null, "payload": null});
        return json!({"sha": unsigned.trim(), "verification": verification});
    }
    let (headers, message) = payload.split_once("\n\n").unwrap();
    let header = signature.trim_end().replace('\n', "\n ");
    let content = format!("{headers}\ngpgsig {header}\n\n{message}");
    let sha = run(&["hash-object", "-t", "commit", "-w", "--stdin"], &content);
    let verification = json!({"verified": true, "signature": signature, "payload": payload});
    json!({"sha": sha.trim(), "verification": verification})
}

fn forge(
    pulls: Arc<Mutex<Vec<Value>>>,
    seen: Arc<Mutex<Vec<Request>>>,
    statuses: Arc<Mutex<Vec<(String, Value)>>>,
    repository: PathBuf,
    signs: Arc<Mutex<bool>>,
) -> impl FnMut(&Request) -> (u16, Value) {
    move |request| {
        seen.lock().unwrap().push(request.clone());
        let mut pulls = pulls.lock().unwrap();
        match request.method() {
            "GET" if request.target().contains("/statuses?") => {
                let all = statuses.lock().unwrap();
                let target = request.target();
                let of = all.iter().filter(|(commit, _)| target.contains(commit));
                let found: Vec<&Value> = of.map(|(_, status)| status).collect();
                (200, json!(found))
            }
            "GET" => (200, json!(*pulls)),
            "POST" if request.target().ends_with("/git/commits") => {
                let signs = *signs.lock().unwrap();
                (201, make_commit(&repository, &request.json(), signs))
            }
            "POST" => {
                let asked = request.json();
                let pull = pull(
                    7,
                    asked["head"].as_str().unwrap(),
                    asked["base"].as_str().unwrap(),
                    "some/body",
                );
                pulls.push(pull.clone());
                (201, pull)
            }
            _ => (200, pulls.last().unwrap().clone()),
        }
    }
}

pub fn pull(number: u32, head: &str, base: &str, repository: &str) -> Value {
    json!({
        "number": number,
        "state": "open",
        "html_url": format!("https://forge.example.org/some/body/pulls/{number}"),
        "head": {"ref": head, "repo": {"full_name": repository}},
        "base": {"ref": base, "repo": {"full_name": "some/body"}},
    })
}
