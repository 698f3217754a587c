//! The strict server in GitHub's place refuses what is not GitHub's API.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod github;

use devkit::forge::Forge;
use devkit::http::{Client, Tls};
use github::GitHub;
use serde_json::{Value, json};
use testkit::server as http;

/// What the server says about a request that gets an answer.
fn faults(method: &str, path: &str, body: &Value, status: u16, answer: Value) -> Vec<String> {
    let github = GitHub::start(move |_| (status, answer.clone()));
    let forge = Forge::new(Client::new(&github.address, Tls::none()), "acme/parcel");
    let result: Result<Value, _> = match body {
        Value::Null => forge.get(path),
        body => forge.send(method, path, body),
    };
    let faults = github.take_faults();
    assert_eq!(
        result.is_err(),
        status >= 400 || !faults.is_empty(),
        "{faults:?}"
    );
    faults
}

#[test]
fn what_agrees_with_the_description_is_answered_in_full() {
    let release = json!({"tag_name": "v1.0.0", "draft": true});
    let github = GitHub::start(|_| (201, json!({"tag_name": "v1.0.0"})));
    let forge = Forge::new(Client::new(&github.address, Tls::none()), "acme/parcel");
    let made: Value = forge.send("POST", "/releases", &release).unwrap();
    assert_eq!(made["tag_name"], "v1.0.0");
    assert!(
        made["upload_url"].is_string() && made["assets"] == json!([]),
        "{made}"
    );
    let message = json!({"message": "Not Found"});
    assert_eq!(
        faults("GET", "/releases/tags/v2", &Value::Null, 404, message),
        [""; 0]
    );
}

#[test]
fn what_does_not_agree_is_a_fault() {
    let release = |more: Value| {
        let mut release = json!({"tag_name": "v1.0.0"});
        release
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        release
    };
    let status = json!({"state": "good"});
    let rule = json!({"name": "x", "enforcement": "active", "rules": [{"type": "deletion", "parameters": {}}]});
    let cases = [
        (
            "POST",
            "/release",
            json!({}),
            json!({}),
            "there is no such operation",
        ),
        (
            "GET",
            "/releases?limit=50",
            Value::Null,
            json!([]),
            "the query `limit` is unknown",
        ),
        (
            "POST",
            "/releases",
            json!({}),
            json!({}),
            "request lacks `tag_name`",
        ),
        (
            "POST",
            "/releases",
            release(json!({"title": "x"})),
            json!({}),
            "request has `title`, which is unknown",
        ),
        (
            "POST",
            "/releases",
            release(json!({"draft": "yes"})),
            json!({}),
            "request.draft is \"yes\", not boolean",
        ),
        (
            "POST",
            "/statuses/abc",
            status,
            json!({}),
            "request.state is \"good\", not =error|failure|pending|success",
        ),
        (
            "POST",
            "/rulesets",
            rule,
            json!({}),
            "request.rules[0] has `parameters`, which is unknown",
        ),
        (
            "POST",
            "/releases",
            release(json!({})),
            json!({"id": "1"}),
            "answer.id is \"1\", not integer",
        ),
        (
            "POST",
            "/releases",
            release(json!({})),
            json!({"size": 1}),
            "answer has `size`, which is unknown",
        ),
    ];
    for (method, path, body, answer, fault) in cases {
        let found = &faults(method, path, &body, 201, answer)[0];
        assert!(found.ends_with(&format!(": {fault}")), "{fault}: {found}");
    }
    let found = faults("POST", "/releases", &release(json!({})), 200, json!({}));
    assert!(
        found[0].ends_with(": the answer has the status 200"),
        "{found:?}"
    );
}

#[test]
#[should_panic(expected = "there is no such operation")]
fn a_fault_that_the_client_ignores_fails_the_test() {
    let github = GitHub::start(|_| (200, json!({})));
    let forge = Forge::new(Client::new(&github.address, Tls::none()), "acme/parcel");
    let ignored: Result<Value, _> = forge.get("/nothing");
    ignored.unwrap_err();
}
