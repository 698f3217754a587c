//! Public text: pull requests, comments, releases, statuses, commit messages and job summaries.
//!
//! Subjects, names and reasons in it come from people and programs that are not trusted. [`Plain`] and [`Markdown`]
//! consist of templates in this source code and of values, and every value is escaped. The forge's and Git's functions
//! accept no other type, so no caller can forget it.

mod inert;
mod markdown;
#[cfg(test)]
mod tests;

pub use inert::line;
pub use markdown::{Markdown, code, code_block};

use serde::Serialize;
use std::fmt::Display;

/// Text without markup, such as a title or a commit message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plain(String);

impl Plain {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends another text.
    pub fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// A text that was written as [`Plain`], such as the message of a commit that this program has made.
    pub(crate) fn written(text: String) -> Self {
        Self(text)
    }
}

/// A value in a template.
pub trait Value {
    /// The value in plain text.
    fn to_plain(&self) -> String;

    /// The value in Markdown.
    fn to_markdown(&self) -> String;
}

/// A text that is not trusted: one line of limited length, without effect on a forge.
impl<T: Display> Value for T {
    fn to_plain(&self) -> String {
        line(&self.to_string())
    }

    fn to_markdown(&self) -> String {
        markdown::escape(&line(&self.to_string()))
    }
}

impl Value for &Plain {
    fn to_plain(&self) -> String {
        (*self).to_plain()
    }

    fn to_markdown(&self) -> String {
        (*self).to_markdown()
    }
}

/// A text whose values are escaped already.
impl Value for Plain {
    fn to_plain(&self) -> String {
        self.0.clone()
    }

    fn to_markdown(&self) -> String {
        markdown::escape(&self.0)
    }
}

/// Plain text from a template, whose `{}` are replaced by values: `plain!("Hold {}", name)`. Each value becomes one line
/// of at most [`LONGEST`](crate::text::LONGEST) characters that mentions and closes nothing on a forge.
#[macro_export]
macro_rules! plain {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const NAMES: &[&str] = &[$(stringify!($value)),*];
        const { $crate::text::check_template($template, NAMES.len()) };
        $crate::text::fill_plain($template, &[$(&$value as &dyn $crate::text::Value),*])
    }};
}

/// Markdown from a template, whose `{}` are replaced by values: `markdown!("- built from: {}\n", commit)`. Each value is
/// escaped as by [`plain!`](crate::plain), and has no markup. A [`Markdown`](crate::text::Markdown) stays as it is.
#[macro_export]
macro_rules! markdown {
    ($template:literal $(, $value:expr)* $(,)?) => {{
        const NAMES: &[&str] = &[$(stringify!($value)),*];
        const { $crate::text::check_template($template, NAMES.len()) };
        $crate::text::fill_markdown($template, &[$(&$value as &dyn $crate::text::Value),*])
    }};
}

/// The most characters of a value. A longer one ends with `…`.
pub const LONGEST: usize = 250;

/// Does not compile if a template has another number of `{}` than values, or uses `{name}`, which would not be escaped.
/// A value in backticks needs [`code`], because a backslash does not escape there.
#[expect(clippy::panic, reason = "it runs at compile time")]
#[doc(hidden)]
pub const fn check_template(template: &str, values: usize) {
    let bytes = template.as_bytes();
    let (mut at, mut places) = (0, 0);
    while at < bytes.len() {
        if bytes[at] == b'{' {
            if at + 1 == bytes.len() || bytes[at + 1] != b'}' {
                panic!("use `{{}}` without a name or format");
            }
            if at > 0 && bytes[at - 1] == b'`' {
                panic!("use `code(…)` for a value in backticks");
            }
            places += 1;
            at += 1;
        }
        at += 1;
    }
    if places != values {
        panic!("the template needs one value for each `{{}}`");
    }
}

#[doc(hidden)]
pub fn fill_plain(template: &str, values: &[&dyn Value]) -> Plain {
    Plain(fill(template, values, |value| value.to_plain()))
}

#[doc(hidden)]
pub fn fill_markdown(template: &str, values: &[&dyn Value]) -> Markdown {
    Markdown(fill(template, values, |value| value.to_markdown()))
}

fn fill(template: &str, values: &[&dyn Value], text: fn(&dyn Value) -> String) -> String {
    let mut values = values.iter();
    let mut parts = template.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        filled.extend(values.next().map(|value| text(*value)));
        filled.push_str(part);
    }
    filled
}
