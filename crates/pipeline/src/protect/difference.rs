//! Differences between the settings of a forge and the rules.

use serde_json::{Map, Value};

/// A difference between the forge and the rules.
pub(super) struct Difference {
    /// Descriptions for people, one per line.
    pub(super) reasons: Vec<String>,
    /// The request that removes the difference. `None` for unmanaged settings, which a person must decide on.
    pub(super) request: Option<Request>,
}

/// A request to the forge.
pub(super) struct Request {
    /// The HTTP method.
    pub(super) method: &'static str,
    /// The path below the address of the repository.
    pub(super) path: String,
    /// The JSON body.
    pub(super) body: Value,
}

impl Difference {
    /// Compares the current values with the wanted ones. Other current values do not count, and the order of lists does
    /// not matter. `what` names the setting; `have` is `None` if it does not exist.
    pub(super) fn between(
        what: &str,
        want: &Map<String, Value>,
        have: Option<&Value>,
        request: Request,
    ) -> Option<Self> {
        let reasons = match have {
            None => vec![format!("{what}: there is no such rule")],
            Some(have) => want
                .iter()
                .flat_map(|(key, want)| unlike(key, want, &have[key]))
                .map(|reason| format!("{what}: {reason}"))
                .collect(),
        };
        (!reasons.is_empty()).then_some(Self {
            reasons,
            request: Some(request),
        })
    }

    /// A setting of the forge that is not in the rules. Only a person may remove it.
    pub(super) fn unmanaged(reason: String) -> Self {
        Self {
            reasons: vec![reason],
            request: None,
        }
    }
}

fn unlike(key: &str, want: &Value, have: &Value) -> Vec<String> {
    let Value::Array(want) = want else {
        return match have {
            have if have == want => Vec::new(),
            Value::Null => vec![format!("{key} is not set and should be {want}")],
            have => vec![format!("{key} is {have} and should be {want}")],
        };
    };
    // Gitea returns null for an empty list.
    let have = have.as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = want.iter().filter(|item| !have.contains(item));
    let additional = have.iter().filter(|item| !want.contains(item));
    missing
        .map(|item| format!("{key} lacks {item}"))
        .chain(additional.map(|item| format!("{key} has {item}, which is not in the rules")))
        .collect()
}

/// The fields of a JSON object.
pub(super) fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
