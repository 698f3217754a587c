//! Text without effect on a forge: it mentions nobody, refers to no issue and gives no command.

use super::LONGEST;

/// Separates what a forge would read as one, and is not visible.
const BREAK: char = '\u{200b}';

/// Words that close an issue or open it again, in commits and pull requests of GitHub and Gitea
/// (<https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue>).
const CLOSING: [&str; 12] = [
    "close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved",
    "reopen", "reopens", "reopened",
];

/// What makes a forge run no workflow for a commit
/// (<https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs>).
const SKIPPING: [&str; 5] = [
    "[skip ci]",
    "[ci skip]",
    "[no ci]",
    "[skip actions]",
    "[actions skip]",
];

/// Text that is not trusted, as one line of at most [`LONGEST`] characters. Mentions, references to issues, closing words
/// and commands get an invisible space, so that a forge does not act on them. URLs do not change; a URL that is too
/// long is left out.
pub fn line(text: &str) -> String {
    // The rest of a long text need not be read: each character gives at least one.
    let text: String = text.chars().take(8 * LONGEST).map(visible).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let mut line = String::new();
    let mut room = LONGEST;
    for part in parts(&text) {
        let length = part.text.chars().count();
        if length > room {
            if !part.is_url {
                line.extend(part.text.chars().take(room));
            }
            line = inert(line.trim_end(), All::Yes);
            line.push('…');
            return line;
        }
        room -= length;
        line.push_str(part.text);
    }
    inert(&line, All::Yes)
}

/// A character that is shown as it is, in reading order. Others become spaces.
pub(super) fn visible(c: char) -> char {
    let hidden = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    );
    if c.is_control() || hidden { ' ' } else { c }
}

/// A part of a text.
pub(super) struct Part<'t> {
    pub(super) text: &'t str,
    pub(super) is_url: bool,
}

/// The URLs in a text, and what is between them.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((start, end)) = find_url(rest) {
        parts.push(Part {
            text: &rest[..start],
            is_url: false,
        });
        parts.push(Part {
            text: &rest[start..end],
            is_url: true,
        });
        rest = &rest[end..];
    }
    parts.push(Part {
        text: rest,
        is_url: false,
    });
    parts
}

/// Where the first `http://` or `https://` URL begins and ends. As a forge does, leaves out punctuation at its end.
fn find_url(text: &str) -> Option<(usize, usize)> {
    let starts = text.match_indices("http").map(|(at, _)| at);
    for start in starts {
        let is_word = |c: char| c.is_alphanumeric();
        let rest = &text[start..];
        let mut schemes = ["https://", "http://"].iter();
        let Some(scheme) = schemes.find(|scheme| rest.starts_with(**scheme)) else {
            continue;
        };
        if text[..start].ends_with(is_word) {
            continue;
        }
        let allowed = |c: char| c.is_ascii_graphic() && !"<>\"`{}|\\^[]()".contains(c);
        let length = rest.find(|c| !allowed(c)).unwrap_or(rest.len());
        let url =
            rest[..length].trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'']);
        if url.len() > scheme.len() {
            return Some((start, start + url.len()));
        }
    }
    None
}

/// Whether references to issues lose their effect too, or only mentions and closing words.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum All {
    Yes,
    No,
}

/// The text with an invisible space in everything that has an effect. Changes nothing if applied again.
pub(super) fn inert(text: &str, all: All) -> String {
    let mut result = String::with_capacity(text.len());
    let mut end = 0;
    for part in parts(text) {
        end += part.text.len();
        if part.is_url {
            result.push_str(part.text);
        } else {
            inert_part(part.text, &text[end..], all, &mut result);
        }
    }
    result
}

/// Adds the inert form of a part without URLs. `following` is the text after the part.
fn inert_part(text: &str, following: &str, all: All, result: &mut String) {
    let mut before = result.chars().next_back();
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        let next = rest.chars().next();
        let is_first = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        result.push(c);
        let mention = c == '@' && is_first && next.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let number = next.is_some_and(|c| c.is_ascii_digit());
        let reference = match c {
            '#' => number || (before == Some('#') && next == Some('[')),
            '!' => number && is_first,
            '-' => number && result.to_ascii_lowercase().ends_with("gh-"),
            _ => false,
        };
        let skip = c == '[' && SKIPPING.iter().any(|word| begins(&text[at..], word));
        let closing = is_first && closes(&text[at..], following);
        if mention || (reference && all == All::Yes) || skip || closing {
            result.push(BREAK);
        }
        before = Some(c);
    }
}

fn begins(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

/// Whether a text begins with a closing word and a reference to an issue: `fixes #12`, `Closes: acme/shop#12`, or a URL,
/// which is in the `following` text.
fn closes(text: &str, following: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    if !CLOSING
        .iter()
        .any(|closing| word.eq_ignore_ascii_case(closing))
    {
        return false;
    }
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let target = rest.trim_start_matches([' ', '\t', '\n', '(', '[', '*', '_', '<']);
    if target.is_empty() {
        return following.starts_with("http");
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let name = target.find(|c| !is_name(c)).unwrap_or(target.len());
    let number = target[name..].strip_prefix(['#', '!']);
    number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        || begins(target, "gh-")
}
