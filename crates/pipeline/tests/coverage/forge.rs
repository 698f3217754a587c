//! A fake forge with the pull requests, comments and statuses of one repository.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use crate::http;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use testkit::github::{GitHub, not_found};

pub const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub const BASE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
pub const OLDER: &str = "cccccccccccccccccccccccccccccccccccccccc";
pub const OLDEST: &str = "dddddddddddddddddddddddddddddddddddddddd";
/// The head of a merged pull request.
pub const MERGED: &str = "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

/// The content of the forge.
#[derive(Default)]
pub struct Memory {
    pub comments: Vec<Value>,
    pub statuses: BTreeMap<String, Vec<Value>>,
    pub pulls: Vec<Value>,
    pub files: Vec<Value>,
    /// Merges, each with the head that it merges.
    pub merged: Vec<(&'static str, &'static str)>,
    /// Methods and paths of all requests.
    pub requests: Vec<String>,
    /// Answers every change with 403.
    pub refuses: bool,
}

/// The forge, on its own port.
pub struct Forge {
    pub url: String,
    /// The account of the token.
    pub login: &'static str,
    pub settings: Vec<(&'static str, &'static str)>,
    memory: Arc<Mutex<Memory>>,
    /// Compares requests and answers with GitHub's description, also when it is dropped.
    _github: Option<GitHub>,
}

impl Forge {
    pub fn github() -> Self {
        Self::start("", "github-actions[bot]")
    }

    pub fn gitea() -> Self {
        Self::start("/api/v1", "gitea-actions")
    }

    /// A forge with one pull request from the repository itself, number 7.
    pub fn start(path: &str, login: &'static str) -> Self {
        let memory = Arc::new(Mutex::new(Memory {
            pulls: vec![pull(7, HEAD, "some/body")],
            ..Memory::default()
        }));
        let (shared, prefix) = (Arc::clone(&memory), format!("{path}/repos/some/body"));
        let answer = move |request: &http::Request| {
            let target = request.target();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let path = path.strip_prefix(&prefix).unwrap_or("elsewhere");
            let mut memory = shared.lock().unwrap();
            memory.answer(request.method(), path, query, &request.json(), login)
        };
        let (address, github) = match path {
            "" => {
                let github = GitHub::start(answer);
                (github.address.clone(), Some(github))
            }
            _ => {
                let serve = move |request: http::Request| {
                    let (status, answer) = answer(&request);
                    (status, answer.to_string())
                };
                (http::serve(serve), None)
            }
        };
        let url = format!("{address}{path}");
        Self {
            url,
            login,
            settings: Vec::new(),
            memory,
            _github: github,
        }
    }

    pub fn remember<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.lock().unwrap())
    }

    /// The texts of all comments.
    pub fn comments(&self) -> Vec<String> {
        let text = |comment: &Value| comment["body"].as_str().unwrap().to_owned();
        self.remember(|memory| memory.comments.iter().map(text).collect())
    }

    /// The only comment.
    pub fn comment(&self) -> String {
        let comments = self.comments();
        assert_eq!(comments.len(), 1, "{comments:?}");
        comments[0].clone()
    }

    /// Method and path of each request that changes something.
    pub fn changes(&self) -> Vec<String> {
        let change = |request: &&String| !request.starts_with("GET ");
        self.remember(|memory| memory.requests.iter().filter(change).cloned().collect())
    }

    pub fn add_comment(&self, login: &str, body: &str) {
        self.remember(|memory| {
            let id = memory.comments.len() + 1;
            let comment = json!({"id": id, "user": {"login": login}, "body": body});
            memory.comments.push(comment);
        });
    }

    pub fn add_status(&self, commit: &str, context: &str, description: &str) {
        self.remember(|memory| {
            let statuses = memory.statuses.entry(commit.to_owned()).or_default();
            let id = statuses.len() + 1;
            // Forges return the newest first.
            let status = json!({"id": id, "context": context, "description": description});
            statuses.insert(0, status);
        });
    }
}

/// A pull request from a repository.
pub fn pull(number: u64, head: &str, repository: &str) -> Value {
    json!({
        "number": number,
        "state": "open",
        "head": {"sha": head, "repo": {"full_name": repository}},
        "base": {"sha": BASE},
    })
}

impl Memory {
    fn answer(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: &Value,
        login: &str,
    ) -> (u16, Value) {
        self.requests.push(format!("{method} {path}"));
        if self.refuses && method != "GET" {
            return (
                403,
                json!({"message": "Resource not accessible by integration"}),
            );
        }
        let words: Vec<&str> = path.split('/').skip(1).collect();
        let page = |all: &[Value]| {
            let page = query.split('&').find_map(|part| part.strip_prefix("page="));
            let page = page.map_or(0, |page| page.parse::<usize>().unwrap() - 1);
            Value::from_iter(all.iter().skip(page * 50).take(50).cloned())
        };
        match (method, words.as_slice()) {
            ("GET", ["issues", "7" | "8", "comments"]) => match login {
                // Gitea returns this list whole.
                "gitea-actions" => (200, Value::from(self.comments.clone())),
                _ => (200, page(&self.comments)),
            },
            ("POST", ["issues", "7" | "8", "comments"]) => {
                let id = self.comments.len() + 1;
                let comment = json!({"id": id, "user": {"login": login}, "body": body["body"]});
                self.comments.push(comment.clone());
                (201, comment)
            }
            ("PATCH", ["issues", "comments", id]) => {
                let mut comments = self.comments.iter_mut();
                let comment = comments
                    .find(|comment| comment["id"].as_u64() == id.parse().ok())
                    .unwrap();
                comment["body"] = body["body"].clone();
                (200, comment.clone())
            }
            ("GET", ["pulls"]) => (200, page(&self.pulls)),
            ("GET", ["pulls", "7" | "8", "files"]) => (200, page(&self.files)),
            ("GET", ["pulls", "7"]) => (200, self.pulls[0].clone()),
            ("GET", ["commits", commit, "statuses"]) => (
                200,
                page(self.statuses.get(*commit).map_or(&[][..], Vec::as_slice)),
            ),
            ("POST", ["statuses", commit]) => {
                let statuses = self.statuses.entry((*commit).to_owned()).or_default();
                let mut status = body.clone();
                status["id"] = json!(statuses.len() + 1);
                statuses.insert(0, status.clone());
                (201, status)
            }
            ("GET", ["git", "commits", commit]) => {
                let next = [(BASE, OLDER), (OLDER, OLDEST)];
                let parent = next.iter().find(|(child, _)| child == commit);
                let merged = self.merged.iter().find(|(merge, _)| merge == commit);
                let parents = parent.iter().map(|(_, sha)| json!({"sha": sha}));
                let parents: Vec<_> = parents
                    .chain(merged.map(|(_, sha)| json!({"sha": sha})))
                    .collect();
                (200, json!({"sha": commit, "parents": parents}))
            }
            _ => not_found(),
        }
    }
}
