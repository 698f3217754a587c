//! Values files in the forms that YAML allows: an edit is the intended change, or a clear error, and never another change.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use devkit::values::{Hold, Values};
use devkit::yaml::{self, Node};

/// What must happen when the tag `v1` becomes `v2`, and when a hold is added and removed.
enum Expected {
    /// Both succeed. The text has `v1` once.
    Both,
    /// Only the hold succeeds; the message about the tag.
    Hold(&'static str),
    /// Only the tag succeeds; the message about the hold.
    Tag(&'static str),
    /// Both fail with these messages.
    Neither(&'static str, &'static str),
}
use Expected::{Both, Hold as OnlyHold, Neither, Tag};

/// A form, and what must happen.
const FORMS: [(&str, Expected); 39] = [
    ("image:\n  tag: v1\n", Both),
    ("image:\n  tag: v1", Both),
    ("\u{feff}image:\n  tag: v1\n", Both),
    ("# head\n---\nimage:\n  tag: v1 # why\n\n# tail\n", Both),
    ("%YAML 1.2\n---\nimage:\n  tag: 'v1'\n...\n", Both),
    ("%YAML 1.1\n---\nimage: {tag: \"v1\"}\n---\n", Both),
    ("image:\r\n  tag: v1\r\n...\r\n# end\r\n", Both),
    // Merge keys, anchors, aliases and tags of other values.
    ("base: &b {tag: x}\nimage:\n  <<: *b\n  tag: v1\n", Both),
    ("base: &b {tag: x}\nimage: &i\n  tag: v1\nother: *b\n", Both),
    ("base: !!map\n  a: !!str 1\nimage:\n  tag: v1\n", Both),
    // Keys and values in every style.
    ("? image\n: tag: v1\n", Both),
    ("image:\n  ? tag\n  : v1\n", Both),
    ("\"image\":\n  'tag': \"v1\"\n", Both),
    ("image:\n  tag:\tv1\n", Neither("not YAML", "not YAML")),
    ("image:\n  tag:   v1\t# a tab\n", Both),
    ("image:\n  note: |2+\n      tag: x\n\n  tag: v1\n", Both),
    ("image:\n  note: >-\n    tag:\n    x\n  tag: v1\n", Both),
    ("note: 'a\n\n  ---b'\nimage:\n  tag: v1\n", Both),
    (
        "note: a\n  b: c\nimage: x\n",
        Neither("not YAML", "not YAML"),
    ),
    ("list:\n- a\n-  - b\n   - c\nimage:\n  tag: v1\n", Both),
    ("{image: {tag: v1}}\n", Tag("edit the file by hand")),
    (
        "{image: {tag: v1}} # flow\n---\n",
        Tag("edit the file by hand"),
    ),
    // The tag is not a single value on one line.
    ("image:\n  tag:\n    v1\n", Both),
    (
        "image:\n  tag: v1\n    more\n",
        OnlyHold("not a simple value"),
    ),
    ("image:\n  tag: |-\n    v1\n", OnlyHold("a block of text")),
    ("image:\n  tag: >2\n    v1\n", OnlyHold("a block of text")),
    ("image:\n  tag: !!str v1\n", OnlyHold("not a simple value")),
    ("image:\n  tag: &t v1\n", OnlyHold("not a simple value")),
    (
        "base: &b {tag: v1}\nimage:\n  <<: *b\n",
        OnlyHold("other values depend on it"),
    ),
    ("image:\n  <<: {tag: v1}\n", Both),
    // Helm takes the later of a key and a merge key, and the first map of a list.
    ("image:\n  tag: x\n  <<: {tag: v1}\n", Both),
    (
        "image:\n  <<: {tag: x}\n  <<: [{tag: v1}, {tag: y}]\n",
        Both,
    ),
    (
        "image:\n  tag: v1\n<<: {hold: no}\n",
        Tag("edit the file by hand"),
    ),
    (
        "image:\n  tag: v1\n  <<: x\n",
        Neither("`<<` is not a map", "`<<` is not a map"),
    ),
    (
        "base: &b {tag: v1}\nimage: *b\n",
        OnlyHold("other values depend on it"),
    ),
    // What is not a values file.
    (
        "? [a, b]\n: c\nimage:\n  tag: v1\n",
        Neither("not a plain word", "not a plain word"),
    ),
    ("image:\n\ttag: v1\n", Neither("not YAML", "not YAML")),
    (
        "image:\n  tag: v1\n  tag: v1\n",
        Neither("is there twice", "is there twice"),
    ),
    (
        "image:\n  tag: v1\n---\na: 1\n",
        Neither("more than one document", "more than one document"),
    ),
];

fn hold() -> Hold {
    Hold {
        reason: Some("errors".to_owned()),
        by: Some("ann".to_owned()),
        since: Some("2026-11-26".to_owned()),
    }
}

/// The entries of a document without a key.
fn without(text: &str, key: &str) -> Vec<(String, Node)> {
    let entries = Node::parse(text).unwrap().entries().to_vec();
    entries
        .into_iter()
        .filter(|(name, _)| name != key)
        .collect()
}

fn expect_tag(text: &str, reason: Option<&str>) {
    match (yaml::set(text, &[("image.tag", "v2")]), reason) {
        (Ok(edited), None) => {
            assert_eq!(edited, text.replacen("v1", "v2", 1), "{text:?}");
            let tree = Node::parse(&edited).unwrap();
            assert_eq!(tree.at("image.tag").unwrap().text(), Some("v2"), "{text:?}");
            assert_eq!(without(&edited, "image"), without(text, "image"));
        }
        (Err(error), Some(reason)) => {
            let error = error.to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        (result, _) => panic!("{text:?}: {result:?}"),
    }
}

fn expect_hold(text: &str, reason: Option<&str>) {
    let held = Values::parse(text).and_then(|values| values.with_hold(&hold()));
    match (held, reason) {
        (Ok(held), None) => {
            assert_eq!(held.hold().unwrap(), Some(hold()), "{text:?}");
            assert_eq!(without(held.text(), "hold"), without(text, "hold"));
            let released = held.without_hold().unwrap();
            let lines = |text: &str| text.trim_end_matches(['\r', '\n']).to_owned();
            assert_eq!(lines(released.text()), lines(text));
        }
        (Err(error), Some(reason)) => {
            let error = error.to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        (result, _) => panic!("{text:?}: {result:?}"),
    }
}

#[test]
fn an_edit_is_the_intended_change_or_a_clear_error() {
    for (text, expected) in FORMS {
        let (tag, held) = match expected {
            Both => (None, None),
            OnlyHold(reason) => (Some(reason), None),
            Tag(reason) => (None, Some(reason)),
            Neither(tag, hold) => (Some(tag), Some(hold)),
        };
        expect_tag(text, tag);
        expect_hold(text, held);
    }
}
