//! Generated database URLs and requests. Each target runs for a moment, or for `FUZZ_SECONDS` seconds. A failure prints
//! its input and adds its seed to `fuzz.regressions`, which every later run repeats first.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use waybill::store::DatabaseUrl;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::deployment;

/// Runs a target for a number of cases, and again until the time is over.
fn fuzz<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(0, |text| text.parse().unwrap());
    let started = Instant::now();
    let regressions = FileFailurePersistence::Direct("tests/api/fuzz.regressions");
    let config = Config {
        cases,
        failure_persistence: Some(Box::new(regressions)),
        ..Config::default()
    };
    TestRunner::new(config.clone())
        .run(&strategy, &test)
        .unwrap();
    while started.elapsed() < Duration::from_secs(seconds) {
        TestRunner::new(config.clone())
            .run(&strategy, &test)
            .unwrap();
    }
}

#[test]
fn a_database_url_never_shows_its_password() {
    let odd = "[a-z0-9?#%@:&=+,' \\[\\]-]{0,6}";
    let place = prop_oneof![
        Just("postgres://u:SECRET@h/db"),
        Just("postgresql://u:SECRET@h:5432,i/db?sslmode=require"),
        Just("postgres://h/db?password=SECRET"),
        Just("postgres://u@/db?host=h&sslpassword=SECRET&"),
        Just("postgresql://:SECRET@[::1]/"),
    ];
    fuzz(512, (odd, odd, place), |(before, after, place)| {
        let url = place.replace("SECRET", &format!("{before}hunter{after}"));
        let shown = match url.parse::<DatabaseUrl>() {
            Ok(url) => format!("{url} {url:?}"),
            Err(refusal) => refusal.to_owned(),
        };
        prop_assert!(!shown.contains("hunter"), "{} shows {}", url, shown);
        Ok(())
    });
}

#[test]
fn any_text_is_a_database_url_or_refused() {
    let url = r"(postgres|sqlite|file|http)?(://|:)?[a-z:@/?#%&=\[\], .0-9]{0,40}|\PC{0,40}";
    fuzz(512, url, |url| {
        let _ = url.parse::<DatabaseUrl>().map(|url| url.to_string());
        Ok(())
    });
}

/// A value of any type, often close to a valid one.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z0-9-]{1,70}",
        "(sha256:)?[0-9a-f]{39,65}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]{5,12}(Z|[+-][0-9:]{4,6})",
        "pending|progressing|healthy|failed|superseded|\u{0}|\u{ffff}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        text.prop_map(Into::into),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Into::into),
            ("[a-z]{1,5}", inner).prop_map(|(key, value)| json!({ key: value })),
        ]
    })
}

/// A deployment with one field changed, removed or added, or text that is not even JSON.
fn body() -> impl Strategy<Value = String> {
    let field = "application|environment|version|commit|image_digest|actor|status|finished_at|id|x";
    let changed = (field, value()).prop_map(|(field, value)| {
        let mut body = deployment();
        body[field] = value;
        body.to_string()
    });
    let cut = (0..200_usize, "[{}\":,\\\\a\u{0}é]{0,3}").prop_map(|(at, added)| {
        let body = deployment().to_string();
        let at = at.min(body.len());
        format!("{}{added}{}", &body[..at], &body[at..])
    });
    prop_oneof![4 => changed, 2 => cut, 1 => value().prop_map(|v| v.to_string()), 1 => ".{0,40}"]
}

#[rstest::rstest]
fn no_request_is_an_internal_error(#[values(Sqlite, Postgres)] kind: Kind) {
    let service = kind.serve();
    let recorded = service.record(&deployment());
    let method = prop_oneof![Just("POST"), Just("PATCH"), Just("PUT"), Just("DELETE")];
    let query =
        "(application|status|limit|cursor|environment|x)=([a-z0-9%]{0,12}|-?[0-9]{1,20}|%00|%FF)";
    let types = prop_oneof![4 => Just("application/json"), 1 => Just("text/plain"), 1 => Just("application/json; charset=x")];
    fuzz(
        96,
        (method, body(), query, types),
        |(method, body, query, content_type)| {
            let headers = [("content-type", content_type)];
            let path = match method {
                "POST" => "/api/v1/deployments",
                "DELETE" => "/api/v1/deployments/00000000-0000-7000-8000-000000000000",
                _ => &recorded,
            };
            let list = format!("/api/v1/deployments?{query}");
            for (answer, asked) in [
                (service.send(method, path, &headers, &body), body.as_str()),
                (service.get(&list), query.as_str()),
            ] {
                prop_assert!(
                    answer.status < 500,
                    "{} {}: {} {}",
                    method,
                    asked,
                    answer.status,
                    answer.text
                );
            }
            Ok(())
        },
    );
    assert_eq!(service.get("/health").status, 200);
    assert!(!service.log().contains("panic"), "{}", service.log());
}
