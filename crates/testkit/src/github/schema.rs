//! Checks JSON against the notation of `operations.json`.
//!
//! - `"string"`, `"integer"`, `"boolean"`, `"number"`, `"object"` and `"any"` are types; `"integer|string"` is one of two.
//! - `"=a|b"` is one of these words, `"#name"` is what `schemas` has under the name.
//! - A `?` at the end allows null. A list allows it by `["?", item]`, an object by the key `"?"`.
//! - `[item]` is a list. An object lists all fields that are known; those with a `!` are required.
//! - `{"one of": […]}` is any of several.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use serde_json::{Map, Value, json};

/// A type of `operations.json`, with the names that it may refer to.
#[derive(Clone, Copy)]
pub struct Schema<'a> {
    /// What names refer to.
    pub schemas: &'a Value,
    /// The type, in the notation of the file.
    pub kind: &'a Value,
}

impl<'a> Schema<'a> {
    fn with(self, kind: &'a Value) -> Self {
        Self { kind, ..self }
    }

    /// What is wrong with a value, each fault with the place.
    pub fn faults(self, value: &Value, at: &str) -> Vec<String> {
        let null = value.is_null();
        match self.kind {
            Value::String(word) => self.faults_of_word(word, value, at),
            Value::Array(_) if null && self.allows_null() => Vec::new(),
            Value::Array(items) => match value.as_array() {
                Some(values) => {
                    let item = self.with(items.last().unwrap());
                    let each = values.iter().enumerate();
                    each.flat_map(|(i, value)| item.faults(value, &format!("{at}[{i}]")))
                        .collect()
                }
                None => vec![format!("{at} is {value}, not a list")],
            },
            Value::Object(_) if null && self.allows_null() => Vec::new(),
            Value::Object(fields) => match self.choices() {
                Some(choices) => choices
                    .map(|choice| choice.faults(value, at))
                    .min_by_key(Vec::len)
                    .unwrap(),
                None => self.faults_of_fields(fields, value, at),
            },
            other => panic!("operations.json has no type {other}"),
        }
    }

    fn faults_of_word(self, word: &str, value: &Value, at: &str) -> Vec<String> {
        if let Some(name) = word.strip_prefix('#') {
            return self.with(&self.schemas[name]).faults(value, at);
        }
        let (word, nullable) = match word.strip_suffix('?') {
            Some(word) => (word, true),
            None => (word, false),
        };
        let fits = |kind: &str| match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "any" => true,
            other => panic!("operations.json has no type `{other}`"),
        };
        let good = match word.strip_prefix('=') {
            Some(words) => words.split('|').any(|word| value == word),
            None => word.split('|').any(fits),
        };
        match good || (nullable && value.is_null()) {
            true => Vec::new(),
            false => vec![format!("{at} is {value}, not {word}")],
        }
    }

    fn faults_of_fields(self, fields: &Map<String, Value>, value: &Value, at: &str) -> Vec<String> {
        let Some(values) = value.as_object() else {
            return vec![format!("{at} is {value}, not an object")];
        };
        let mut faults = Vec::new();
        for (name, kind) in fields.iter().filter(|(name, _)| *name != "?") {
            let (bare, required) = field(name);
            match values.get(bare) {
                Some(value) => {
                    faults.extend(self.with(kind).faults(value, &format!("{at}.{bare}")));
                }
                None if required => faults.push(format!("{at} lacks `{bare}`")),
                None => {}
            }
        }
        let known = |name: &str| fields.keys().any(|known| field(known).0 == name);
        let unknown = values.keys().filter(|name| !known(name));
        faults.extend(unknown.map(|name| format!("{at} has `{name}`, which is unknown")));
        faults
    }

    /// A value with all required fields: those that are missing get any value of their type.
    pub fn complete(self, value: Value) -> Value {
        let list = |kind| {
            move |values: Vec<Value>| -> Value {
                values
                    .into_iter()
                    .map(|value| self.with(kind).complete(value))
                    .collect()
            }
        };
        match (self.kind, value) {
            (Value::String(word), value) if word.starts_with('#') => {
                self.with(&self.schemas[&word[1..]]).complete(value)
            }
            (Value::Array(items), Value::Array(values)) => list(items.last().unwrap())(values),
            (Value::Object(fields), Value::Object(mut values)) if self.choices().is_none() => {
                for (name, kind) in fields.iter().filter(|(name, _)| *name != "?") {
                    let (bare, required) = field(name);
                    let schema = self.with(kind);
                    match values.remove(bare) {
                        Some(value) => values.insert(bare.to_owned(), schema.complete(value)),
                        None if required => values.insert(bare.to_owned(), schema.any()),
                        None => None,
                    };
                }
                Value::Object(values)
            }
            (_, value) => value,
        }
    }

    /// Some value of the type.
    fn any(self) -> Value {
        match self.kind {
            Value::String(word) if word.starts_with('#') => {
                self.with(&self.schemas[&word[1..]]).any()
            }
            Value::String(word) if word.ends_with('?') => Value::Null,
            Value::String(word) => match word.strip_prefix('=') {
                Some(words) => json!(words.split('|').next()),
                None => match word.as_str() {
                    "string" => json!("some text"),
                    "boolean" => json!(false),
                    "object" => json!({}),
                    "any" => Value::Null,
                    _ => json!(1),
                },
            },
            Value::Array(_) => json!([]),
            _ if self.allows_null() => Value::Null,
            _ => match self.choices() {
                Some(mut choices) => choices.next().unwrap().any(),
                None => self.complete(json!({})),
            },
        }
    }

    fn choices(self) -> Option<impl Iterator<Item = Self>> {
        let choices = self.kind.get("one of").or(self.kind.get("one of?"))?;
        Some(choices.as_array()?.iter().map(move |kind| self.with(kind)))
    }

    fn allows_null(self) -> bool {
        match self.kind {
            Value::Array(items) => items[0] == "?",
            kind => kind.get("?").or(kind.get("one of?")).is_some(),
        }
    }
}

/// The name of a field, and whether it is required.
fn field(name: &str) -> (&str, bool) {
    match name.strip_suffix('!') {
        Some(name) => (name, true),
        None => (name, false),
    }
}
