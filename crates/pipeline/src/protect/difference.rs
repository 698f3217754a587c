//! Differences between the settings of a forge and the rules.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Map, Value};

/// Settings by their name.
pub(super) type Settings = Map<String, Value>;

/// How a forge differs from the rules.
#[derive(Default)]
pub(super) struct Comparison {
    /// What to change.
    pub(super) differences: Vec<Difference>,
    /// What the forge does not offer to this repository, each with the reason.
    pub(super) left_out: Vec<String>,
    /// What a person should know. It is no difference.
    pub(super) notes: Vec<String>,
}

/// A difference between the forge and the rules.
pub(super) struct Difference {
    /// Descriptions for people, one per line.
    pub(super) reasons: Vec<String>,
    /// The request that removes the difference. `None` for unmanaged settings, which a person must decide on.
    pub(super) request: Option<Request>,
    /// Why the forge may not offer these settings to this repository, where that is known.
    pub(super) unavailable: Option<&'static str>,
}

/// A request to the forge.
pub(super) struct Request {
    /// The HTTP method.
    pub(super) method: &'static str,
    /// The path below the address of the repository.
    pub(super) path: String,
    /// The JSON body, except in a DELETE.
    pub(super) body: Option<Value>,
    /// The body to send where the forge does not offer all settings of the first one.
    pub(super) fallback: Option<Value>,
}

impl Request {
    /// A request that sends `body`.
    pub(super) fn new(method: &'static str, path: &str, body: &impl Serialize) -> Result<Self> {
        Ok(Self {
            method,
            path: path.to_owned(),
            body: Some(serde_json::to_value(body)?),
            fallback: None,
        })
    }

    /// A request that deletes what is at a path.
    pub(super) fn delete(path: String) -> Self {
        Self {
            method: "DELETE",
            path,
            body: None,
            fallback: None,
        }
    }
}

impl Difference {
    /// Compares the current settings with the wanted ones. Other current settings do not count, and the order of lists
    /// does not matter. `what` names the object; `have` is `None` if it does not exist.
    pub(super) fn between(
        what: &str,
        want: &Settings,
        have: Option<&Settings>,
        request: Request,
    ) -> Option<Self> {
        let reasons = match have {
            None => vec![format!("{what}: there is no such rule")],
            Some(have) => want
                .iter()
                .flat_map(|(key, want)| unlike(key, want, have.get(key)))
                .map(|reason| format!("{what}: {reason}"))
                .collect(),
        };
        (!reasons.is_empty()).then_some(Self {
            reasons,
            request: Some(request),
            unavailable: None,
        })
    }

    /// How the repository's own settings differ from those that are wanted.
    pub(super) fn of_repository(have: &Settings, want: &impl Serialize) -> Result<Option<Self>> {
        let request = Request::new("PATCH", "", want)?;
        Ok(Self::between(
            "repository",
            &settings(want)?,
            Some(have),
            request,
        ))
    }

    /// A setting of the forge that is not in the rules. Only a person may remove it.
    pub(super) fn unmanaged(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            request: None,
            unavailable: None,
        }
    }
}

fn unlike(key: &str, want: &Value, have: Option<&Value>) -> Vec<String> {
    let Value::Array(want) = want else {
        return match have {
            Some(have) if have == want => Vec::new(),
            None | Some(Value::Null) => vec![format!("{key} is not set and should be {want}")],
            Some(have) => vec![format!("{key} is {have} and should be {want}")],
        };
    };
    // Gitea returns null for an empty list.
    let have = have.and_then(Value::as_array);
    let have = have.map(Vec::as_slice).unwrap_or_default();
    let missing = want.iter().filter(|item| !have.contains(item));
    let additional = have.iter().filter(|item| !want.contains(item));
    missing
        .map(|item| format!("{key} lacks {item}"))
        .chain(additional.map(|item| format!("{key} has {item}, which is not in the rules")))
        .collect()
}

/// The fields of something that is a JSON object.
pub(super) fn settings(object: &impl Serialize) -> Result<Settings> {
    match serde_json::to_value(object).context("cannot write settings as JSON")? {
        Value::Object(settings) => Ok(settings),
        other => bail!("these settings are not an object: {other}"),
    }
}
