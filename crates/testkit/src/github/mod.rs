//! A strict server in GitHub's place, for tests of commands that call its REST API.
//!
//! A test says what the server answers. The server compares requests and answers with `operations.json`, which has what
//! GitHub publishes about its API. An unknown path, query or field, a missing field and a wrong type fail the test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod schema;

use crate::server::{Request, serve};
use schema::Schema;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const OPERATIONS: &str = include_str!("operations.json");

/// The answer to a request for what does not exist, or what the token may not see.
pub fn not_found() -> (u16, Value) {
    (404, json!({"message": "Not Found", "status": "404"}))
}

/// The server. A test that drops it fails if a request or an answer did not agree with GitHub's description.
pub struct GitHub {
    /// The address, without a path.
    pub address: String,
    faults: Arc<Mutex<Vec<String>>>,
    permissions: Arc<Mutex<BTreeSet<String>>>,
}

impl GitHub {
    /// Answers requests as `answer` says: a status, and JSON.
    pub fn start(mut answer: impl FnMut(&Request) -> (u16, Value) + Send + 'static) -> Self {
        let faults = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&faults);
        let permissions = Arc::new(Mutex::new(BTreeSet::new()));
        let needed = Arc::clone(&permissions);
        let api = Api::read();
        let address = serve(move |request| {
            needed.lock().unwrap().insert(api.permission(&request));
            let (mut wrong, status, value) = api.exchange(&request, &mut answer);
            if wrong.is_empty() {
                let text = if value.is_null() {
                    String::new()
                } else {
                    value.to_string()
                };
                return (status, text);
            }
            let request = format!("{} {}", request.method(), request.target());
            wrong
                .iter_mut()
                .for_each(|fault| *fault = format!("{request}: {fault}"));
            let message = format!("not GitHub's API: {}", wrong.join("; "));
            found.lock().unwrap().append(&mut wrong);
            (400, json!({ "message": message }).to_string())
        });
        Self {
            address,
            faults,
            permissions,
        }
    }

    /// The permissions that the requests needed, such as `contents: read`.
    pub fn permissions(&self) -> BTreeSet<String> {
        self.permissions.lock().unwrap().clone()
    }

    /// Takes out what was wrong, so that it does not fail the test.
    pub fn take_faults(&self) -> Vec<String> {
        std::mem::take(&mut *self.faults.lock().unwrap())
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        let faults = self.take_faults();
        assert!(
            faults.is_empty() || std::thread::panicking(),
            "this is not GitHub's API:\n  {}",
            faults.join("\n  ")
        );
    }
}

/// GitHub's description of its API.
struct Api {
    schemas: Value,
    operations: Map<String, Value>,
}

impl Api {
    fn read() -> Self {
        let mut all: Value = serde_json::from_str(OPERATIONS).unwrap();
        let operations = all["operations"].as_object().unwrap().clone();
        Self {
            schemas: all["schemas"].take(),
            operations,
        }
    }

    /// What is wrong with a request or its answer, and the answer with all required fields.
    fn exchange(
        &self,
        request: &Request,
        answer: &mut impl FnMut(&Request) -> (u16, Value),
    ) -> (Vec<String>, u16, Value) {
        let query = request
            .target()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let Some(operation) = self.operation(request) else {
            return (
                vec!["there is no such operation".to_owned()],
                0,
                Value::Null,
            );
        };
        let mut faults = self.faults_of(operation, request, query);
        let (status, mut value) = answer(request);
        let kind = &operation["responses"][status.to_string()];
        if (200..300).contains(&status) {
            if operation["responses"].get(status.to_string()).is_none() {
                faults.push(format!("the answer has the status {status}"));
            } else if kind.is_null() {
                value = Value::Null;
            } else {
                let schema = self.schema(kind);
                value = schema.complete(value);
                faults.extend(schema.faults(&value, "answer"));
            }
        } else if !value["message"].is_string() {
            faults.push("an error has a message".to_owned());
        }
        (faults, status, value)
    }

    /// What is known of the operation that a request asks for.
    fn operation(&self, request: &Request) -> Option<&Value> {
        let path = request.target().split('?').next().unwrap();
        let wanted = |template: &String| {
            let (method, template) = template.split_once(' ').unwrap();
            method == request.method() && matches(template, path)
        };
        let mut operations = self.operations.iter();
        let (_, operation) = operations.find(|(name, _)| wanted(name))?;
        Some(operation)
    }

    /// The permission that a request needs.
    fn permission(&self, request: &Request) -> String {
        let operation = self.operation(request);
        let permission = operation.and_then(|operation| operation["permission"].as_str());
        let request = format!("{} {}", request.method(), request.target());
        permission.map_or(format!("unknown: {request}"), str::to_owned)
    }

    fn schema<'a>(&'a self, kind: &'a Value) -> Schema<'a> {
        let schemas = &self.schemas;
        Schema { schemas, kind }
    }

    fn faults_of(&self, operation: &Value, request: &Request, query: &str) -> Vec<String> {
        let mut faults = Vec::new();
        // <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#headers>
        for header in ["user-agent", "x-github-api-version", "accept"] {
            if request.header(header).is_none() {
                faults.push(format!("the header {header} is missing"));
            }
        }
        let known = operation["query"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for name in query.split('&').filter_map(|part| part.split('=').next()) {
            if !name.is_empty() && !known.iter().any(|known| known == name) {
                faults.push(format!("the query `{name}` is unknown"));
            }
        }
        match (&operation["request"], request.body()) {
            (Value::Null, body) => {
                if !body.is_empty() && operation["upload"] != true {
                    faults.push("the request has a body".to_owned());
                }
            }
            (kind, body) => match serde_json::from_str(body) {
                Ok(value) => faults.extend(self.schema(kind).faults(&value, "request")),
                Err(_) => faults.push("the request is not JSON".to_owned()),
            },
        }
        faults
    }
}

/// Whether a path is of the form of a template.
fn matches(template: &str, path: &str) -> bool {
    let parts: Vec<&str> = template.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    let same = |(part, given): (&&str, &&str)| {
        part == given || (part.starts_with('{') && !given.is_empty())
    };
    parts.len() == given.len() && parts.iter().zip(&given).all(same)
}
