use super::*;
use serde::Deserialize;
use std::path::Path;
use testkit::server::serve;

#[derive(Debug, Deserialize, PartialEq)]
struct Thing {
    name: String,
}

fn client(status: u16, body: &'static str) -> Client {
    let server = serve(move |_| (status, body.to_owned()));
    Client::new(&server, Tls::none())
}

#[test]
fn json_is_read_into_a_type() {
    let client = client(200, r#"{"name": "a", "more": 1}"#);
    let thing: Thing = client.get("/things/1").unwrap();
    assert_eq!(thing.name, "a");
    let thing: Option<Thing> = client.find("/things/1").unwrap();
    assert!(thing.is_some());
}

#[test]
fn an_answer_of_another_shape_names_the_request_and_the_field() {
    let client = client(200, "{}");
    let error = client.get::<Thing>("/things/1").unwrap_err();
    assert!(error.to_string().starts_with("GET http://127.0.0.1:"));
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("missing field `name`"), "{source}");
}

#[test]
fn what_is_not_there_is_none_and_other_failures_are_errors() {
    let missing = client(404, r#"{"message": "Not Found"}"#);
    assert_eq!(missing.find::<Thing>("/x").unwrap(), None);
    assert_eq!(missing.get::<Thing>("/x").unwrap_err().status(), Some(404));
    let broken = client(500, "<html>oh</html>");
    let error = broken.find::<Thing>("/x").unwrap_err().to_string();
    assert!(
        error.ends_with("/x answered 500: <html>oh</html>"),
        "{error}"
    );
}

#[test]
fn a_refusal_has_the_words_of_the_server() {
    for (body, expected) in [
        (r#"{"message": "No"}"#, "No"),
        (r#"{"message": "No", "errors": ["a", "b"]}"#, "No; a; b"),
        (
            r#"{"message": "Failed", "errors": [{"field": "head", "code": "invalid"}]}"#,
            "Failed; head: invalid",
        ),
        (
            r#"{"message": "Failed", "errors": [{"code": "custom", "message": "exists"}]}"#,
            "Failed; exists",
        ),
        (r#"{"message": "No", "errors": null}"#, "No"),
        ("", "(no message)"),
    ] {
        let error = client(422, body).execute("POST", "/x", &Value::Null);
        let error = error.unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("answered 422: {expected}")),
            "{error}"
        );
    }
}

#[test]
fn requests_have_the_login_and_the_body() {
    let server = serve(|request| {
        let seen = format!(
            "{} {} {}",
            request.line,
            request.header("authorization").unwrap_or_default(),
            request.body()
        );
        (200, serde_json::json!({ "name": seen }).to_string())
    });
    let client = Client::new(&server, Tls::none()).with_token("secret");
    let seen: Thing = client
        .send("PATCH", "/x?y=1", &serde_json::json!({"a": 1}))
        .unwrap();
    assert_eq!(seen.name, r#"PATCH /x?y=1 HTTP/1.1 Bearer secret {"a":1}"#);
    let client = client.with_password("Aladdin", "open sesame");
    let seen: Thing = client.get("/").unwrap();
    // The example of RFC 7617.
    assert!(seen.name.contains("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
}

#[test]
fn a_redirected_write_is_not_a_success() {
    let server = serve(|request| match request.target() {
        "/elsewhere" => (200, r#"{"name": "other"}"#.to_owned()),
        _ => (302, String::new()),
    });
    let client = Client::new(&server, Tls::none());
    assert_eq!(client.get::<Thing>("/x").unwrap().name, "other");
    let error = client.execute("POST", "/x", &Value::Null).unwrap_err();
    assert_eq!(error.status(), Some(302));
}

#[test]
fn a_server_that_is_away_is_named() {
    let client = Client::new("http://127.0.0.1:9", Tls::none());
    let error = client.text("/x").unwrap_err().to_string();
    assert!(error.contains("GET http://127.0.0.1:9/x"), "{error}");
}

#[test]
fn a_file_without_a_certificate_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Tls::authority(file.path()).err().unwrap().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
    let error = Tls::authority(Path::new("/no/such")).err().unwrap();
    assert!(matches!(error, Error::Read { .. }));
}
