//! The routes under `/api/v1/deployments`.

use std::thread;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Service, deployment, deployment_with};

const PATH: &str = "/api/v1/deployments";

#[rstest]
fn a_recorded_deployment_can_be_read(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let answer = service.post(PATH, &deployment());
    let recorded = answer.json(201);
    let id = recorded["id"].as_str().unwrap();
    assert_eq!(answer.headers["location"], format!("{PATH}/{id}"));
    assert_eq!(id.as_bytes()[14], b'7', "{id} is not a UUIDv7");
    assert!(recorded["started_at"].as_str().unwrap().ends_with('Z'));
    let expected = deployment_with(json!({
        "id": id, "status": "pending", "started_at": recorded["started_at"], "finished_at": null,
    }));
    assert_eq!(recorded, expected);
    assert_eq!(service.get(&format!("{PATH}/{id}")).json(200), expected);
    assert_eq!(
        service.get(PATH).json(200),
        json!({ "items": [expected], "next_cursor": null })
    );
}

#[rstest]
#[case(json!({ "image_digest": "sha256:abc" }), "image_digest: expected an image digest")]
#[case(json!({ "commit": "1d7b4e0" }), "commit: expected a commit")]
#[case(json!({ "application": "Shop" }), "application: expected a DNS label")]
#[case(json!({ "environment": "a".repeat(64) }), "environment: expected a DNS label")]
#[case(json!({ "version": "" }), "version: expected 1 to 128")]
#[case(json!({ "actor": "a\u{0}b" }), "actor: expected 1 to 128 characters")]
#[case(json!({ "actor": 7 }), "actor: invalid type: integer `7`")]
#[case(json!({ "status": "fine" }), "status: unknown variant `fine`")]
#[case(json!({ "status": "healthy" }), "status: unknown variant `healthy`, expected `pending` or `progressing`")]
#[case(json!({ "started_at": "2026-01-01T00:00:00Z" }), "unknown field `started_at`")]
fn rejects_an_invalid_field(
    #[values(Sqlite, Postgres)] kind: Kind,
    #[case] field: Value,
    #[case] detail: &str,
) {
    let service = kind.serve();
    service
        .post(PATH, &deployment_with(field))
        .assert_problem(422, detail);
    assert_eq!(service.get(PATH).json(200)["items"], json!([]));
}

fn record_with_key(service: &Service, key: &str, deployment: &Value) -> crate::support::Answer {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    service.send("POST", PATH, &headers, &deployment.to_string())
}

#[rstest]
fn records_a_deployment_once_per_key(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let first = record_with_key(&service, "run-17", &deployment());
    let path = first.headers["location"].to_str().unwrap();
    // A later change doesn't affect the repeated response.
    service
        .patch(path, &json!({ "status": "progressing" }))
        .json(200);
    let second = record_with_key(&service, "run-17", &deployment());
    assert_eq!(second.json(201), first.json(201));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));

    record_with_key(
        &service,
        "run-17",
        &deployment_with(json!({ "version": "v2" })),
    )
    .assert_problem(
        409,
        "the Idempotency-Key was already used for a different request",
    );
    assert_ne!(
        record_with_key(&service, "run-18", &deployment()).json(201)["id"],
        first.json(201)["id"]
    );
    assert_eq!(
        service.get(PATH).json(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[rstest]
fn does_not_confirm_a_deployment_that_was_deleted(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let first = record_with_key(&service, "run-17", &deployment());
    let path = first.headers["location"].to_str().unwrap();
    assert_eq!(service.delete(path).status, 204);
    for _ in 0..2 {
        record_with_key(&service, "run-17", &deployment())
            .assert_problem(409, "which was deleted since");
    }
    assert_eq!(service.get(PATH).json(200)["items"], json!([]));
    record_with_key(&service, "run-18", &deployment()).json(201);
}

#[rstest]
fn records_simultaneous_requests_with_one_key_once(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let ids: Vec<_> = thread::scope(|scope| {
        let request = || record_with_key(&service, "run-17", &deployment()).json(201)["id"].clone();
        let requests: Vec<_> = (0..8).map(|_| scope.spawn(request)).collect();
        requests
            .into_iter()
            .map(|request| request.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(
        service.get(PATH).json(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[rstest]
fn a_rejected_request_does_not_use_up_its_key(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let rejected = deployment_with(json!({ "status": "healthy" }));
    record_with_key(&service, "run-17", &rejected).assert_problem(422, "unknown variant");
    record_with_key(&service, "run-17", &deployment()).json(201);
}

#[rstest]
fn filters_a_list(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let other = json!({
        "application": "blog",
        "environment": "prod",
        "version": "v2",
        "commit": "f".repeat(40),
        "image_digest": format!("sha256:{}", "0".repeat(64)),
        "status": "progressing",
        "actor": "Jane Doe",
    });
    service.record(&deployment());
    service.record(&other);
    for (field, value) in other.as_object().unwrap() {
        let value = value.as_str().unwrap().replace(' ', "%20");
        let page = service.get(&format!("{PATH}?{field}={value}")).json(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "{field}");
        assert_eq!(page["items"][0][field], other[field]);
    }
    let none = service
        .get(&format!("{PATH}?application=blog&environment=dev"))
        .json(200);
    assert_eq!(none["items"], json!([]));
}

#[rstest]
fn lists_page_by_page(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let mut recorded: Vec<_> = (0..5).map(|_| service.record(&deployment())).collect();
    recorded.reverse();

    let mut read = Vec::new();
    let mut sizes = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = service.get(&format!("{PATH}{query}")).json(200);
        let items = page["items"].as_array().unwrap();
        sizes.push(items.len());
        read.extend(
            items
                .iter()
                .map(|item| format!("{PATH}/{}", item["id"].as_str().unwrap())),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
        // The remaining pages stay the same when a deployment is added or the cursor's own deployment is deleted.
        service.record(&deployment());
        service.delete(&format!("{PATH}/{cursor}"));
    }
    assert_eq!(read, recorded);
    assert_eq!(sizes, [2, 2, 1]);
}

#[rstest]
#[case("limit=0", "limit: expected a number from 1 to 100")]
#[case("limit=101", "limit: expected a number from 1 to 100")]
#[case("limit=many", "limit: invalid digit")]
#[case("cursor=first", "cursor: UUID parsing failed")]
#[case("status=fine", "status: unknown variant `fine`")]
#[case("application=Shop", "application: expected a DNS label")]
#[case("app=shop", "unknown field `app`")]
#[case("limit=1&limit=2", "duplicate field `limit`")]
fn rejects_an_invalid_query(
    #[values(Sqlite, Postgres)] kind: Kind,
    #[case] query: &str,
    #[case] detail: &str,
) {
    kind.serve()
        .get(&format!("{PATH}?{query}"))
        .assert_problem(400, detail);
}

#[rstest]
fn changes_a_deployment_until_it_ends(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let path = service.record(&deployment());
    let progressing = service
        .patch(
            &path,
            &json!({ "status": "progressing", "version": "v1.4.1" }),
        )
        .json(200);
    assert_eq!(progressing["version"], "v1.4.1");
    assert_eq!(progressing["finished_at"], Value::Null);
    let healthy = service
        .patch(&path, &json!({ "status": "healthy" }))
        .json(200);
    assert!(healthy["finished_at"].as_str() >= healthy["started_at"].as_str());
    assert_eq!(service.get(&path).json(200), healthy);
    // Repeating the change has no effect.
    assert_eq!(
        service
            .patch(&path, &json!({ "status": "healthy" }))
            .json(200),
        healthy
    );
    assert_eq!(service.patch(&path, &json!({})).json(200), healthy);

    service
        .patch(&path, &json!({ "version": "v2" }))
        .assert_problem(409, "the roll-out has ended");
    service
        .patch(&path, &json!({ "status": "pending" }))
        .assert_problem(409, "a deployment that is healthy cannot become pending; it can become degraded, rolled_back");
    assert_eq!(service.get(&path).json(200), healthy);
}

#[rstest]
#[case(json!({ "application": "blog" }), "unknown field `application`")]
#[case(json!({ "version": null }), "version: invalid type: null")]
#[case(json!({ "commit": "HEAD" }), "commit: expected a commit")]
fn rejects_an_invalid_change(
    #[values(Sqlite, Postgres)] kind: Kind,
    #[case] change: Value,
    #[case] detail: &str,
) {
    let service = kind.serve();
    let path = service.record(&deployment());
    service.patch(&path, &change).assert_problem(422, detail);
}

#[rstest]
fn accepts_a_merge_patch(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let path = service.record(&deployment());
    let headers = [("content-type", "application/merge-patch+json")];
    assert_eq!(
        service
            .send("PATCH", &path, &headers, r#"{"actor": "Jane"}"#)
            .json(200)["actor"],
        "Jane"
    );
}

#[rstest]
fn one_of_two_conflicting_changes_succeeds(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    for _ in 0..10 {
        let path = service.record(&deployment_with(json!({ "status": "progressing" })));
        let mut statuses = thread::scope(|scope| {
            let change = |status: &'static str| {
                let (service, path) = (&service, &path);
                scope.spawn(move || service.patch(path, &json!({ "status": status })).status)
            };
            [change("healthy"), change("failed")].map(|change| change.join().unwrap())
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[rstest]
fn a_deleted_deployment_cannot_be_found(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let path = service.record(&deployment());
    let answer = service.delete(&path);
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    for answer in [
        service.get(&path),
        service.delete(&path),
        service.patch(&path, &json!({})),
    ] {
        answer.assert_problem(404, "there is no deployment");
    }
}

#[rstest]
fn rejects_an_invalid_id(#[values(Sqlite, Postgres)] kind: Kind) {
    kind.serve()
        .get(&format!("{PATH}/17"))
        .assert_problem(400, "UUID parsing failed");
}
