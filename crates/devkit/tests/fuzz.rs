//! Properties of the parsers and edits, for the inputs in the folder `corpus` and for generated ones. Each target runs
//! for a moment, or for FUZZ_SECONDS seconds. A failure prints its input and adds its seed to fuzz.regressions, which
//! every later run repeats first.

use devkit::delivery::Delivery;
use devkit::forge::{Commit, Pull, Release, Run};
use devkit::reference::{Digest, Image, Repository, Tag};
use devkit::text::{LONGEST, Markdown, code, line};
use devkit::values::{Hold, Values};
use devkit::yaml::{self, Node};
use devkit::{markdown, plain};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde::de::DeserializeOwned;

/// Runs a target on the inputs that it gets, and on generated ones.
fn fuzz<S>(
    given: impl IntoIterator<Item = S::Value>,
    strategy: S,
    test: impl Fn(S::Value) -> TestCaseResult,
) where
    S: Strategy,
    S::Value: Clone + std::fmt::Debug,
{
    testkit::fuzz("tests/fuzz.regressions", given, strategy, test);
}

/// The inputs in a file of the folder `corpus`, a JSON value on each line.
fn corpus<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

/// Texts that are YAML, or almost.
fn yaml_corpus() -> Vec<String> {
    corpus(include_str!("corpus/yaml.jsonl"))
}

/// Text of the characters that mean something in YAML.
fn soup() -> impl Strategy<Value = String> {
    r##"(image|tag|hold|[ \t\r\n]|---|\.\.\.|[:#&*!|>'"%@`{}\[\],?a-c0-2~=<.-]|é|\u{feff}){0,60}"##
}

/// Entries before and after the image. Each stays byte for byte.
fn entry() -> impl Strategy<Value = String> {
    let name = "[a-g]{3}";
    let scalar = prop_oneof![
        "[a-z0-9]{1,9}",
        "'[a-z #:]{0,9}'",
        "\"[a-z #:é]{0,9}\"",
        Just("~".to_owned()),
        Just("{a: 1, b: [x,  y]}".to_owned()),
        Just("[]".to_owned()),
        Just("!!str 12".to_owned()),
        Just("|\n  text: x\n\n   more # no comment".to_owned()),
        Just(">-\n  folded\n  text".to_owned()),
        Just("\n  tag: v1\n  list:\n  - a\n  -  b".to_owned()),
        Just("\n- 1\n- b: 2\n  c: 3".to_owned()),
    ];
    (name, scalar, "( +# [a-zé:]{0,5})?").prop_map(|(name, scalar, comment)| {
        match scalar.contains('\n') {
            true => format!("{name}: {scalar}\n"),
            false => format!("{name}: {scalar}{comment}\n"),
        }
    })
}

/// The image of a document: the text, and whether it must be possible to edit it.
fn image() -> impl Strategy<Value = (String, bool)> {
    prop_oneof![
        "(tag|\"tag\"|'tag'): +(v1|\"v1\"|'v1'|\"\"|'')( +#.[a-z]{0,5})?"
            .prop_map(|tag| (format!("image:\n  {tag}\n"), true)),
        Just(("image: {tag: v1, b: 'x'}\n".to_owned(), true)),
        Just(("image:\n    other: &a b\n    tag: v1\n".to_owned(), true)),
        Just(("image:\n  tag: &a v1\nuses: *a\n".to_owned(), false)),
        Just(("image: &a\n  tag: v1\nuses: *a\n".to_owned(), false)),
        Just(("image:\n  tag: !!str v1\n".to_owned(), false)),
        Just(("image:\n  tag: |\n    v1\n".to_owned(), false)),
        Just(("image:\n  tag:\n    v1\n".to_owned(), false)),
        Just(("image:\n  tag: \"v\\x31\"\n".to_owned(), false)),
        Just(("image:\n  tag:\n".to_owned(), false)),
    ]
}

/// A document in the forms that people write: with comments, marks, CRLF and a second document.
fn document() -> impl Strategy<Value = (String, bool)> {
    let entries = || proptest::collection::vec(entry(), 0..4);
    let start = prop_oneof![Just(""), Just("---\n"), Just("# é\n\n"), Just("\u{feff}")];
    let end = prop_oneof![4 => Just(""), 1 => Just("---\n"), 1 => Just("...\n"), 1 => Just("---\nx: 1\n"), 1 => Just("\n# end")];
    let parts = (start, entries(), image(), entries(), end, any::<bool>());
    parts.prop_map(|(start, before, (image, simple), after, end, crlf)| {
        let text = [start, &before.concat(), &image, &after.concat(), end].concat();
        match crlf {
            true => (text.replace('\n', "\r\n"), simple),
            false => (text, simple),
        }
    })
}

/// What an edit removed and added.
fn difference(before: &str, after: &str) -> (String, String) {
    let same = |pairs: &mut dyn Iterator<Item = (char, char)>| {
        pairs
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum::<usize>()
    };
    let start = same(&mut before.chars().zip(after.chars()));
    let (before, after) = (&before[start..], &after[start..]);
    let end = same(&mut before.chars().rev().zip(after.chars().rev()));
    let cut = |text: &str| text[..text.len() - end].to_owned();
    (cut(before), cut(after))
}

#[test]
fn an_edit_changes_one_value_and_no_other_byte() {
    let value =
        "[A-Za-z_][A-Za-z0-9_.-]{0,12}|[0-9]{1,3}[.e][0-9]{1,3}|true|null|0x1F|1_000|12:30:45";
    let given = yaml_corpus().into_iter();
    let given = given.map(|text| ((text, false), "v2".to_owned()));
    fuzz(given, (document(), value), |((text, simple), value)| {
        let Ok(tree) = Node::parse(&text) else {
            return Ok(());
        };
        let edited = yaml::set(&text, &[("image.tag", &value)]);
        prop_assert!(edited.is_ok() || !simple, "{:?} of {:?}", edited, text);
        let Ok(edited) = edited else { return Ok(()) };
        let after = Node::parse(&edited).unwrap();
        prop_assert_eq!(after.at("image.tag").unwrap().text(), Some(value.as_str()));
        let (removed, added) = difference(&text, &edited);
        prop_assert!(
            added.len() <= value.len() + 2 && !removed.contains('\n'),
            "{}",
            edited
        );
        let others = |tree: &Node| {
            let entries = tree.entries().iter();
            entries
                .filter(|(key, _)| key != "image")
                .cloned()
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(others(&tree), others(&after));
        Ok(())
    });
}

#[test]
fn a_text_that_is_read_can_be_edited_or_is_refused() {
    let given = yaml_corpus().into_iter();
    let given = given.map(|text| (text, "v2".to_owned()));
    fuzz(given, (soup(), "[a-z0-9.]{1,5}"), |(text, value)| {
        for text in [
            text.clone(),
            format!("image:\n  tag: {text}\n"),
            format!("image:\n  tag: v1\n{text}"),
        ] {
            let _ = Values::parse(text.as_str())
                .map(|values| (values.image().ok(), values.hold().ok()));
            if let Ok(edited) = yaml::set(&text, &[("image.tag", &value)]) {
                let after = Node::parse(&edited).unwrap();
                prop_assert_eq!(after.at("image.tag").unwrap().text(), Some(value.as_str()));
            }
        }
        Ok(())
    });
}

#[test]
fn a_hold_is_added_and_removed_without_a_trace() {
    let hold = (any::<String>(), "[^\\p{C}]{1,20}").prop_map(|(reason, by)| Hold {
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        by: Some(by),
        since: Some("2026-11-26".to_owned()),
    });
    // A hold that is there already is replaced, and without another value the file would be empty after the removal.
    let given = yaml_corpus().into_iter();
    let given = given
        .filter(|text| text.contains("image") && !text.contains("hold"))
        .map(|text| {
            let hold = Hold {
                reason: Some("leaks: \"all\" é".to_owned()),
                by: Some("ann".to_owned()),
                since: Some("2026-11-26".to_owned()),
            };
            ((text, false), hold)
        });
    fuzz(given, (document(), hold), |((text, _), hold)| {
        let Ok(values) = Values::parse(text.as_str()) else {
            return Ok(());
        };
        let Ok(held) = values.with_hold(&hold) else {
            return Ok(());
        };
        prop_assert_eq!(held.hold().unwrap(), Some(hold));
        let released = held.without_hold().unwrap();
        let trimmed = |text: &str| text.trim_end_matches(['\r', '\n']).to_owned();
        prop_assert_eq!(trimmed(released.text()), trimmed(&text));
        Ok(())
    });
}

#[test]
fn a_delivery_file_is_read_or_refused() {
    let ours = testkit::DELIVERY;
    let lines = ours.lines().count();
    let value = prop_oneof![
        ".{0,12}",
        r#"[a-z-]{1,9} = ("[^"\\]{0,70}"|\[\]|-?[0-9]{1,9}|true)"#
    ];
    fuzz(
        [],
        (0..lines, value, any::<bool>()),
        |(at, text, replace)| {
            let mut lines: Vec<&str> = ours.lines().collect();
            let key = lines[at].split_once(" = ").map_or("", |(key, _)| key);
            let changed = format!("{key} = {text:?}");
            lines[at] = if replace && !key.is_empty() {
                &changed
            } else {
                &text
            };
            if let Ok(delivery) = Delivery::parse(&lines.join("\n")) {
                prop_assert!(
                    delivery
                        .image_repository()
                        .as_str()
                        .parse::<Repository>()
                        .is_ok()
                );
                prop_assert!(delivery.environments().len() >= 2);
            }
            Ok(())
        },
    );
}

#[test]
fn a_reference_is_parsed_to_the_same_text_or_refused() {
    let name = r"[a-zA-Z0-9./:@_ -]{0,30}|https?://[a-z./:]{0,20}|[a-z.]{1,9}(:[0-9]{1,6})?(/[a-z._-]{1,6}){0,3}(:v1|@sha256:0)?";
    let given = corpus(include_str!("corpus/references.jsonl"));
    fuzz(given, name, |name: String| {
        if let Ok(repository) = name.parse::<Repository>() {
            let host = name.split('/').next().unwrap();
            prop_assert_eq!(
                format!("{}/{}", repository.registry(), repository.path()),
                format!("{}{}", host.to_lowercase(), &name[host.len()..])
            );
            prop_assert!(!repository.path().contains([':', '@']) && !name.contains("//"));
            prop_assert_eq!(repository.path().to_lowercase(), repository.path());
        }
        if let Ok(tag) = name.parse::<Tag>() {
            prop_assert!(tag.as_str().len() <= 128 && !name.contains(['/', ':', '@', ' ']));
        }
        prop_assert!(name.parse::<Digest>().is_err());
        Ok(())
    });
}

#[test]
fn a_tag_and_digest_of_a_registry_can_be_written() {
    let tag = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}";
    fuzz([], (tag, "[0-9a-f]{64}"), |(tag, digest)| {
        let (Ok(tag), Ok(digest)) = (tag.parse(), format!("sha256:{digest}").parse()) else {
            return Ok(());
        };
        let image = Image { tag, digest };
        let values = Values::parse("image:\n  tag: \"\"\n  digest: \"\"\n").unwrap();
        prop_assert_eq!(
            values.with_image(&image).unwrap().image().unwrap(),
            Some(image)
        );
        Ok(())
    });
}

/// JSON as a forge sends it, with wrong types.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let key = "number|id|sha|commit|message|parents|head|base|ref|repo|full_name|user|login|name|state|status|conclusion|tag_name|assets|path|event";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map(key, inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn an_answer_of_a_forge_is_read_or_refused() {
    let given = corpus(include_str!("corpus/answers.jsonl"));
    fuzz(given, json(), |value: serde_json::Value| {
        let _ = serde_json::from_value::<Pull>(value.clone());
        let _ = serde_json::from_value::<Commit>(value.clone());
        let _ = serde_json::from_value::<Release>(value.clone());
        if let Ok(run) = serde_json::from_value::<Run>(value) {
            let _ = (run.file().len(), run.trigger().len(), run.reference());
        }
        Ok(())
    });
}

#[test]
fn text_of_others_stays_one_short_line_without_effect() {
    let text = r##"(@|#|!|\[skip ci\]|fixes |closes: |GH-|ann|12|https?://[a-z./@#_*`)]{0,9}|[ \n\r\t<>&*_`|\\~$:()]|\PC){0,40}"##;
    let given = corpus(include_str!("corpus/texts.jsonl"));
    fuzz(given, text, |text: String| {
        let shown = line(&text);
        prop_assert!(shown.chars().count() <= 2 * LONGEST);
        prop_assert!(!shown.contains(|c: char| c.is_control()));
        prop_assert_eq!(line(&shown), shown.clone());
        prop_assert!(!shown.to_lowercase().contains("[skip ci]"));
        let plain = plain!("{}", text);
        prop_assert_eq!(plain.as_str(), shown);
        let shown = markdown!("{}", text);
        prop_assert!(!shown.as_str().contains('\n'));
        let span = code(&text);
        prop_assert!(!span.as_str().contains('\n'));
        let _ = Markdown::reviewed(&text, 30);
        Ok(())
    });
}
