//! `cargo pipeline notify` from outside, against a forge and webhooks on loopback.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{commit, failed, git, pipeline, succeeded};
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, serve};
use serde_json::{Value, json};
use sha2::Sha256;
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::github::{GitHub, not_found};
use testkit::server as http;

const KEY: &str = "s3cret-key";
const TOKEN: &str = "s3cret-token";
/// In every webhook's address.
const PATH: &str = "/services/s3cret-path";

/// An HTTP server that remembers what it was asked.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Compares requests and answers with GitHub's description, also when it is dropped.
    _github: Option<GitHub>,
}

impl Server {
    /// A webhook that answers everything in one way.
    fn webhook(status: u16) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let url = serve(move |request| {
            seen.lock().unwrap().push(request);
            // What a server says may well hold its own address.
            (status, format!("no such service: {PATH}"))
        });
        Self {
            url,
            requests,
            _github: None,
        }
    }

    /// GitHub, which answers a request whose first line has one of these pieces with what belongs to it.
    fn github(answers: Vec<(&'static str, u16, Value)>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let github = GitHub::start(move |request| {
            seen.lock().unwrap().push(request.clone());
            let mut answers = answers.iter();
            let found = answers.find(|(piece, _, _)| request.line.contains(piece));
            found.map_or_else(not_found, |(_, status, answer)| (*status, answer.clone()))
        });
        Self {
            url: github.address.clone(),
            requests,
            _github: Some(github),
        }
    }

    /// A forge with these completed runs.
    fn forge(runs: &Value) -> Self {
        let answer = json!({ "total_count": 1, "workflow_runs": runs });
        Self::github(vec![("/repos/some/body/actions/runs?", 200, answer)])
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// A completed run of this workflow, in GitHub's words.
fn run(number: u64, conclusion: &str) -> Value {
    json!({
        "id": 1000 + number,
        "name": "ci",
        "path": ".github/workflows/ci.yaml",
        "run_number": number,
        "status": "completed",
        "conclusion": conclusion,
    })
}

/// A clone, a forge, and both kinds of webhook.
struct World {
    clone: TempDir,
    commit: String,
    forge: Server,
    slack: Server,
    webhook: Server,
}

impl World {
    fn new(forge: Server) -> Self {
        let clone = tempfile::tempdir().unwrap();
        git(clone.path(), &["init", "--quiet"]);
        Self {
            commit: commit(clone.path(), "file", "text\n"),
            clone,
            forge,
            slack: Server::webhook(200),
            webhook: Server::webhook(204),
        }
    }

    /// Runs the step; whatever becomes of it, it must not tell a secret.
    fn notify(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = pipeline(self.clone.path(), &["notify"]);
        command
            .args(args)
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &self.forge.url)
            .env("GITHUB_SERVER_URL", "https://forge.example.org/")
            .env("GITHUB_TOKEN", TOKEN)
            .env("GITHUB_REPOSITORY", "some/body")
            .env("GITHUB_WORKFLOW", "ci")
            .env(
                "GITHUB_WORKFLOW_REF",
                "some/body/.github/workflows/ci.yaml@refs/heads/develop",
            )
            .env("GITHUB_EVENT_NAME", "push")
            .env("GITHUB_REF", "refs/heads/develop")
            .env("GITHUB_REF_NAME", "develop")
            .env("GITHUB_SHA", &self.commit)
            .env("GITHUB_RUN_ID", "4711")
            .env("GITHUB_RUN_NUMBER", "12")
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_ACTOR", "ada")
            .env("NOTIFY_SLACK_URL", format!("{}{PATH}", self.slack.url))
            .env("NOTIFY_WEBHOOK_URL", format!("{}{PATH}", self.webhook.url))
            .env("NOTIFY_WEBHOOK_SECRET", KEY)
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("s3cret"), "{said}");
        output
    }

    /// Checks that both got one message with this headline, or none.
    fn expect(&self, headline: Option<&str>, when: &str) {
        assert_eq!(self.told(), [usize::from(headline.is_some()); 2], "{when}");
        if let Some(headline) = headline {
            let text = &self.slack.requests()[0].json()["text"];
            let text = text.as_str().unwrap();
            assert!(text.contains(&format!("ci {headline} on")), "{text}");
        }
    }

    /// How many messages Slack and the webhook got.
    fn told(&self) -> [usize; 2] {
        [&self.slack, &self.webhook].map(|server| server.requests().len())
    }
}

#[test]
fn failure_and_recovery_are_told_and_nothing_else() {
    let none = json!([]);
    let ended = |conclusion| json!([run(11, conclusion)]);
    for (before, now, headline) in [
        (none.clone(), "success", None),
        (none.clone(), "failure", Some("fails")),
        (none, "cancelled", None),
        (ended("success"), "success", None),
        (ended("success"), "failure", Some("fails")),
        (ended("success"), "cancelled", None),
        (ended("failure"), "success", Some("works again")),
        (ended("failure"), "failure", Some("still fails")),
        (ended("failure"), "cancelled", None),
        (ended("timed_out"), "success", Some("works again")),
        (ended("startup_failure"), "success", Some("works again")),
        (ended("cancelled"), "success", None),
        (ended("cancelled"), "failure", Some("fails")),
        // A cancelled or skipped run in between doesn't make a failure forgotten.
        (
            json!([
                run(11, "cancelled"),
                run(10, "skipped"),
                run(9, "failure"),
                run(8, "success")
            ]),
            "success",
            Some("works again"),
        ),
    ] {
        let world = World::new(Server::forge(&before));
        succeeded(&world.notify(&["--strict", "--result", now], &[]));
        world.expect(headline, &format!("{now} after {before}"));
    }
}

#[test]
fn both_webhooks_get_what_is_documented() {
    let world = World::new(Server::forge(&json!([run(11, "failure")])));
    let before = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    // The result may come from the environment.
    succeeded(&world.notify(&[], &[("NOTIFY_RESULT", "success")]));

    let slack = &world.slack.requests()[0];
    assert_eq!(slack.line, format!("POST {PATH} HTTP/1.1"));
    assert_eq!(slack.header("content-type"), Some("application/json"));
    assert_eq!(slack.header("x-hub-signature-256"), None);
    let text = format!(
        "some/body: ci works again on develop, at {} “Change file” by ada: <https://forge.example.org/some/body/actions/runs/4711|run 12>",
        &world.commit[..7]
    );
    assert_eq!(slack.json(), json!({ "text": text }));

    let request = &world.webhook.requests()[0];
    let mut object = request.json();
    let time = object["time"].take();
    let time = time.as_str().unwrap();
    assert!(
        *before <= *time && time.parse::<jiff::Timestamp>().is_ok(),
        "{time}"
    );
    assert_eq!(
        object,
        json!({
            "repository": "some/body",
            "workflow": "ci",
            "branch": "develop",
            "commit": world.commit,
            "result": "success",
            "previous_result": "failure",
            "run_url": "https://forge.example.org/some/body/actions/runs/4711",
            "actor": "ada",
            "time": null,
        })
    );
    let signature = request.header("x-hub-signature-256").unwrap();
    let signature = signature.strip_prefix("sha256=").unwrap();
    let bytes: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&signature[i..i + 2], 16).unwrap())
        .collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(request.body().as_bytes());
    mac.verify_slice(&bytes).unwrap();
}

#[test]
fn without_a_secret_nothing_is_signed() {
    let world = World::new(Server::forge(&json!([])));
    succeeded(&world.notify(&["--result=failure"], &[("NOTIFY_WEBHOOK_SECRET", "")]));
    let request = &world.webhook.requests()[0];
    assert_eq!(request.header("x-hub-signature-256"), None);
    assert_eq!(request.json()["previous_result"], Value::Null);
}

#[test]
fn each_webhook_works_without_the_other() {
    for (missing, told) in [("NOTIFY_SLACK_URL", [0, 1]), ("NOTIFY_WEBHOOK_URL", [1, 0])] {
        let world = World::new(Server::forge(&json!([])));
        succeeded(&world.notify(&["--strict", "--result=failure"], &[(missing, "")]));
        assert_eq!(world.told(), told, "{missing}");
    }
}

#[test]
fn without_webhooks_nobody_is_asked_or_told() {
    let world = World::new(Server::forge(&json!([])));
    let unset = [("NOTIFY_SLACK_URL", ""), ("NOTIFY_WEBHOOK_URL", "")];
    let said = succeeded(&world.notify(&["--strict", "--result=failure"], &unset));
    assert!(!said.contains("::"), "{said}");
    assert!(world.forge.requests().is_empty());
}

#[test]
fn a_pull_request_is_not_told() {
    let world = World::new(Server::forge(&json!([])));
    let event = [("GITHUB_EVENT_NAME", "pull_request")];
    succeeded(&world.notify(&["--result=failure"], &event));
    assert_eq!(world.told(), [0, 0]);
}

#[test]
fn only_earlier_runs_of_the_same_workflow_count() {
    let other = |number: u64, path: &str| json!({ "id": 2000 + number, "name": "ci", "path": path, "run_number": number, "conclusion": "failure" });
    let runs = json!([
        run(13, "failure"),
        run(12, "failure"),
        other(11, ".github/workflows/nightly.yaml"),
        other(11, ".github/workflows/not-ci.yaml"),
        run(9, "failure"),
        run(10, "success"),
        { "id": 1 },
    ]);
    let world = World::new(Server::forge(&runs));
    let environment = [
        ("GITHUB_REF", "refs/heads/a&b=c/ü"),
        ("GITHUB_REF_NAME", "a&b=c/ü"),
    ];
    succeeded(&world.notify(&["--result=success"], &environment));
    assert_eq!(world.told(), [0, 0]);
    let asked = &world.forge.requests()[0];
    for piece in [
        "GET /repos/some/body/actions/runs?",
        "branch=a%26b%3Dc%2F%C3%BC&",
        "event=push&",
        "&status=completed ",
    ] {
        assert!(asked.line.contains(piece), "{}", asked.line);
    }
    let login = format!("Bearer {TOKEN}");
    assert_eq!(asked.header("authorization"), Some(login.as_str()));
}

#[test]
fn giteas_words_are_understood() {
    let runs = json!([
        { "id": 2, "path": "nightly.yaml@refs/heads/develop", "run_number": 11, "conclusion": "success" },
        { "id": 1, "path": "ci.yaml@refs/heads/develop", "run_number": 10, "conclusion": "failure" },
    ]);
    let world = World::new(Server::forge(&runs));
    let environment = [
        ("GITHUB_WORKFLOW", "ci.yaml"),
        ("GITHUB_WORKFLOW_REF", ""),
        ("GITHUB_RUN_ATTEMPT", ""),
    ];
    succeeded(&world.notify(&["--result=success"], &environment));
    assert_eq!(world.told(), [1, 1]);
}

#[test]
fn a_run_that_is_run_again_follows_its_own_first_attempt() {
    let runs = json!({ "workflow_runs": [run(11, "success")] });
    let world = World::new(Server::github(vec![
        ("/runs/4711/attempts/1 ", 200, run(12, "failure")),
        ("/runs?", 200, runs),
    ]));
    for (attempt, told) in [("2", 1), ("3", 1)] {
        // Of the attempt before the third the forge knows nothing, so the run before decides.
        let attempt = [("GITHUB_RUN_ATTEMPT", attempt)];
        succeeded(&world.notify(&["--strict", "--result=success"], &attempt));
        assert_eq!(world.told(), [told; 2]);
    }
}

/// The jobs of a run, with their conclusions.
fn jobs(conclusions: &[(&str, &str)]) -> Value {
    let job = |(name, conclusion): &(&str, &str)| json!({ "id": 1, "name": name, "status": "completed", "conclusion": conclusion });
    let jobs: Vec<Value> = conclusions.iter().map(job).collect();
    json!({ "total_count": jobs.len(), "jobs": jobs })
}

/// A job that may fail makes the conclusion of the run a failure.
#[test]
fn the_conclusion_of_the_asked_job_counts_and_not_that_of_its_run() {
    let runs = |all: &[Value]| json!({ "total_count": all.len(), "workflow_runs": all });
    let red = [run(11, "failure"), run(10, "success")];
    for (required, now, headline) in [
        (
            jobs(&[("nix", "failure"), ("required", "success")]),
            "success",
            None,
        ),
        (
            jobs(&[("nix", "failure"), ("required (push)", "success")]),
            "failure",
            Some("fails"),
        ),
        (
            jobs(&[("nix", "success"), ("required (push)", "failure")]),
            "success",
            Some("works again"),
        ),
        (
            jobs(&[("required", "timed_out")]),
            "failure",
            Some("still fails"),
        ),
        // It says nothing, so the run before decides.
        (jobs(&[("required", "skipped")]), "success", None),
        // The workflow file was not valid, so the run has no jobs.
        (jobs(&[]), "success", Some("works again")),
    ] {
        let world = World::new(Server::github(vec![
            ("/runs/1011/jobs?", 200, required.clone()),
            ("/runs?", 200, runs(&red)),
        ]));
        let args = ["--strict", "--result", now, "--job", "required"];
        succeeded(&world.notify(&args, &[]));
        world.expect(headline, &format!("{now} after {required}"));
    }
}

#[test]
fn the_asked_job_counts_in_an_earlier_attempt_too() {
    for (required, told) in [("success", 0), ("failure", 1)] {
        let world = World::new(Server::github(vec![
            ("/runs/4711/attempts/1 ", 200, run(12, "failure")),
            (
                "/runs/4711/attempts/1/jobs?",
                200,
                jobs(&[("nix", "failure"), ("required (push)", required)]),
            ),
        ]));
        let args = ["--strict", "--result=success", "--job=required"];
        succeeded(&world.notify(&args, &[("GITHUB_RUN_ATTEMPT", "2")]));
        assert_eq!(world.told(), [told; 2], "after {required}");
    }
}

#[test]
fn what_others_wrote_is_escaped_for_slack() {
    let mut world = World::new(Server::forge(&json!([])));
    let clone = world.clone.path();
    let message = "<!channel> & <https://example.org|click>";
    git(
        clone,
        &["commit", "--quiet", "--allow-empty", "--message", message],
    );
    world.commit = git(world.clone.path(), &["rev-parse", "HEAD"]);
    let environment = [
        ("GITHUB_REF_NAME", "<@U1>&\n::error::x"),
        ("GITHUB_ACTOR", "<b>"),
    ];
    let said = succeeded(&world.notify(&["--result=failure"], &environment));
    assert!(
        !said.lines().any(|line| line.starts_with("::error")),
        "{said}"
    );
    let text = world.slack.requests()[0].json()["text"].clone();
    let text = text.as_str().unwrap();
    assert!(!text.contains('\n'), "{text}");
    let ours = "<https://forge.example.org/some/body/actions/runs/4711|run 12>";
    let theirs = text.replace(ours, "");
    assert!(!theirs.contains(['<', '>']), "{text}");
    for piece in [
        "on &lt;@\u{200b}U1&gt;&amp; ::error::x, at",
        "“&lt;!channel&gt; &amp; &lt;https://example.org|click&gt;”",
        "by &lt;b&gt;:",
    ] {
        assert!(text.contains(piece), "{piece} is not in {text}");
    }
}

#[test]
fn a_webhook_that_is_not_told_is_a_warning_and_no_failure_unless_strict() {
    // No server takes port 1, nor is it given to one that takes any.
    let gone = format!("http://127.0.0.1:1{PATH}");
    let redirects = Server::webhook(302);
    let refuses = Server::webhook(500);
    for (url, reason) in [
        (gone, "connection refused"),
        (format!("{}{PATH}", redirects.url), "it answered 302"),
        (format!("{}{PATH}", refuses.url), "it answered 500"),
    ] {
        let world = World::new(Server::forge(&json!([])));
        let environment = [("NOTIFY_SLACK_URL", url.as_str())];
        let output = world.notify(&["--result=failure"], &environment);
        let said = succeeded(&output);
        let warning = format!("::warning::cannot notify Slack: {reason}");
        assert!(said.contains(&warning), "{said}");
        assert_eq!(world.webhook.requests().len(), 1, "the other is told");

        let said = failed(&world.notify(&["--strict", "--result=failure"], &environment));
        assert!(said.contains(reason), "{said}");
        assert_eq!(world.webhook.requests().len(), 2, "the other is told");
    }
    assert_eq!(redirects.requests().len(), 2, "redirects are not followed");
}

#[test]
fn an_address_that_is_none_is_said_without_it_before_anybody_is_told() {
    for bad in [
        "s3cret",
        "hooks.example.org/s3cret",
        "ftp://example.org/s3cret",
        "https:///s3cret",
        "https://example.org/s3cret path",
        "\"https://example.org/s3cret\"",
    ] {
        for name in ["NOTIFY_SLACK_URL", "NOTIFY_WEBHOOK_URL"] {
            let world = World::new(Server::forge(&json!([])));
            let said = failed(&world.notify(&["--result=failure"], &[(name, bad)]));
            assert!(said.contains(&format!("{name} is not a URL")), "{said}");
            assert_eq!(world.told(), [0, 0], "{bad}");
        }
    }
}

#[test]
fn a_failure_is_told_even_if_the_forge_says_nothing() {
    let answers = vec![("", 500, json!({ "message": "out of order" }))];
    let world = World::new(Server::github(answers));
    let said = succeeded(&world.notify(&["--result=failure"], &[]));
    assert!(
        said.contains("::warning::cannot read the conclusion of the previous run"),
        "{said}"
    );
    assert!(said.contains("out of order"), "{said}");
    assert_eq!(world.told(), [1, 1]);

    let said = succeeded(&world.notify(&["--result=success"], &[]));
    assert!(
        said.contains("::warning::cannot read the conclusion of the previous run"),
        "{said}"
    );
    assert_eq!(world.told(), [1, 1]);

    failed(&world.notify(&["--strict", "--result=failure"], &[]));
    assert_eq!(world.told(), [2, 2]);
}

#[test]
fn what_the_forge_must_say_is_asked_for() {
    let world = World::new(Server::forge(&json!([])));
    for (name, value, reason) in [
        ("GITHUB_RUN_NUMBER", "", "GITHUB_RUN_NUMBER is not set"),
        (
            "GITHUB_RUN_NUMBER",
            "x",
            "GITHUB_RUN_NUMBER is `x`, not a number",
        ),
        ("GITHUB_SHA", "HEAD", "not a full commit ID"),
        ("NOTIFY_RESULT", "red", "possible values"),
        ("NOTIFY_RESULT", "", "a value is required for '--result"),
    ] {
        let environment = [("NOTIFY_RESULT", "failure"), (name, value)];
        let said = failed(&world.notify(&[], &environment));
        assert!(said.contains(reason), "{name}={value}: {said}");
    }
    assert_eq!(world.told(), [0, 0]);
}
