//! Reading YAML, and changing single scalars in it without touching any other byte.
//!
//! A serialiser would lose comments and quotes. So the parser only tells *where* a scalar stands, the new
//! text is put there, and both texts are parsed again and compared: exactly the wanted values may differ.

use anyhow::{Context, Result, bail, ensure};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use std::ops::Range;

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// A single value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(String, Node)>),
}

/// A scalar and its place in the text.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// The text, without quotes.
    pub(crate) value: String,
    style: ScalarStyle,
    bytes: Range<usize>,
}

/// Quoting decides the type (`1.10` is a number, `"1.10"` a string); the place says nothing about the value.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        let plain = |scalar: &Self| scalar.style == ScalarStyle::Plain;
        self.value == other.value && plain(self) == plain(other)
    }
}

impl Node {
    /// Parses a text that holds one document.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Tree::new(text).document()
    }

    /// The value under a key, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let (_, value) = self.entries().iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// The value at a path of keys joined by dots.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a map; none if this is something else.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none if this is something else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar(scalar) => Some(&scalar.value),
            _ => None,
        }
    }

    fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |node, key| match node {
            Self::Map(entries) => entries
                .iter_mut()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value),
            _ => None,
        })
    }
}

/// Gives the scalars at the paths the new values; every other byte stays.
pub(crate) fn set(text: &str, changes: &[(&str, &str)]) -> Result<String> {
    let mut text = text.to_owned();
    for (path, value) in changes {
        text = set_one(&text, path, value)?;
    }
    Ok(text)
}

fn set_one(text: &str, path: &str, value: &str) -> Result<String> {
    let mut tree = Node::parse(text)?;
    let scalar = match tree.at(path) {
        Some(Node::Scalar(scalar)) => scalar.clone(),
        Some(_) => bail!("`{path}` is not a single value"),
        None => bail!("there is no key `{path}`"),
    };
    if scalar.value == value {
        return Ok(text.to_owned());
    }
    let quote = match scalar.style {
        ScalarStyle::Plain => None,
        ScalarStyle::SingleQuoted => Some('\''),
        ScalarStyle::DoubleQuoted => Some('"'),
        _ => bail!("`{path}` is a block of text: write it on the line of its key"),
    };
    let old = match quote {
        None => scalar.value.clone(),
        Some(quote) => format!("{quote}{}{quote}", scalar.value),
    };
    // The parser may count the comment after a quoted value to it, and the anchor before any.
    ensure!(
        !scalar.value.is_empty() && text[scalar.bytes.clone()].starts_with(&old),
        "`{path}` is not a simple value on the line of its key"
    );
    let place = scalar.bytes.start..scalar.bytes.start + old.len();
    ensure!(
        is_simple(value),
        "`{value}` can't be written as a YAML value"
    );
    let quote = quote.or((!is_plain_string(value)).then_some('"'));
    let new = match quote {
        None => value.to_owned(),
        Some(quote) => format!("{quote}{value}{quote}"),
    };
    let mut edited = text.to_owned();
    edited.replace_range(place, &new);

    let after = Node::parse(&edited).context("the edited text is no longer YAML")?;
    if let Some(node) = tree.at_mut(path) {
        *node = Node::Scalar(Scalar {
            value: value.to_owned(),
            style: quote.map_or(ScalarStyle::Plain, |_| ScalarStyle::DoubleQuoted),
            bytes: 0..0,
        });
    }
    ensure!(
        after == tree,
        "`{path}` can't be changed alone: other values depend on it (an anchor or a multi-line value)"
    );
    Ok(edited)
}

/// Letters, digits and `._-:/@+`: what image tags and digests are made of needs no escape in any quotes.
fn is_simple(value: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "._-:/@+".contains(c);
    !value.is_empty() && value.chars().all(known) && !value.ends_with(':')
}

/// Whether a simple value is a string without quotes for YAML 1.1 (Helm's) and 1.2 readers alike.
fn is_plain_string(value: &str) -> bool {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    value.starts_with(|c: char| c.is_ascii_alphabetic())
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
}

/// Builds the nodes from the parser's events.
struct Tree<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// Byte offset of each character, and the length: the parser counts characters.
    offsets: Vec<usize>,
    anchors: HashMap<usize, Node>,
}

impl<'t> Tree<'t> {
    fn new(text: &'t str) -> Self {
        let ends = std::iter::once(text.len());
        Self {
            events: Parser::new_from_str(text),
            offsets: text.char_indices().map(|(at, _)| at).chain(ends).collect(),
            anchors: HashMap::new(),
        }
    }

    fn document(mut self) -> Result<Node> {
        let mut document = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return document.context("it is empty"),
                (Event::DocumentStart(_), _) => {
                    ensure!(document.is_none(), "it has more than one document");
                    let first = self.next()?;
                    document = Some(self.node(first)?);
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span)> {
        let event = self.events.next_event().context("it ends too early")?;
        event.context("it is not YAML")
    }

    fn node(&mut self, (event, span): (Event<'t>, Span)) -> Result<Node> {
        let (node, anchor) = match event {
            Event::Scalar(value, style, anchor, _) => {
                let byte = |index: usize| self.offsets.get(index).copied().unwrap_or_default();
                let bytes = byte(span.start.index())..byte(span.end.index());
                ensure!(bytes.start <= bytes.end, "a value has no place in the text");
                let value = value.into_owned();
                (
                    Node::Scalar(Scalar {
                        value,
                        style,
                        bytes,
                    }),
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        item => items.push(self.node(item)?),
                    }
                }
                (Node::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (self.map()?, anchor),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                (known.context("an alias refers to itself")?, 0)
            }
            other => bail!("unexpected {other:?}"),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn map(&mut self) -> Result<Node> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Node::Map(entries)),
                (Event::Scalar(key, _, _, _), _) => key.into_owned(),
                (_, span) => bail!("line {}: a key is not a plain word", span.start.line()),
            };
            let value = self.next()?;
            let line = value.1.start.line();
            let value = self.node(value)?;
            let new = entries.iter().all(|(name, _)| *name != key);
            ensure!(new, "line {line}: the key `{key}` is there twice");
            entries.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn tag(text: &str, value: &str) -> String {
        set(text, &[("image.tag", value)]).unwrap()
    }

    #[test]
    fn only_the_value_changes() {
        for (before, after) in [
            ("image:\n  tag: v1\n", "image:\n  tag: v2\n"),
            ("image:\n  tag: v1", "image:\n  tag: v2"),
            (
                "image:\n    tag:   'v1'   # why\n",
                "image:\n    tag:   'v2'   # why\n",
            ),
            (
                "image:\n  tag: \"v1\"\t# why  \n\n\n",
                "image:\n  tag: \"v2\"\t# why  \n\n\n",
            ),
            (
                "# é ü 漢字\r\nimage:\r\n  tag: v1  \r\n",
                "# é ü 漢字\r\nimage:\r\n  tag: v2  \r\n",
            ),
            (
                "image: {tag: v1, other: \"x\"}\n",
                "image: {tag: v2, other: \"x\"}\n",
            ),
            (
                "image: { \"tag\": \"v1\" } # c\n",
                "image: { \"tag\": \"v2\" } # c\n",
            ),
            (
                "---\n# head\nimage:\n  # c\n  tag: v1\nb: [1,  2]\n",
                "---\n# head\nimage:\n  # c\n  tag: v2\nb: [1,  2]\n",
            ),
            (
                "tag: v1\nimage:\n  sub:\n    tag: v1\n  tag: v1\n",
                "tag: v1\nimage:\n  sub:\n    tag: v1\n  tag: v2\n",
            ),
            (
                "x: &a {tag: v1}\ny: *a\nimage:\n  tag: v1\n",
                "x: &a {tag: v1}\ny: *a\nimage:\n  tag: v2\n",
            ),
            (
                "image:\n  note: |\n    tag: v1\n  tag: v1\n",
                "image:\n  note: |\n    tag: v1\n  tag: v2\n",
            ),
        ] {
            assert_eq!(tag(before, "v2"), after);
        }
    }

    #[test]
    fn a_value_that_would_be_a_number_gets_quotes() {
        for value in [
            "1.10",
            "1e3",
            "0123456",
            "12345678",
            "true",
            "No",
            "null",
            "2024-01-01",
        ] {
            let after = tag("image:\n  tag: v1\n", value);
            assert_eq!(after, format!("image:\n  tag: \"{value}\"\n"));
            assert_eq!(tag(&after, "v1"), "image:\n  tag: \"v1\"\n");
        }
    }

    #[test]
    fn the_same_value_changes_nothing() {
        let text = "image:\n  tag: 'v1' # é\n";
        assert_eq!(tag(text, "v1"), text);
    }

    #[test]
    fn two_values_change_together() {
        let text = "image:\n  tag: unreleased\n  digest: sha256:0\n";
        let after = set(
            text,
            &[("image.tag", "develop-0123456"), ("image.digest", DIGEST)],
        )
        .unwrap();
        assert_eq!(
            after,
            format!("image:\n  tag: develop-0123456\n  digest: {DIGEST}\n")
        );
    }

    #[test]
    fn what_cannot_be_changed_alone_is_refused() {
        for (text, reason) in [
            ("image:\n  digest: x\n", "there is no key `image.tag`"),
            ("other: 1\n", "there is no key `image.tag`"),
            ("image: x\n", "there is no key `image.tag`"),
            ("image:\n  tag:\n", "not a simple value"),
            ("image:\n  tag:\n    a: 1\n", "not a single value"),
            ("image:\n  tag: [v1]\n", "not a single value"),
            ("image:\n  tag: |\n    v1\n", "a block of text"),
            ("image:\n  tag: >-\n    v1\n", "a block of text"),
            ("image:\n  tag: v1\n    v1\n", "not a simple value"),
            ("image:\n  tag: &t v1\nother: *t\n", "not a simple value"),
            ("a: &a {tag: v1}\nimage: *a\n", "other values depend on it"),
            ("image:\n  tag: v1\n  tag: v2\n", "is there twice"),
            (
                "image:\n  tag: v1\n---\nimage:\n  tag: v1\n",
                "more than one document",
            ),
            ("image:\n  tag: 'v1\n", "not YAML"),
            ("", "empty"),
        ] {
            let error = format!("{:#}", set(text, &[("image.tag", "v2")]).unwrap_err());
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_value_with_syntax_in_it_is_refused() {
        for value in ["", "a b", "a#b", "a\"b", "a'b", "a\nb", "a:", "{a}", "*a"] {
            assert!(
                set("image:\n  tag: v1\n", &[("image.tag", value)]).is_err(),
                "{value}"
            );
        }
    }
}
