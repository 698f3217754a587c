//! `cargo pipeline coverage` and `comment` from outside. Cargo is a stand-in that reports whatever a test wants it
//! to, and the forge is one in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/http.rs"]
mod http;

use common::{commit, failed, git, pipeline, succeeded};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The thresholds of this project itself, with a floor of 90 % and a minimum of 70 %.
const THRESHOLDS: &str = include_str!("../../../quality.toml");

const MARKER: &str = "<!-- waybill:coverage -->";

/// Notes what it is asked for; its report is the file `lcov`, unless a kind of test fails.
const CARGO: &str = r#"#!/bin/sh
set -eu
echo "cargo $*" >> "$FAKE/log"
case "$*" in
  metadata*)
    cat "$FAKE/metadata.json"
    ;;
  *--lib*) exit "${FAKE_UNIT-0}" ;;
  *report*) for file; do :; done; cp "$FAKE/lcov" "$file" ;;
esac
"#;

/// A project whose programs are stand-ins.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet", "clone"]);
        let project = Self { folder };
        for (name, text) in [
            ("cargo", CARGO),
            ("rustc", "#!/bin/sh\necho rustc 1.0\n"),
            ("cargo-llvm-cov", "#!/bin/sh\n"),
        ] {
            let file = project.path("bin").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for file in [
            "src/app.rs",
            "src/main.rs",
            "crates/pipeline/src/main.rs",
            "crates/pipeline/src/tags.rs",
            "crates/lab/src/main.rs",
            "tests/api/main.rs",
        ] {
            project.commit(file, "fn main() {}\n");
        }
        project.commit(".gitignore", "/target/\n");
        project.commit("quality.toml", THRESHOLDS);
        project.write_metadata();
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn commit(&self, file: &str, text: &str) -> String {
        commit(&self.path("clone"), file, text)
    }

    /// What `cargo metadata` prints: two packages, with the tests `api` and `tags`.
    fn write_metadata(&self) {
        let target = |kind: &str, name: &str| {
            json!({
                "kind": [kind], "crate_types": ["bin"], "name": name, "src_path": "/p/x.rs", "edition": "2024",
            })
        };
        let package = |name: &str, targets: Vec<Value>| {
            json!({
                "name": name, "version": "0.1.0", "id": name, "dependencies": [], "features": {},
                "manifest_path": "/p/Cargo.toml", "targets": targets,
            })
        };
        let metadata = json!({
            "packages": [
                package("waybill", vec![target("lib", "waybill"), target("test", "api")]),
                package("pipeline", vec![target("test", "tags")]),
            ],
            "workspace_members": [], "resolve": null, "workspace_root": "/p", "target_directory": "/p/target",
            "version": 1,
        });
        fs::write(self.path("metadata.json"), metadata.to_string()).unwrap();
    }

    fn head(&self) -> String {
        git(&self.path("clone"), &["rev-parse", "HEAD"])
    }

    fn step(&self, words: &[&str]) -> Command {
        let mut command = pipeline(&self.path("clone"), words);
        let path = std::env::var_os("PATH").unwrap();
        // One that is really there must not stand in for one that a test removes.
        let others =
            std::env::split_paths(&path).filter(|dir| !dir.join("cargo-llvm-cov").exists());
        let folders = std::iter::once(self.path("bin")).chain(others);
        command
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("FAKE", self.folder.path())
            .env("GITHUB_STEP_SUMMARY", self.path("summary"));
        command
    }

    /// `coverage`, with the report that a test wants.
    fn coverage(&self, lcov: &str) -> Output {
        fs::write(self.path("lcov"), lcov).unwrap();
        let _ = fs::remove_file(self.path("log"));
        self.step(&["coverage"]).output().unwrap()
    }

    /// The same, of lines in tenths of the files of the two packages.
    fn measure(&self, waybill: usize, pipeline: usize) {
        let lcov = self.file("src/app.rs", waybill, 1000)
            + &self.file("crates/pipeline/src/tags.rs", pipeline, 1000);
        self.coverage(&lcov);
    }

    /// A file's part of the report.
    fn file(&self, file: &str, covered: usize, total: usize) -> String {
        let path = self.path("clone").join(file);
        let line = |number| format!("DA:{number},{}\n", u8::from(number <= covered));
        let lines: String = (1..=total).map(line).collect();
        format!("SF:{}\n{lines}end_of_record\n", path.display())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn figures(&self) -> Value {
        let text = self.read("clone/target/coverage/coverage.json");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn set_figures(&self, text: &str) {
        let file = self.path("clone/target/coverage/coverage.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// `comment`, as a job that answers an event.
    fn comment(&self, forge: &Forge, event: &str, payload: &Value, words: &[&str]) -> Output {
        fs::write(self.path("event.json"), payload.to_string()).unwrap();
        let mut command = self.step(&[&["comment"], words].concat());
        command
            .env("GITHUB_API_URL", &forge.url)
            .env("GITHUB_REPOSITORY", "some/body")
            .env("GITHUB_TOKEN", "s3cret-t0ken")
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_EVENT_PATH", self.path("event.json"))
            .env("GITHUB_REF", "refs/heads/x")
            .env("GITHUB_SHA", self.head())
            .envs(forge.settings.iter().map(|(name, value)| (*name, *value)))
            .output()
            .unwrap()
    }

    fn pull_request(&self, forge: &Forge, words: &[&str]) -> Output {
        let pull = json!({"number": 7, "head": {"sha": HEAD}});
        self.comment(forge, "pull_request", &json!({"pull_request": pull}), words)
    }
}

const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const BASE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const OLDER: &str = "cccccccccccccccccccccccccccccccccccccccc";
const OLDEST: &str = "dddddddddddddddddddddddddddddddddddddddd";

/// What the forge in memory knows.
#[derive(Default)]
struct Memory {
    comments: Vec<Value>,
    statuses: BTreeMap<String, Vec<Value>>,
    pulls: Vec<Value>,
    files: Vec<Value>,
    /// Methods and paths of all requests.
    requests: Vec<String>,
    /// Answers every change with 403.
    refuses: bool,
}

/// A forge on loopback, until the tests end.
struct Forge {
    url: String,
    /// Whom the token belongs to.
    login: &'static str,
    settings: Vec<(&'static str, &'static str)>,
    memory: Arc<Mutex<Memory>>,
}

impl Forge {
    fn github() -> Self {
        Self::start("", "github-actions[bot]")
    }

    fn gitea() -> Self {
        Self::start("/api/v1", "gitea-actions")
    }

    /// With one pull request of ours, numbered 7.
    fn start(path: &str, login: &'static str) -> Self {
        let memory = Arc::new(Mutex::new(Memory {
            pulls: vec![pull(7, HEAD, "some/body")],
            ..Memory::default()
        }));
        let (shared, prefix) = (Arc::clone(&memory), format!("{path}/repos/some/body"));
        let address = http::serve(move |request| {
            let target = request.target();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let path = path.strip_prefix(&prefix).unwrap_or("elsewhere");
            let mut memory = shared.lock().unwrap();
            let (status, answer) =
                memory.answer(request.method(), path, query, &request.json(), login);
            (status, answer.to_string())
        });
        let url = format!("{address}{path}");
        Self {
            url,
            login,
            settings: Vec::new(),
            memory,
        }
    }

    fn remember<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.lock().unwrap())
    }

    /// The texts of all comments.
    fn comments(&self) -> Vec<String> {
        let text = |comment: &Value| comment["body"].as_str().unwrap().to_owned();
        self.remember(|memory| memory.comments.iter().map(text).collect())
    }

    /// The one comment there must be.
    fn comment(&self) -> String {
        let comments = self.comments();
        assert_eq!(comments.len(), 1, "{comments:?}");
        comments[0].clone()
    }

    /// What was asked to be changed.
    fn changes(&self) -> Vec<String> {
        let change = |request: &&String| !request.starts_with("GET ");
        self.remember(|memory| memory.requests.iter().filter(change).cloned().collect())
    }

    fn add_comment(&self, login: &str, body: &str) {
        self.remember(|memory| {
            let id = memory.comments.len() + 1;
            let comment = json!({"id": id, "user": {"login": login}, "body": body});
            memory.comments.push(comment);
        });
    }

    fn add_status(&self, commit: &str, context: &str, description: &str) {
        self.remember(|memory| {
            let statuses = memory.statuses.entry(commit.to_owned()).or_default();
            let id = statuses.len() + 1;
            // The forges give the newest first.
            let status = json!({"id": id, "context": context, "description": description});
            statuses.insert(0, status);
        });
    }
}

fn pull(number: u64, head: &str, repository: &str) -> Value {
    json!({
        "number": number,
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
                // It has no pages here.
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
            ("GET", ["pulls", "7", "files"]) => (200, page(&self.files)),
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
                let parents: Vec<_> = parent.iter().map(|(_, sha)| json!({"sha": sha})).collect();
                (200, json!({"sha": commit, "parents": parents}))
            }
            _ => (404, json!({"message": "Not Found"})),
        }
    }
}

#[test]
fn lines_are_counted_by_package() {
    let project = Project::new();
    let lcov = [
        project.file("src/app.rs", 19, 20),
        project.file("src/main.rs", 8, 10),
        project.file("crates/pipeline/src/tags.rs", 39, 40),
        project.file("crates/lab/src/main.rs", 1, 10),
        project.file("tests/api/main.rs", 0, 100),
    ];
    let said = succeeded(&project.coverage(&lcov.concat()));

    for row in [
        "| `waybill`  |  90.0 % | 27 of 30 | 90.0 % |",
        "| `pipeline` |  97.5 % | 39 of 40 | 90.0 % |",
        "| `lab`      |  10.0 % |  1 of 10 |   none |",
        "| `src/main.rs`                 |  80.0 % | 2 of 10 |",
    ] {
        assert!(said.contains(row), "{row} is not in {said}");
        assert!(project.read("summary").contains(row), "{row}");
    }
    assert!(!said.contains("tests/api"), "{said}");
    let lines = |covered: u64, total: u64| json!({"covered": covered, "total": total});
    let expected = json!({
        "commit": project.head(),
        "packages": {
            "waybill": lines(27, 30),
            "pipeline": lines(39, 40),
            "lab": lines(1, 10),
        },
        "files": {
            "src/app.rs": lines(19, 20),
            "src/main.rs": lines(8, 10),
            "crates/pipeline/src/tags.rs": lines(39, 40),
            "crates/lab/src/main.rs": lines(1, 10),
        },
    });
    assert_eq!(project.figures(), expected);
}

#[test]
fn a_line_counts_once_and_tests_in_the_same_file_do_not() {
    let project = Project::new();
    let source = "fn a() {}\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
    project.commit("src/app.rs", source);
    // In one program it ran, in the other, which was built in the folder of another job, it did not.
    let lcov = "SF:CLONE/src/app.rs\nDA:1,3\nDA:2,0\nDA:6,1\nend_of_record\n\
                SF:/elsewhere/job/src/app.rs\nDA:1,0\nDA:2,0\nDA:6,1\nend_of_record\n\
                SF:/elsewhere/job/crates/pipeline/src/main.rs\nDA:1,1\nend_of_record\n";
    let clone = project.path("clone").display().to_string();
    project.coverage(&lcov.replace("CLONE", &clone));
    let files = &project.figures()["files"];
    assert_eq!(files["src/app.rs"], json!({"covered": 1, "total": 2}));
    assert_eq!(
        files["crates/pipeline/src/main.rs"],
        json!({"covered": 1, "total": 1})
    );
    assert_eq!(files.as_object().unwrap().len(), 2, "{files}");
}

#[test]
fn tests_must_pass_and_those_of_the_service_from_outside_are_only_measured() {
    let project = Project::new();
    let report =
        project.file("src/app.rs", 1, 1) + &project.file("crates/pipeline/src/main.rs", 1, 1);
    succeeded(&project.coverage(&report));
    let log = project.read("log");
    for words in [
        "llvm-cov --no-report --workspace --locked --lib --bins --test tags\n",
        "llvm-cov --no-report --workspace --locked --ignore-run-fail --test api\n",
        "llvm-cov report --workspace --lcov --output-path target/coverage/lcov.info\n",
    ] {
        assert!(log.contains(words), "{words} is not in {log}");
    }

    let project = Project::new();
    let mut coverage = project.step(&["coverage"]);
    let said = failed(&coverage.env("FAKE_UNIT", "101").output().unwrap());
    assert!(said.contains("tests must pass"), "{said}");
    assert_eq!(project.figures(), Value::Null);
}

#[test]
fn below_the_floor_is_an_error_that_names_the_files() {
    let project = Project::new();
    let lcov = [
        project.file("src/app.rs", 8999, 10000),
        project.file("crates/pipeline/src/tags.rs", 100, 100),
        project.file("crates/pipeline/src/main.rs", 3, 40),
    ];
    let said = failed(&project.coverage(&lcov.concat()));
    for part in [
        "below the floor of 90.0 % (quality.toml)",
        "waybill has 89.9 % of its lines covered; most are missing in src/app.rs (1001 of 10000)",
        "pipeline has 73.5 % of its lines covered; most are missing in crates/pipeline/src/main.rs (37 of 40). ",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // The pull request is told all the same.
    assert_eq!(project.figures()["commit"], project.head());
}

#[test]
fn a_package_that_was_not_measured_is_below_the_floor() {
    let project = Project::new();
    let said = failed(&project.coverage(&project.file("src/app.rs", 10, 10)));
    assert!(said.contains("pipeline has 0.0 %"), "{said}");
    let said = failed(&project.coverage(""));
    assert!(said.contains("has no file of this project"), "{said}");
    let said = failed(&project.coverage(&format!("{}DA:x,1\n", project.file("src/app.rs", 1, 1))));
    assert!(said.contains("DA:x,1"), "{said}");
}

#[test]
fn a_floor_that_is_none_is_refused_before_anything_runs() {
    for (floor, instead, reason) in [
        (
            "floor = 90.0",
            "floor = 69.9",
            "`floor` is 69.9, below the `minimum` of 70",
        ),
        ("minimum = 70.0\n", "", "missing field `minimum`"),
        (
            "floor = 90.0",
            "floor = \"90\"",
            "invalid type: string \"90\"",
        ),
        ("floor = 90.0", "floor = 101", "`floor` must be a number"),
        ("floor = 90.0", "floor = nan", "`floor` must be a number"),
        ("[coverage]", "", "unknown field `floor`"),
        ("[coverage]", "coverage", "cannot use quality.toml"),
    ] {
        let project = Project::new();
        assert!(THRESHOLDS.contains(floor), "{floor}");
        project.commit("quality.toml", &THRESHOLDS.replace(floor, instead));
        let said = failed(&project.coverage(""));
        assert!(
            said.contains("quality.toml") && said.contains(reason),
            "{instead}: {said}"
        );
        assert_eq!(project.read("log"), "", "{instead}");
    }
    let project = Project::new();
    fs::remove_file(project.path("clone/quality.toml")).unwrap();
    assert!(failed(&project.coverage("")).contains("cannot read"));
}

#[test]
fn where_to_get_a_missing_tool_is_said() {
    let project = Project::new();
    fs::remove_file(project.path("bin/cargo-llvm-cov")).unwrap();
    let said = failed(&project.coverage(""));
    assert!(
        said.contains("`cargo pipeline tools coverage` installs it"),
        "{said}"
    );
    assert_eq!(project.read("log"), "");
}

#[test]
fn programs_are_built_again_only_when_their_names_may_change() {
    let project = Project::new();
    let cleaned = || {
        project.measure(1000, 1000);
        let log = project.read("log");
        let clean = log
            .lines()
            .find_map(|line| line.strip_prefix("cargo llvm-cov clean "));
        clean.unwrap().to_owned()
    };
    assert_eq!(cleaned(), "--workspace");
    assert_eq!(cleaned(), "--profraw-only");
    project.commit("src/app.rs", "fn other() {}\n");
    assert_eq!(cleaned(), "--profraw-only");
    project.commit("Cargo.lock", "another dependency");
    assert_eq!(cleaned(), "--workspace");
    fs::write(project.path("bin/rustc"), "#!/bin/sh\necho rustc 2.0\n").unwrap();
    assert_eq!(cleaned(), "--workspace");
}

#[test]
fn a_pull_request_has_one_comment_which_is_updated() {
    for forge in [Forge::github(), Forge::gitea()] {
        let project = Project::new();
        // More than a page, and two that only look like ours.
        for number in 0..60 {
            forge.add_comment("somebody", &format!("comment {number}"));
        }
        forge.add_comment("mallory", &format!("{MARKER}\nnot yours"));
        forge.add_comment(forge.login, &format!("A quotation: {MARKER}"));
        let before = forge.comments();

        project.measure(931, 910);
        succeeded(&project.pull_request(&forge, &[]));
        let first = forge.comments();
        assert_eq!(first.len(), before.len() + 1);
        let ours = first.last().unwrap();
        for part in [
            MARKER,
            "## Coverage",
            "| `waybill`  |  93.1 % |",
            "| `pipeline` |  91.0 % |",
            "at aaaaaaa; the base branch has no coverage to compare with",
        ] {
            assert!(ours.contains(part), "{part} is not in {ours}");
        }

        // The same again changes nothing.
        succeeded(&project.pull_request(&forge, &[]));
        assert_eq!(forge.changes(), ["POST /issues/7/comments"]);

        project.measure(955, 910);
        succeeded(&project.pull_request(&forge, &[]));
        let second = forge.comments();
        assert_eq!(second.len(), first.len());
        assert!(second.last().unwrap().contains("95.5 %"), "{second:?}");
        assert_eq!(second[..before.len()], before);
        assert_eq!(forge.changes().len(), 2);
    }
}

#[test]
fn an_account_of_its_own_must_be_named() {
    let project = Project::new();
    project.measure(1000, 1000);
    let mut forge = Forge::start("", "commentator");
    forge.settings = vec![("COMMENT_TOKEN", "s3cret")];
    let said = failed(&project.pull_request(&forge, &[]));
    assert!(
        said.contains("COMMENT_AUTHOR must name the account of the token"),
        "{said}"
    );
    assert_eq!(forge.changes(), [""; 0]);

    forge.settings.push(("COMMENT_AUTHOR", "commentator"));
    succeeded(&project.pull_request(&forge, &[]));
    succeeded(&project.pull_request(&forge, &[]));
    forge.comment();
}

#[test]
fn what_a_push_reports_is_what_a_pull_request_is_compared_with() {
    let forge = Forge::gitea();
    let project = Project::new();
    project.measure(920, 915);
    succeeded(&project.comment(&forge, "push", &json!({}), &[]));
    let status = forge.remember(|memory| memory.statuses[&project.head()][0].clone());
    assert_eq!(status["context"], "coverage");
    assert_eq!(status["state"], "success");
    let description = "waybill 92.0 %, pipeline 91.5 %, lab 0.0 %";
    assert_eq!(status["description"], description);

    // The base's tip has only other statuses; the newest of the commit before counts.
    forge.add_status(BASE, "ci / lint", "waybill 1.0 %");
    forge.add_status(OLDER, "coverage", "waybill 1.0 %");
    forge.add_status(OLDER, "coverage", description);
    forge.add_status(OLDEST, "coverage", "waybill 2.0 %");
    project.measure(931, 904);
    succeeded(&project.pull_request(&forge, &[]));
    let comment = forge.comment();
    for part in [
        "| Package    | Covered |   Base | Change |",
        "| `waybill`  |  93.1 % | 92.0 % |   +1.1 |",
        "| `pipeline` |  90.4 % | 91.5 % |   -1.1 |",
        "compared with ccccccc.",
    ] {
        assert!(comment.contains(part), "{part} is not in {comment}");
    }
}

#[test]
fn a_push_below_the_floor_says_so() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(899, 1000);
    succeeded(&project.comment(&forge, "push", &json!({}), &[]));
    let status = forge.remember(|memory| memory.statuses[&project.head()][0].clone());
    assert_eq!(status["state"], "failure");
}

#[test]
fn a_status_that_says_something_else_is_not_a_figure() {
    let forge = Forge::github();
    let project = Project::new();
    for description in [
        "",
        "waybill",
        "waybill 100.1 %",
        "waybill 1.23 %",
        "waybill -1.0 %",
        "<b> 1.0 %",
        "waybill 99999999999999999999.0 %",
        "waybill 1.0 % and [more](https://example.org)",
    ] {
        forge.remember(|memory| memory.statuses.clear());
        forge.add_status(BASE, "coverage", description);
        project.measure(1000, 1000);
        succeeded(&project.pull_request(&forge, &[]));
        let comment = forge.comment();
        assert!(
            comment.contains("no coverage to compare with"),
            "{description}: {comment}"
        );
    }
}

#[test]
fn the_pull_requests_files_are_listed_with_the_largest_drop_first() {
    let forge = Forge::github();
    let project = Project::new();
    let report = |app: usize, main: usize| {
        [
            project.file("src/app.rs", app, 100),
            project.file("src/main.rs", main, 100),
            project.file("crates/pipeline/src/main.rs", 50, 100),
            project.file("crates/pipeline/src/tags.rs", 100, 100),
            project.file("crates/lab/src/main.rs", 1, 100),
        ]
        .concat()
    };
    project.coverage(&report(98, 95));
    let base = project.path("base.json");
    fs::copy(project.path("clone/target/coverage/coverage.json"), &base).unwrap();
    project.coverage(&report(90, 80));
    for file in [
        "crates/pipeline/src/main.rs",
        "crates/pipeline/src/tags.rs",
        "src/app.rs",
        "src/main.rs",
        "README.md",
        "src/new`|<b>.rs",
    ] {
        forge.remember(|memory| memory.files.push(json!({"filename": file})));
    }
    let base = base.display().to_string();
    succeeded(&project.pull_request(&forge, &["--base", &base]));
    let comment = forge.comment();
    let expected = "\
| File                          | Covered |   Base | Change |   Missing |
|:------------------------------|--------:|-------:|-------:|----------:|
| `src/main.rs`                 |  80.0 % | 95.0 % |  -15.0 | 20 of 100 |
| `src/app.rs`                  |  90.0 % | 98.0 % |   -8.0 | 10 of 100 |
| `crates/pipeline/src/main.rs` |  50.0 % | 50.0 % |    0.0 | 50 of 100 |

";
    assert!(comment.contains(expected), "{comment}");
    assert!(
        comment.contains(&format!("compared with {}", &project.head()[..7])),
        "{comment}"
    );

    // Without them, what is missing most comes first.
    succeeded(&project.pull_request(&forge, &[]));
    let comment = forge.comment();
    let list = "| File                          | Covered |   Missing |\n|:";
    assert!(comment.contains(list), "{comment}");
    let place = |file: &str| comment.find(file).unwrap();
    assert!(
        place("`crates/pipeline/src/main.rs`") < place("`src/main.rs`"),
        "{comment}"
    );
    assert!(place("`src/main.rs`") < place("`src/app.rs`"), "{comment}");
    assert!(!comment.contains("crates/lab/src/main.rs"), "{comment}");
}

#[test]
fn the_run_of_another_workflow_comments_where_its_head_is() {
    let run = |event: &str, repository: Value| {
        json!({"workflow_run": {
            "event": event, "head_sha": HEAD, "head_repository": {"full_name": repository},
            // Not believed: they name the base's own branches only, and are empty for a fork.
            "pull_requests": [{"number": 9}],
        }})
    };
    let forge = Forge::github();
    forge.remember(|memory| {
        memory.pulls = (100..160)
            .map(|number| pull(number, OLDER, "fork/body"))
            .collect();
        memory.pulls.push(pull(9, HEAD, "other/body"));
        memory.pulls.push(pull(8, HEAD, "fork/body"));
    });
    let project = Project::new();
    project.measure(1000, 1000);
    // The run is not one of this checkout.
    project.commit("src/app.rs", "fn later() {}\n");
    let payload = run("pull_request", json!("fork/body"));
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    assert_eq!(forge.changes(), ["POST /issues/8/comments"]);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    assert_eq!(forge.changes().len(), 1);

    for payload in [
        run("push", json!("fork/body")),
        run("pull_request", json!("third/body")),
    ] {
        let said = succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
        assert!(said.contains("no open pull request"), "{said}");
    }
    assert_eq!(forge.changes().len(), 1);

    // Gitea doesn't say where the head lies, and has another word for a pull request that was pushed to.
    let forge = Forge::gitea();
    forge.remember(|memory| memory.pulls.push(pull(8, OLDER, "fork/body")));
    let payload = run("pull_request_sync", Value::Null);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    assert_eq!(forge.changes(), ["POST /issues/7/comments"]);
}

#[test]
fn a_pull_request_that_moved_on_is_left_to_its_newer_run() {
    let forge = Forge::github();
    forge.remember(|memory| memory.pulls = vec![pull(7, OLDER, "some/body")]);
    let project = Project::new();
    project.measure(1000, 1000);
    let said = succeeded(&project.pull_request(&forge, &[]));
    assert!(said.contains("pull request 7 has newer commits"), "{said}");
    assert_eq!(forge.changes(), [""; 0]);
}

#[test]
fn figures_that_are_not_figures_reach_no_forge() {
    let lines = r#"{"covered": 1, "total": 2}"#;
    let with = |file: &str, lines: &str| {
        let file = Value::from(file);
        format!(r#"{{"commit": "{HEAD}", "files": {{{file}: {lines}}}}}"#)
    };
    let mut hostile = vec![
        "not JSON".to_owned(),
        "[]".to_owned(),
        format!(r#"{{"commit": "{HEAD}"}}"#),
        format!(r#"{{"commit": "{HEAD}", "files": []}}"#),
        format!(r#"{{"commit": "HEAD", "files": {{"src/app.rs": {lines}}}}}"#),
        format!(
            r#"{{"commit": "{HEAD}", "files": {{}}, "pad": "{}"}}"#,
            "x".repeat(1_000_000)
        ),
    ];
    for file in [
        "",
        "src/`</td><script>.rs",
        "src/[a](https://example.org).rs",
        "src/@everybody.rs",
        "src/a\n::set-output.rs",
        "src/ä.rs",
        &"a".repeat(201),
    ] {
        hostile.push(with(file, lines));
    }
    for lines in [
        "1",
        r#"{"covered": 3, "total": 2}"#,
        r#"{"covered": -1, "total": 2}"#,
        r#"{"covered": 0.5, "total": 2}"#,
        r#"{"covered": "1", "total": 2}"#,
        r#"{"covered": 1}"#,
        r#"{"covered": 1, "total": 18446744073709551615}"#,
    ] {
        hostile.push(with("src/app.rs", lines));
    }
    let forge = Forge::github();
    let project = Project::new();
    let run = json!({"event": "pull_request", "head_sha": HEAD});
    let payload = json!({"workflow_run": run});
    for text in hostile {
        project.set_figures(&text);
        let words = ["--optional"];
        let output = project.comment(&forge, "workflow_run", &payload, &words);
        let said = failed(&output);
        assert!(
            said.contains("cannot use") && said.contains("as coverage figures"),
            "{said}"
        );
        assert!(!said.contains("<script>"), "{said}");
    }
    assert_eq!(forge.remember(|memory| memory.requests.clone()), [""; 0]);
    // What is known is taken, and what isn't known goes no further.
    let more = format!(
        r#"{{"commit": "{HEAD}", "files": {{"src/app.rs": {lines}}}, "packages": {{"<script>": 1}}, "body": "<b>"}}"#
    );
    project.set_figures(&more);
    succeeded(&project.comment(&forge, "workflow_run", &payload, &[]));
    let comment = forge.comment();
    assert!(
        comment.contains("50.0 %") && !comment.contains("<script>"),
        "{comment}"
    );
    assert!(!comment.contains("<b>"), "{comment}");
}

#[test]
fn figures_of_another_commit_are_refused() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(1000, 1000);
    project.commit("src/app.rs", "fn later() {}\n");
    for event in ["push", "pull_request"] {
        let said = failed(&project.comment(&forge, event, &json!({}), &["--optional"]));
        assert!(
            said.contains("run `cargo pipeline coverage` first"),
            "{said}"
        );
    }
    assert_eq!(forge.changes(), [""; 0]);
}

#[test]
fn a_token_that_may_not_write_is_an_error_unless_that_was_expected() {
    let mut forge = Forge::github();
    forge.remember(|memory| memory.refuses = true);
    let project = Project::new();
    project.measure(931, 1000);
    let refused = "answered 403: Resource not accessible by integration";
    let output = project.pull_request(&forge, &[]);
    assert!(failed(&output).contains(refused));
    assert!(String::from_utf8_lossy(&output.stdout).contains("93.1 %"));

    forge.settings = vec![("GITHUB_ACTIONS", "true")];
    let said = succeeded(&project.pull_request(&forge, &["--optional"]));
    assert!(said.contains("93.1 %") && said.contains(refused), "{said}");
    assert!(
        said.contains("::notice::the coverage was not reported"),
        "{said}"
    );
    assert!(!said.contains("s3cret"), "{said}");

    forge.settings = vec![("GITHUB_TOKEN", "")];
    let said = failed(&project.pull_request(&forge, &[]));
    assert!(
        said.contains("neither COMMENT_TOKEN nor GITHUB_TOKEN is set"),
        "{said}"
    );
    succeeded(&project.pull_request(&forge, &["--optional"]));
}

#[test]
fn an_event_without_a_pull_request_is_an_error() {
    let forge = Forge::github();
    let project = Project::new();
    project.measure(1000, 1000);
    for (event, reason) in [
        (
            "schedule",
            "the event `schedule` has no commit or pull request",
        ),
        ("pull_request_target", "has no commit or pull request"),
        ("pull_request", "does not name its pull request"),
    ] {
        let said = failed(&project.comment(&forge, event, &json!({}), &[]));
        assert!(said.contains(reason), "{event}: {said}");
    }
    let run = json!({"event": "pull_request", "head_sha": "x"});
    let said = failed(&project.comment(&forge, "workflow_run", &json!({"workflow_run": run}), &[]));
    assert!(
        said.contains("does not name the commit that was measured"),
        "{said}"
    );
}
