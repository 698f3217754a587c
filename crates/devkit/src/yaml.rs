//! Reads YAML, and changes single scalars and top-level blocks in it without touching any other byte.
//!
//! A serialiser would lose comments and quotes. So the parser only gives the position of a scalar, the new text
//! replaces the old one there, and both texts are parsed and compared: exactly the given values may differ.

mod block;

pub use block::{remove_block, set_block};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// How deeply lists and maps may be nested. A deeper text would overflow the stack.
const DEEPEST: usize = 100;

/// How many values a text may have, with those of aliases. A few aliases of aliases would fill the memory.
const MOST: usize = 100_000;

/// Why a text cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is empty or holds only comments.
    #[error("the file is empty")]
    Empty,
    /// The text is not YAML.
    #[error("the file is not YAML: {0}")]
    Syntax(ScanError),
    /// The text ends within a value.
    #[error("the file ends too early")]
    Truncated,
    /// There is content after a `---`.
    #[error("the file has more than one document")]
    Documents,
    /// A map has a key twice.
    #[error("line {line}: the key `{key}` is there twice")]
    DuplicateKey {
        /// The line of the second, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A key is itself a list or a map.
    #[error("line {0}: the key is not a plain word")]
    Key(usize),
    /// The value of a merge key is neither a map nor a list of maps.
    #[error("line {0}: the value of `<<` is not a map: write a map, or an alias of one")]
    Merge(usize),
    /// Lists and maps are nested too deeply.
    #[error("line {0}: the values are nested more than {DEEPEST} levels deep")]
    Depth(usize),
    /// The text has too many values, with those of aliases.
    #[error("the file has more than {MOST} values: use fewer aliases")]
    Size,
    /// An alias is inside the value that it refers to.
    #[error("line {0}: the alias refers to a value that it is a part of")]
    Alias(usize),
    /// There is no value at a path.
    #[error("there is no key `{0}`")]
    Missing(String),
    /// The value at a path is a list or a map.
    #[error("`{0}` is not a single value")]
    NotScalar(String),
    /// The value at a path is a block scalar (`|`, `>`).
    #[error("`{0}` is a block of text: write it on the line of its key")]
    Block(String),
    /// The value at a path is empty, anchored, or spread over several lines.
    #[error(
        "`{0}` is not a simple value on the line of its key: remove anchors, tags and line breaks"
    )]
    NotSimple(String),
    /// A new value would need escapes.
    #[error("`{0}` cannot be written as a YAML value: use letters, digits and `._-:/@+`")]
    Value(String),
    /// A change would also change other values.
    #[error(
        "`{0}` cannot be changed alone: other values depend on it (an anchor or a multi-line value)"
    )]
    Shared(String),
    /// A top-level block cannot be added, replaced or removed without a change of something else.
    #[error("`{0}` cannot be changed here without a change of other values: edit the file by hand")]
    Layout(String),
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A single value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(String, Node)>),
}

/// A single value and its position in the text.
#[derive(Clone, Debug)]
pub struct Scalar {
    /// The value without quotes.
    pub value: String,
    style: ScalarStyle,
    bytes: Range<usize>,
}

impl Scalar {
    /// Whether YAML reads the value as null: `~`, `null` or nothing at all, without quotes.
    pub fn is_null(&self) -> bool {
        let null = matches!(self.value.as_str(), "" | "~" | "null" | "Null" | "NULL");
        self.style == ScalarStyle::Plain && null
    }

    /// Whether Helm, which reads YAML 1.1, takes the value for false: `false`, `no`, `off` or `n`, without quotes.
    pub fn is_false(&self) -> bool {
        const WORDS: [&str; 11] = [
            "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF",
        ];
        self.style == ScalarStyle::Plain && WORDS.contains(&self.value.as_str())
    }
}

/// Quotes decide the type (`1.10` is a number, `"1.10"` a string); the position does not belong to the value.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        let plain = |scalar: &Self| scalar.style == ScalarStyle::Plain;
        self.value == other.value && plain(self) == plain(other)
    }
}

impl Node {
    /// Parses a text that holds one document. A `---` at its end is allowed.
    ///
    /// # Errors
    /// When the text is not YAML, is empty, or has a key twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Tree::new(text).document()
    }

    /// The value under a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let (_, value) = self.entries().iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// The value at a path of keys joined by dots.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a map; none if this is something else.
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none if this is something else.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether this is null or an empty text.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Scalar(scalar) => scalar.value.is_empty() || scalar.is_null(),
            _ => false,
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
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

/// Sets the scalars at paths of keys joined by dots; every other byte stays.
///
/// # Errors
/// When a path has no single value, or its value cannot be changed alone.
pub fn set(text: &str, changes: &[(&str, &str)]) -> Result<String, Error> {
    let mut text = text.to_owned();
    for (path, value) in changes {
        text = set_one(&text, path, value)?;
    }
    Ok(text)
}

fn set_one(text: &str, path: &str, value: &str) -> Result<String, Error> {
    let mut tree = Node::parse(text)?;
    let scalar = match tree.at(path) {
        Some(Node::Scalar(scalar)) => scalar.clone(),
        Some(_) => return Err(Error::NotScalar(path.to_owned())),
        None => return Err(Error::Missing(path.to_owned())),
    };
    if scalar.value == value {
        return Ok(text.to_owned());
    }
    let quote = match scalar.style {
        ScalarStyle::Plain => None,
        ScalarStyle::SingleQuoted => Some('\''),
        ScalarStyle::DoubleQuoted => Some('"'),
        _ => return Err(Error::Block(path.to_owned())),
    };
    let old = match quote {
        None => scalar.value.clone(),
        Some(quote) => format!("{quote}{}{quote}", scalar.value),
    };
    // The parser may count the comment after a quoted value to it, and the anchor before any.
    let written = text.get(scalar.bytes.clone()).unwrap_or_default();
    if old.is_empty() || !written.starts_with(&old) {
        return Err(Error::NotSimple(path.to_owned()));
    }
    let place = scalar.bytes.start..scalar.bytes.start + old.len();
    if !is_simple(value) {
        return Err(Error::Value(value.to_owned()));
    }
    let quote = quote.or((!is_plain_string(value)).then_some('"'));
    let new = match quote {
        None => value.to_owned(),
        Some(quote) => format!("{quote}{value}{quote}"),
    };
    let mut edited = text.to_owned();
    edited.replace_range(place, &new);

    let after = Node::parse(&edited)?;
    if let Some(node) = tree.at_mut(path) {
        *node = Node::Scalar(Scalar {
            value: value.to_owned(),
            style: quote.map_or(ScalarStyle::Plain, |_| ScalarStyle::DoubleQuoted),
            bytes: 0..0,
        });
    }
    if after != tree {
        return Err(Error::Shared(path.to_owned()));
    }
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
    /// The anchored values, with the number of values in each.
    anchors: HashMap<usize, (Node, usize)>,
    depth: usize,
    values: usize,
}

impl<'t> Tree<'t> {
    fn new(text: &'t str) -> Self {
        let ends = std::iter::once(text.len());
        Self {
            events: Parser::new_from_str(text),
            offsets: text.char_indices().map(|(at, _)| at).chain(ends).collect(),
            anchors: HashMap::new(),
            depth: 0,
            values: 0,
        }
    }

    fn document(mut self) -> Result<Node, Error> {
        let mut document = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return document.ok_or(Error::Empty),
                (Event::DocumentStart(_), _) => {
                    let first = self.next()?;
                    let node = self.node(first)?;
                    match &node {
                        _ if document.is_none() => document = Some(node),
                        // A `---` at the end starts a document with nothing in it.
                        Node::Scalar(scalar) if scalar.is_null() && scalar.value.is_empty() => {}
                        _ => return Err(Error::Documents),
                    }
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Error> {
        let event = self.events.next_event().ok_or(Error::Truncated)?;
        event.map_err(Error::Syntax)
    }

    fn node(&mut self, (event, span): (Event<'t>, Span)) -> Result<Node, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Error::Depth(span.start.line()));
        }
        let before = self.values;
        self.add(1)?;
        let (node, anchor) = match event {
            Event::Scalar(value, style, anchor, _) => {
                let byte = |index: usize| self.offsets.get(index).copied().unwrap_or_default();
                let bytes = byte(span.start.index())..byte(span.end.index());
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
                let known = self.anchors.get(&anchor);
                let size = known.map_or(0, |(_, size)| *size);
                self.add(size)?;
                let known = self.anchors.get(&anchor).map(|(node, _)| node.clone());
                (known.ok_or(Error::Alias(span.start.line()))?, 0)
            }
            _ => return Err(Error::Truncated),
        };
        if anchor != 0 {
            let size = self.values - before;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        self.depth -= 1;
        Ok(node)
    }

    fn add(&mut self, values: usize) -> Result<(), Error> {
        self.values += values;
        match self.values > MOST {
            true => Err(Error::Size),
            false => Ok(()),
        }
    }

    fn map(&mut self) -> Result<Node, Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut keys = HashSet::new();
        loop {
            let (key, style) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Node::Map(entries)),
                (Event::Scalar(key, style, _, _), _) => (key.into_owned(), style),
                (_, span) => return Err(Error::Key(span.start.line())),
            };
            let value = self.next()?;
            let line = value.1.start.line();
            let value = self.node(value)?;
            if key == "<<" && style == ScalarStyle::Plain {
                for (key, value) in merged(&value).ok_or(Error::Merge(line))? {
                    put(&mut entries, key, value);
                }
            } else if keys.insert(key.clone()) {
                put(&mut entries, &key, &value);
            } else {
                return Err(Error::DuplicateKey { line, key });
            }
        }
    }
}

/// The entries that a merge key (`<<`, <https://yaml.org/type/merge.html>) adds to its map, in the order in which they
/// replace each other: of a list of maps, the first counts most. `None` if the value is something else.
fn merged(value: &Node) -> Option<Vec<&(String, Node)>> {
    match value {
        Node::Map(entries) => Some(entries.iter().collect()),
        Node::List(items) => {
            let maps = items.iter().rev().map(|item| match item {
                Node::Map(entries) => Some(entries),
                _ => None,
            });
            let maps: Vec<_> = maps.collect::<Option<_>>()?;
            Some(maps.into_iter().flatten().collect())
        }
        Node::Scalar(_) => None,
    }
}

/// Adds an entry to a map. As Helm reads it, the later of a key and a merge key counts.
fn put(entries: &mut Vec<(String, Node)>, key: &str, value: &Node) {
    match entries.iter_mut().find(|(name, _)| name == key) {
        Some((_, old)) => *old = value.clone(),
        None => entries.push((key.to_owned(), value.clone())),
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
                "image:\n  tag: \"\" # none\n",
                "image:\n  tag: \"v2\" # none\n",
            ),
            ("image:\n  tag: ''\n", "image:\n  tag: 'v2'\n"),
            ("image:\n  tag: v1\n---\n", "image:\n  tag: v2\n---\n"),
            (
                "image:\n  note: |\n    tag: v1\n  tag: v1\n",
                "image:\n  note: |\n    tag: v1\n  tag: v2\n",
            ),
        ] {
            assert_eq!(tag(before, "v2"), after);
        }
    }

    #[test]
    fn deep_and_growing_texts_are_refused() {
        for text in [
            "[".repeat(100_000),
            "- ".repeat(10_000) + "x",
            "{a: ".repeat(50_000),
        ] {
            assert!(Node::parse(&text).is_err());
        }
        let deep = Node::parse(&format!("{}x{}", "[".repeat(200), "]".repeat(200)));
        assert!(matches!(deep, Err(Error::Depth(1))), "{deep:?}");
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            text += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
        }
        assert!(matches!(Node::parse(&text), Err(Error::Size)));
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
            ("image:\n  tag: &t v1\n", "remove anchors, tags"),
            ("image:\n  tag: !!str v1\n", "remove anchors, tags"),
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
