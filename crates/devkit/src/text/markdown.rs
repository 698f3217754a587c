//! Markdown for a forge (<https://github.github.com/gfm/>).

use super::inert::{All, inert, parts, visible};
use super::{LONGEST, Value};
use serde::{Serialize, Serializer};

/// The most characters that a forge accepts in a description or comment; GitHub's limit is 65,536.
const MOST: usize = 65_000;

/// Markdown whose foreign parts are escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markdown(pub(super) String);

impl Markdown {
    /// Markdown from a file that reviewers approved, such as the changelog. Its markup stays, and its links work. It
    /// mentions and closes nothing, HTML is shown as text, an open code block is closed, and it ends after `most`
    /// characters.
    pub fn reviewed(text: &str, most: usize) -> Self {
        let text = shorten(text, most);
        let mut result = String::new();
        let mut prose = String::new();
        let mut fence: Option<String> = None;
        for line in text.split_inclusive('\n') {
            let marker = fence_of(line);
            match (&fence, marker) {
                (None, None) => prose.push_str(line),
                (None, Some(marker)) => {
                    result.push_str(&inert_prose(&std::mem::take(&mut prose)));
                    result.push_str(line);
                    fence = Some(marker.to_owned());
                }
                (Some(open), marker) => {
                    result.push_str(line);
                    let closes = marker.is_some_and(|marker| marker.starts_with(open.as_str()));
                    if closes && line.trim().chars().all(|c| open.starts_with(c)) {
                        fence = None;
                    }
                }
            }
        }
        result.push_str(&inert_prose(&prose));
        if let Some(open) = fence {
            if !result.ends_with('\n') {
                result.push('\n');
            }
            result.push_str(&format!("{open}\n"));
        }
        Self(result)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text for a cell of a table: on one line, with each `|` escaped. A forge would end the cell at a `|`, in a code
    /// span too (<https://github.github.com/gfm/#tables-extension->).
    #[must_use]
    pub fn cell(&self) -> Self {
        let mut result = String::with_capacity(self.0.len());
        let mut backslashes = 0;
        for c in self.0.chars() {
            // After an odd number of backslashes, it is escaped for every parser.
            if c == '|' && backslashes % 2 == 0 {
                result.push('\\');
            }
            backslashes = if c == '\\' { backslashes + 1 } else { 0 };
            result.push(if matches!(c, '\n' | '\r') { ' ' } else { c });
        }
        Self(result)
    }

    /// Appends other Markdown.
    pub fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }
}

impl FromIterator<Markdown> for Markdown {
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        Self(all.into_iter().map(|one| one.0).collect())
    }
}

impl Value for &Markdown {
    fn to_plain(&self) -> String {
        (*self).to_plain()
    }

    fn to_markdown(&self) -> String {
        (*self).to_markdown()
    }
}

impl Value for Markdown {
    fn to_plain(&self) -> String {
        self.0.clone()
    }

    fn to_markdown(&self) -> String {
        self.0.clone()
    }
}

/// A longer text is shortened, because a forge would refuse it.
impl Serialize for Markdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shorten(&self.0, MOST))
    }
}

/// The first lines of a text, with a last line that says so if there were more.
fn shorten(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return text.to_owned();
    };
    let lines = text[..end].rfind('\n').map_or(end, |at| at + 1);
    format!("{}\n\n… (shortened)\n", text[..lines].trim_end())
}

/// A text that is not trusted as a code span, on one line. A forge reads no mentions or references in it.
pub fn code(text: impl AsRef<str>) -> Markdown {
    let text = text.as_ref();
    let mut content: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        content.push('…');
    }
    let runs = content.split(|c| c != '`').map(str::len);
    let ticks = "`".repeat(runs.max().unwrap_or(0) + 1);
    let pad = match content.starts_with('`') || content.ends_with('`') || content.is_empty() {
        true => " ",
        false => "",
    };
    Markdown(format!("{ticks}{pad}{content}{pad}{ticks}"))
}

/// Lines as a code block.
pub fn code_block(language: &'static str, lines: &str) -> Markdown {
    let runs = lines.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    let end = if lines.ends_with('\n') { "" } else { "\n" };
    Markdown(format!("{fence}{language}\n{lines}{end}{fence}\n"))
}

/// Plain text as Markdown: URLs become links, and everything else is shown as it is.
pub(super) fn escape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for (number, part) in parts(text).into_iter().enumerate() {
        if part.is_url {
            result.push_str(&format!("<{}>", part.text));
            continue;
        }
        let text = part.text;
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        for (at, c) in text.char_indices() {
            let begins_block = number == 0
                && match c {
                    '#' | '+' | '-' | '=' => {
                        at == 0 && !text[1..].starts_with(|c: char| c.is_alphanumeric())
                    }
                    '.' | ')' => at == digits && digits > 0 && !is_followed(text, at),
                    _ => false,
                };
            if begins_block || "\\`*_[]<>|~$&".contains(c) {
                result.push('\\');
            }
            result.push(c);
        }
    }
    result
}

/// Whether other text follows the character at a position without a space: `1.5` begins no list.
fn is_followed(text: &str, at: usize) -> bool {
    text[at + 1..].starts_with(|c: char| !c.is_whitespace())
}

/// The marker that a line begins or ends a code block with: three or more backticks or tildes.
fn fence_of(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    let first = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = text.len() - text.trim_start_matches(first).len();
    let is_fence = length >= 3 && !(first == '`' && text[length..].contains('`'));
    is_fence.then(|| &text[..length])
}

/// Prose without effect, outside of its code spans.
fn inert_prose(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let ticks = rest[start..].len() - rest[start..].trim_start_matches('`').len();
        let after = start + ticks;
        let end = span_end(&rest[after..], ticks).map_or(after, |end| after + end);
        result.push_str(&without_html(&inert(&rest[..start], All::No)));
        result.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    result.push_str(&without_html(&inert(rest, All::No)));
    result
}

/// Where a code span ends: after a run of as many backticks as it began with, in the same paragraph.
fn span_end(text: &str, ticks: usize) -> Option<usize> {
    let paragraph = text.find("\n\n").unwrap_or(text.len());
    let mut at = 0;
    while let Some(found) = text[at..paragraph].find('`') {
        let start = at + found;
        let run = text[start..].len() - text[start..].trim_start_matches('`').len();
        at = start + run;
        if run == ticks {
            return Some(at);
        }
    }
    None
}

/// Shows HTML as text. `<https://…>` stays a link.
fn without_html(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        let begins_html = rest.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c));
        let link = ["https://", "http://", "mailto:"];
        match c == '<' && begins_html && !link.iter().any(|scheme| rest.starts_with(scheme)) {
            true => result.push_str("&lt;"),
            false => result.push(c),
        }
    }
    result
}
