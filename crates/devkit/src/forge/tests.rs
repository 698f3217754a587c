use super::*;
use crate::markdown;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use testkit::server::{Request, serve};

/// What a server was asked: method, target and body.
type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A forge whose server answers by method and path without query.
fn forge(
    api: &str,
    mut answer: impl FnMut(&str, &str, &Request) -> (u16, Value) + Send + 'static,
) -> (Forge, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let server = serve(move |request| {
        let method = request.method().to_owned();
        let target = request.target().to_owned();
        let entry = (method.clone(), target.clone(), request.json());
        log.lock().unwrap().push(entry);
        let path = target.split('?').next().unwrap().to_owned();
        let (status, body) = answer(&method, &path, &request);
        (status, body.to_string())
    });
    let client = Client::new(&format!("{server}{api}"), Tls::none());
    (Forge::new(client, "some/body"), seen)
}

const GITHUB: &str = "";
const GITEA: &str = "/api/v1";

/// The number in `&page=N`.
fn page(request: &Request) -> usize {
    let (_, page) = request.target().split_once("&page=").unwrap();
    page.parse().unwrap()
}

#[test]
fn the_kind_is_known_by_the_url() {
    for (url, kind) in [
        ("https://api.github.com", Kind::GitHub),
        ("https://github.example/api/v3", Kind::GitHub),
        ("https://gitea.example/api/v1", Kind::Gitea),
        ("https://example.org/gitea/api/v1/", Kind::Gitea),
    ] {
        assert_eq!(Kind::of(url), kind, "{url}");
        let forge = Forge::new(Client::new(url, Tls::none()), "a/b");
        assert_eq!(forge.kind(), kind, "{url}");
    }
}

#[test]
fn lists_are_read_page_by_page() {
    for count in [0, 1, 49, 50, 51, 120] {
        let (forge, seen) = forge(GITHUB, move |_, _, request| {
            let first = (page(request) - 1) * 50;
            let names = (first..count.min(first + 50)).map(|i| json!({"name": i.to_string()}));
            (200, names.collect())
        });
        assert_eq!(forge.tags().unwrap().len(), count);
        let requests = seen.lock().unwrap().len();
        assert_eq!(requests, count / 50 + 1, "{count}");
    }
}

#[test]
fn a_list_without_pages_is_read_once() {
    let (forge, _) = forge(GITEA, |_, _, _| {
        let names = (0..60).map(|i| json!({"name": i.to_string()}));
        (200, names.collect())
    });
    assert_eq!(forge.tags().unwrap().len(), 60);
}

#[test]
fn a_list_may_be_null_but_must_exist() {
    let (none, _) = forge(GITEA, |_, _, _| (200, Value::Null));
    assert!(none.tags().unwrap().is_empty());
    let (missing, _) = forge(GITEA, |_, _, _| (404, json!({"message": "no"})));
    assert_eq!(missing.tags().unwrap_err().status(), Some(404));
    assert!(missing.find_list::<Value>("/teams").unwrap().is_none());
    let error = missing.settings::<Value>().unwrap_err().to_string();
    assert!(error.contains("/repos/some/body does not exist"), "{error}");
    let (object, _) = forge(GITEA, |_, _, _| (200, json!({"a": 1})));
    let error = object.tags().unwrap_err().to_string();
    assert!(error.contains("it is not a list"), "{error}");
}

fn pull(number: u64, head: &str, base: &str, from: &str) -> Value {
    json!({
        "number": number, "state": "open", "title": "t", "html_url": "u",
        "head": {"ref": head, "sha": "1", "repo": {"full_name": from}},
        "base": {"ref": base, "sha": "2", "repo": {"full_name": "some/body"}},
        "merged": false, "mergeable": null, "merge_commit_sha": null,
    })
}

#[test]
fn a_pull_request_of_a_fork_is_not_taken_for_ours() {
    let (forge, seen) = forge(GITEA, |_, _, _| {
        let mut deleted = pull(3, "promote/qa", "qa", "x/y");
        deleted["head"]["repo"] = Value::Null;
        let pulls = json!([
            pull(1, "promote/qa", "other", "some/body"),
            pull(2, "promote/qa", "qa", "fork/body"),
            deleted,
            pull(4, "promote/qa", "qa", "some/body"),
        ]);
        (200, pulls)
    });
    let found = forge.find_open_pull("promote/qa", "qa").unwrap().unwrap();
    assert_eq!(found.number, 4);
    let target = seen.lock().unwrap()[0].1.clone();
    assert!(target.contains("&base_branch=qa"), "{target}");
}

#[test]
fn each_forge_is_asked_to_merge_and_approve_in_its_words() {
    for (api, method, merge, event) in [
        (GITHUB, "PUT", json!({"merge_method": "merge"}), "APPROVE"),
        (GITEA, "POST", json!({"Do": "merge"}), "APPROVED"),
    ] {
        let (forge, seen) = forge(api, |_, _, _| (200, json!({})));
        forge.merge_pull(7).unwrap();
        forge.approve_pull(7, &markdown!("Fine.")).unwrap();
        let seen = seen.lock().unwrap();
        let path = format!("{api}/repos/some/body/pulls/7/merge");
        assert_eq!(seen[0], (method.to_owned(), path, merge));
        assert_eq!(seen[1].2, json!({"event": event, "body": "Fine."}));
    }
}

#[test]
fn a_merge_commit_counts_only_when_it_is_merged() {
    let mut value = pull(1, "a", "b", "some/body");
    value["merge_commit_sha"] = json!("abc");
    let open: Pull = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(open.merge_commit(), None);
    value["merged"] = json!(true);
    let merged: Pull = serde_json::from_value(value).unwrap();
    assert_eq!(merged.merge_commit(), Some("abc"));
}

#[test]
fn commits_and_branches_are_read_from_both_forges() {
    let github =
        json!({"sha": "1", "message": "m", "committer": {"date": "d"}, "parents": [{"sha": "0"}]});
    let gitea = json!({"sha": "1", "commit": {"message": "m", "committer": {"date": "d"}}, "committer": {"login": "x"}, "parents": [{"sha": "0"}]});
    let expected = Commit {
        sha: "1".into(),
        message: "m".into(),
        date: Some("d".into()),
        parents: vec!["0".into()],
    };
    for value in [github, gitea] {
        assert_eq!(serde_json::from_value::<Commit>(value).unwrap(), expected);
    }
    for key in ["id", "sha"] {
        let (forge, seen) = forge(GITEA, move |_, _, _| {
            (200, json!({"name": "a/b", "commit": {key: "1"}}))
        });
        assert_eq!(forge.tip("a/b ?").unwrap().as_deref(), Some("1"));
        let target = seen.lock().unwrap()[0].1.clone();
        assert!(target.ends_with("/branches/a/b%20%3F"), "{target}");
    }
}

#[test]
fn statuses_are_read_from_both_forges() {
    for (key, word, state) in [
        ("state", "success", StatusState::Success),
        ("status", "failure", StatusState::Failure),
        ("status", "warning", StatusState::Unknown),
    ] {
        let value = json!({"id": 3, "context": "coverage", key: word, "description": null});
        let status: Status = serde_json::from_value(value).unwrap();
        assert_eq!(status.state, state, "{word}");
    }
}

#[test]
fn a_file_is_decoded() {
    let (forge, seen) = forge(GITHUB, |_, path, _| match path.ends_with("/a%20b.yaml") {
        true => (
            200,
            json!({"content": "aW1h\nZ2U6\n", "encoding": "base64"}),
        ),
        false => (404, json!({})),
    });
    let text = forge.find_file("charts/x/a b.yaml", "release/1").unwrap();
    assert_eq!(text.as_deref(), Some("image:"));
    assert!(seen.lock().unwrap()[0].1.ends_with("?ref=release%2F1"));
    assert_eq!(forge.find_file("none", "main").unwrap(), None);
}

#[test]
fn a_release_is_created_once_and_its_files_are_replaced() {
    // GitHub gets the files before anyone can see the release.
    let github = [
        "GET /releases/tags/v1",
        "GET /releases?per_page=50&page=1",
        "POST /releases",
        "POST /files?name=sbom",
        "PATCH /releases/7",
        "GET /releases/tags/v2",
        "PATCH /releases/7",
        "DELETE /releases/assets/9",
        "POST /files?name=sbom",
    ];
    let gitea = [
        "GET /releases/tags/v1",
        "POST /releases",
        "POST /files?name=sbom",
        "GET /releases/tags/v2",
        "PATCH /releases/7",
        "DELETE /releases/7/assets/9",
        "POST /files?name=sbom",
    ];
    for (api, expected) in [(GITHUB, github.as_slice()), (GITEA, &gitea)] {
        let (forge, seen) = forge(api, |method, path, request| {
            let host = format!("http://{}", request.header("host").unwrap());
            let release = |assets: Value| {
                json!({
                    "id": 7, "upload_url": format!("{host}/files{{?name,label}}"),
                    "draft": request.json()["draft"] == true, "assets": assets,
                })
            };
            match (method, path) {
                ("GET", path) if path.ends_with("/v1") => (404, json!({})),
                ("GET", path) if path.ends_with("/releases") => (200, json!([])),
                ("DELETE", _) => (204, Value::Null),
                ("POST", _) => (201, release(json!([]))),
                _ => {
                    let assets = json!([
                        {"id": 9, "name": "sbom", "digest": "sha256:0"}, {"id": 10, "name": "other"},
                    ]);
                    (200, release(assets))
                }
            }
        });
        let notes = markdown!("notes");
        for tag_name in ["v1", "v2"] {
            let new = NewRelease {
                tag_name,
                name: tag_name,
                body: &notes,
                prerelease: false,
            };
            forge.publish_release(&new, &[("sbom", b"{}")]).unwrap();
        }
        let seen = seen.lock().unwrap();
        let repository = format!("{api}/repos/some/body");
        let asked: Vec<String> = seen
            .iter()
            .map(|(method, target, _)| format!("{method} {}", target.replace(&repository, "")))
            .collect();
        assert_eq!(asked, expected);
    }
}

#[test]
fn a_run_says_its_file_trigger_and_conclusion() {
    let run = |value| serde_json::from_value::<Run>(value).unwrap();
    let gitea = run(json!({
        "id": 1, "path": "ci.yaml@refs/heads/develop", "event": "pull_request_sync",
        "status": "in_progress", "conclusion": "", "head_sha": "1",
    }));
    assert_eq!((gitea.file(), gitea.trigger()), ("ci.yaml", "pull_request"));
    assert_eq!(gitea.reference(), Some("refs/heads/develop"));
    assert_eq!(
        (gitea.status, gitea.conclusion),
        (Progress::InProgress, None)
    );
    let github = run(json!({
        "id": 1, "path": ".github/workflows/ci.yaml", "event": "push",
        "status": "completed", "conclusion": "timed_out", "name": null,
    }));
    assert_eq!(github.file(), "ci.yaml");
    assert_eq!(github.conclusion, Some(Conclusion::TimedOut));
    assert!(Conclusion::TimedOut.is_failure() && !Conclusion::Cancelled.is_failure());
    let other = run(json!({"id": 1, "status": "requested", "conclusion": "neutral"}));
    assert_eq!(other.status, Progress::Unknown);
    assert_eq!(other.conclusion, Some(Conclusion::Unknown));
}

#[test]
fn jobs_are_read_with_the_times_that_are_set() {
    let (forge, _) = forge(GITEA, |_, _, _| {
        let job = json!({
            "id": 5, "name": "integration (sqlite)", "status": "queued", "conclusion": null,
            "started_at": "2026-01-02T03:04:05Z", "completed_at": "1970-01-01T00:00:00Z", "steps": null,
        });
        (200, json!({"total_count": 1, "jobs": [job]}))
    });
    let jobs = forge.jobs(3).unwrap();
    assert!(jobs[0].is("integration") && !jobs[0].is("integ"));
    assert_eq!(jobs[0].started_at.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(jobs[0].completed_at, None);
}

#[test]
fn runs_are_filtered_by_the_forge() {
    let (forge, seen) = forge(GITEA, |_, _, _| {
        (200, json!({"workflow_runs": [{"id": 1}]}))
    });
    let filter = RunFilter {
        branch: Some("feature/a b"),
        status: Some("completed"),
        ..RunFilter::default()
    };
    assert_eq!(forge.runs(&filter).unwrap().len(), 1);
    let target = seen.lock().unwrap()[0].1.clone();
    assert!(
        target.ends_with("&branch=feature%2Fa%20b&status=completed"),
        "{target}"
    );
}

#[test]
fn a_variable_that_exists_is_updated() {
    for (api, create, update) in [
        (
            GITHUB,
            "POST /actions/variables",
            "PATCH /actions/variables/A",
        ),
        (
            GITEA,
            "POST /actions/variables/A",
            "PUT /actions/variables/A",
        ),
    ] {
        let (forge, seen) = forge(api, |method, _, _| match method {
            "POST" => (409, json!({"message": "there"})),
            _ => (204, Value::Null),
        });
        forge.set_variable("A", "1").unwrap();
        let repository = format!("{api}/repos/some/body");
        let seen = seen.lock().unwrap();
        let asked: Vec<String> = seen
            .iter()
            .map(|(method, target, _)| format!("{method} {}", target.replace(&repository, "")))
            .collect();
        assert_eq!(asked, [create, update]);
    }
}

#[test]
fn tags_of_other_images_and_signatures_are_left_out() {
    let (forge, seen) = forge(GITEA, |_, _, _| {
        let entry = |name: &str, version: &str| json!({"name": name, "version": version});
        let entries = json!([
            entry("body", "develop"),
            entry("other", "v1"),
            entry("body", "sha256-0.sig"),
        ]);
        (200, entries)
    });
    let tags = forge.image_tags().unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["develop"]);
    let target = seen.lock().unwrap()[0].1.clone();
    assert!(target.starts_with("/api/v1/packages/some?type=container&"));
}

#[test]
fn what_exists_is_not_created_again() {
    for (status, message, fine) in [
        (201, "", true),
        (409, "conflict", true),
        (422, "user already exists [name: a]", true),
        (422, "invalid name", false),
        (403, "no", false),
    ] {
        let (forge, _) = forge(GITEA, move |_, _, _| (status, json!({"message": message})));
        let created = forge.create_if_missing("/orgs", &json!({"username": "a"}));
        assert_eq!(created.is_ok(), fine, "{status} {message}");
    }
}

#[test]
fn workflows_are_started_and_their_logs_read() {
    let (forge, seen) = forge(GITEA, |_, path, _| match path {
        "/api/v1/repos/some/body/actions/jobs/7/logs" => (200, json!("it failed")),
        "/api/v1/repos/some/body/actions/runs/3/attempts/1" => (404, json!({"message": "no"})),
        _ => (204, Value::Null),
    });
    assert!(forge.job_log(7).unwrap().contains("it failed"));
    assert!(forge.find_attempt(3, 1).unwrap().is_none());
    let inputs = BTreeMap::from([("environment", "qa")]);
    forge.dispatch("promote.yaml", "develop", &inputs).unwrap();
    let (method, target, body) = seen.lock().unwrap()[2].clone();
    assert_eq!(method, "POST");
    assert!(target.ends_with("/actions/workflows/promote.yaml/dispatches"));
    assert_eq!(
        body,
        json!({"ref": "develop", "inputs": {"environment": "qa"}})
    );
}

#[test]
fn secrets_are_set_where_the_forge_takes_them_unsealed() {
    let (gitea, seen) = forge(GITEA, |_, _, _| (201, Value::Null));
    gitea.set_secret("TOKEN", "s3cret").unwrap();
    let (method, target, body) = seen.lock().unwrap()[0].clone();
    assert_eq!(method, "PUT");
    assert!(target.ends_with("/actions/secrets/TOKEN"), "{target}");
    assert_eq!(body, json!({"data": "s3cret"}));
    let (github, seen) = forge(GITHUB, |_, _, _| (201, Value::Null));
    let error = github.set_secret("TOKEN", "s3cret").unwrap_err();
    assert!(error.to_string().contains("setting a secret"), "{error}");
    assert!(seen.lock().unwrap().is_empty());
}
