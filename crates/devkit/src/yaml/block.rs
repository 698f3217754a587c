//! Adds and removes a top-level block, such as `hold`, without touching any other byte.

use super::{Error, Node, Scalar, is_plain_string, is_simple};
use saphyr_parser::ScalarStyle;
use std::ops::Range;

/// Sets a top-level key to a map of texts. Replaces its present value, or adds the key at the end of the document.
///
/// # Errors
/// When the text is not YAML, or its form does not allow the change.
pub fn set_block(text: &str, key: &str, entries: &[(&str, &str)]) -> Result<String, Error> {
    let mut tree = Node::parse(text)?;
    let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut block = format!("{key}:{line_end}");
    let mut map = Vec::new();
    for (name, value) in entries {
        let plain = is_simple(value) && is_plain_string(value);
        let (written, style) = match plain {
            true => ((*value).to_owned(), ScalarStyle::Plain),
            // JSON's strings are YAML's double-quoted ones.
            false => (
                serde_json::Value::from(*value).to_string(),
                ScalarStyle::DoubleQuoted,
            ),
        };
        block.push_str(&format!("  {name}: {written}{line_end}"));
        let value = (*value).to_owned();
        map.push((
            (*name).to_owned(),
            Node::Scalar(Scalar {
                value,
                style,
                bytes: 0..0,
            }),
        ));
    }
    let present = tree.get(key).is_some();
    if let Node::Map(all) = &mut tree {
        all.retain(|(name, _)| name != key);
        all.push((key.to_owned(), Node::Map(map)));
    }
    if present {
        let mut edited = text.to_owned();
        edited.replace_range(lines_of(text, key)?, &block);
        return require_tree(&edited, &tree, key).map(|()| edited);
    }
    let places = std::iter::once(text.len()).chain(markers(text));
    let added = places.map(|place| {
        let (before, after) = text.split_at(place);
        let line_end = if before.ends_with('\n') { "" } else { line_end };
        format!("{before}{line_end}{block}{after}")
    });
    let mut valid = added.filter(|edited| require_tree(edited, &tree, key).is_ok());
    valid.next().ok_or_else(|| Error::Layout(key.to_owned()))
}

/// Where the lines begin that end a document: `---` and `...`.
fn markers(text: &str) -> impl Iterator<Item = usize> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    starts.filter(|start| text[*start..].starts_with("---") || text[*start..].starts_with("..."))
}

/// Removes a top-level key with its value; the same text where there is no such key.
///
/// # Errors
/// When the text is not YAML, or its form does not allow the change.
pub fn remove_block(text: &str, key: &str) -> Result<String, Error> {
    let mut tree = Node::parse(text)?;
    if tree.get(key).is_none() {
        return Ok(text.to_owned());
    }
    let mut edited = text.to_owned();
    edited.replace_range(lines_of(text, key)?, "");
    if let Node::Map(all) = &mut tree {
        all.retain(|(name, _)| name != key);
    }
    require_tree(&edited, &tree, key)?;
    Ok(edited)
}

/// The lines of a top-level key and its value, without blank lines and comments that follow.
fn lines_of(text: &str, key: &str) -> Result<Range<usize>, Error> {
    let starts = |line: &str| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    let mut found: Option<Range<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        match &mut found {
            None if starts(line) => found = Some(at..end),
            None => {}
            Some(_) if line.trim().is_empty() || line.starts_with('#') => {}
            Some(lines) if line.starts_with([' ', '\t']) => lines.end = end,
            Some(_) => break,
        }
        at = end;
    }
    found.ok_or_else(|| Error::Layout(key.to_owned()))
}

/// Fails unless an edited text has the expected entries, in any order.
fn require_tree(edited: &str, expected: &Node, key: &str) -> Result<(), Error> {
    let layout = || Error::Layout(key.to_owned());
    let after = Node::parse(edited).map_err(|_| layout())?;
    let (after, expected) = (after.entries(), expected.entries());
    let same = after.len() == expected.len() && expected.iter().all(|entry| after.contains(entry));
    same.then_some(()).ok_or_else(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: [(&str, &str); 3] = [
        ("reason", "leaks: \"all\" é"),
        ("by", "ann"),
        ("since", "2026-11-26"),
    ];
    const BLOCK: &str =
        "hold:\n  reason: \"leaks: \\\"all\\\" é\"\n  by: ann\n  since: \"2026-11-26\"\n";

    #[test]
    fn a_block_is_added_at_the_end_and_removed_without_a_trace() {
        for text in [
            "a: 1\n",
            "# head\na:\n  b: 1   # why\n\n# tail\n",
            "a: 'x'\r\nb: [1,  2]\r\n",
            "a: |\n  text\n   more\n",
        ] {
            let held = set_block(text, "hold", &HOLD).unwrap();
            let block = match text.contains("\r\n") {
                true => BLOCK.replace('\n', "\r\n"),
                false => BLOCK.to_owned(),
            };
            assert_eq!(held, format!("{text}{block}"));
            let hold = Node::parse(&held).unwrap();
            assert_eq!(hold.at("hold.reason").unwrap().text(), Some(HOLD[0].1));
            assert_eq!(remove_block(&held, "hold").unwrap(), text);
        }
        let held = set_block("a: 1", "hold", &HOLD).unwrap();
        assert_eq!(held, format!("a: 1\n{BLOCK}"));
    }

    #[test]
    fn a_block_is_added_before_the_end_of_the_document() {
        for (start, end) in [
            ("a: 1\n", "---\n"),
            ("a: 1\n", "---"),
            ("a: 1\n", "...\n"),
            ("a: 1\n\n# tail\n", "--- # end\n\n"),
            ("---\na: 1\n", "...\n---\n"),
            ("%YAML 1.2\n---\na: |\n  --- x\n", "...\n# end\n"),
            ("a: '\n\n  ---'\n", "---\n---\n"),
        ] {
            let text = format!("{start}{end}");
            let held = set_block(&text, "hold", &HOLD).unwrap();
            assert_eq!(held, format!("{start}{BLOCK}{end}"));
            assert_eq!(remove_block(&held, "hold").unwrap(), text);
        }
        let crlf = "a: 1\r\n---\r\n";
        let held = set_block(crlf, "hold", &HOLD).unwrap();
        let block = BLOCK.replace('\n', "\r\n");
        assert_eq!(held, format!("a: 1\r\n{block}---\r\n"));
    }

    #[test]
    fn a_value_that_is_there_is_replaced_where_it_is() {
        for old in [
            "hold:\n",
            "hold: null # none\n",
            "hold: {}\n",
            "hold:\n    by: bob\n    # an aside\n\n    since: x\n",
        ] {
            let text = format!("a: 1\n{old}\n# about b\nb: 2\n");
            let held = set_block(&text, "hold", &HOLD).unwrap();
            assert_eq!(held, format!("a: 1\n{BLOCK}\n# about b\nb: 2\n"));
            let lifted = remove_block(&text, "hold").unwrap();
            assert_eq!(lifted, "a: 1\n\n# about b\nb: 2\n");
        }
    }

    #[test]
    fn only_a_key_at_the_top_counts() {
        let text = "a:\n  hold: 1\nholding: 2\n";
        assert_eq!(remove_block(text, "hold").unwrap(), text);
        let held = set_block(text, "hold", &HOLD).unwrap();
        assert_eq!(held, format!("{text}{BLOCK}"));
    }

    #[test]
    fn a_text_that_cannot_be_changed_safely_is_refused() {
        let with_a_hold = [
            "{a: 1, hold: {by: x}}\n",
            "\"hold\":\n  by: x\na: 1\n",
            "hold: &h\n  by: x\nb: *h\n",
            "a: 1\nhold: {by: [\n1]}\n",
            "hold:\n  by: x\n",
        ];
        for text in with_a_hold {
            assert!(remove_block(text, "hold").is_err(), "{text:?}");
        }
        let without = ["{a: 1}\n", "- 1\n", "", "# c\n---\n", "a: 1\n---\nb: 2\n"];
        for text in with_a_hold[..4].iter().chain(&without) {
            assert!(set_block(text, "hold", &HOLD).is_err(), "{text:?}");
        }
    }
}
