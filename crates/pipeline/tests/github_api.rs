//! The strict server in GitHub's place refuses what is not GitHub's API.

use devkit::forge::Forge;
use devkit::http::{Client, Tls};
use serde_json::{Value, json};
use testkit::github::GitHub;

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

/// A release to make, with another field.
fn release(field: &str, value: Value) -> Value {
    let mut release = json!({"tag_name": "v1.0.0"});
    release[field] = value;
    release
}

#[test]
fn a_request_that_does_not_agree_is_a_fault() {
    let rule = json!({"type": "deletion", "parameters": {}});
    let ruleset = json!({"name": "x", "enforcement": "active", "rules": [rule]});
    let draft = release("draft", json!("yes"));
    let title = release("title", json!("x"));
    let status = json!({"state": "good"});
    for (method, path, body, fault) in [
        ("POST", "/release", json!({}), "there is no such operation"),
        (
            "GET",
            "/releases?limit=5",
            Value::Null,
            "the query `limit` is unknown",
        ),
        ("POST", "/releases", json!({}), "request lacks `tag_name`"),
        (
            "POST",
            "/releases",
            title,
            "request has `title`, which is unknown",
        ),
        (
            "POST",
            "/releases",
            draft,
            "request.draft is \"yes\", not boolean",
        ),
        (
            "POST",
            "/statuses/abc",
            status,
            "\"good\", not =error|failure|pending|success",
        ),
        (
            "POST",
            "/rulesets",
            ruleset,
            "request.rules[0] has `parameters`, which is unknown",
        ),
    ] {
        let found = &faults(method, path, &body, 201, json!({}))[0];
        assert!(found.ends_with(fault), "{fault}: {found}");
    }
}

#[test]
fn an_answer_that_does_not_agree_is_a_fault() {
    for (status, answer, fault) in [
        (201, json!({"id": "1"}), ": answer.id is \"1\", not integer"),
        (
            201,
            json!({"size": 1}),
            ": answer has `size`, which is unknown",
        ),
        (200, json!({}), ": the answer has the status 200"),
        (422, json!({"error": "x"}), ": an error has a message"),
    ] {
        let found = &faults(
            "POST",
            "/releases",
            &release("draft", json!(true)),
            status,
            answer,
        )[0];
        assert!(found.ends_with(fault), "{fault}: {found}");
    }
}

#[test]
#[should_panic(expected = "there is no such operation")]
fn a_fault_that_the_client_ignores_fails_the_test() {
    let github = GitHub::start(|_| (200, json!({})));
    let forge = Forge::new(Client::new(&github.address, Tls::none()), "acme/parcel");
    let ignored: Result<Value, _> = forge.get("/nothing");
    ignored.unwrap_err();
}
