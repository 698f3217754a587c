//! How an image is named: by a tag that people read, and by a digest that decides what runs.

use crate::yaml::Node;
use anyhow::{Context, Result};

/// The digest in a values file before anything was released.
const NONE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The digest that a values file pins, where it pins one.
pub(crate) fn pinned(values: &str) -> Result<Option<String>> {
    let digest = Node::parse(values)?
        .at("image.digest")
        .and_then(Node::text)
        .context("there is no key `image.digest`")?
        .to_owned();
    match digest.as_str() {
        NONE => Ok(None),
        _ => parse_digest(&digest)
            .map(Some)
            .map_err(|why| anyhow::anyhow!("`image.digest` is {why}")),
    }
}

/// A tag that names one image.
pub(crate) fn parse_tag(tag: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = tag.chars().all(|c| word(c) || c == '.' || c == '-');
    if !tag.starts_with(word) || !known || tag.len() > 128 {
        return Err(
            "not an image tag (letters, digits, `_.-`, at most 128, not beginning with `.` or `-`)"
                .into(),
        );
    }
    if tag == "latest" || tag == "unreleased" {
        return Err("names no particular image".into());
    }
    Ok(tag.to_owned())
}

/// A digest that stands for an image.
pub(crate) fn parse_digest(digest: &str) -> Result<String, String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("not a digest (sha256: and 64 hexadecimal digits)".into());
    }
    if hex.bytes().all(|b| b == b'0') {
        return Err("the all-zero digest stands for no image".into());
    }
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        for tag in [
            "v1",
            "develop-0123456",
            "sha-0123456",
            "1.10",
            "_x",
            &"a".repeat(128),
        ] {
            assert!(parse_tag(tag).is_ok(), "{tag}");
        }
        for tag in [
            "",
            "-x",
            ".x",
            "a b",
            "a/b",
            "a:b",
            "a@b",
            "é",
            "latest",
            "unreleased",
            &"a".repeat(129),
        ] {
            assert!(parse_tag(tag).is_err(), "{tag}");
        }
    }

    #[test]
    fn digests_are_checked() {
        assert!(parse_digest(&format!("sha256:{}1", "0".repeat(63))).is_ok());
        for digest in [
            "",
            "sha256:",
            "sha256:abc",
            &"a".repeat(64),
            &format!("sha256:{}", "0".repeat(64)),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha512:{}", "a".repeat(64)),
        ] {
            assert!(parse_digest(digest).is_err(), "{digest}");
        }
    }

    #[test]
    fn values_pin_a_digest_or_none_yet() {
        let of = |digest: &str| pinned(&format!("image:\n  digest: {digest}\n"));
        assert_eq!(of(NONE).unwrap(), None);
        let digest = NONE.replace('0', "a");
        assert_eq!(of(&digest).unwrap(), Some(digest));
        assert!(
            of("sha256:abc")
                .unwrap_err()
                .to_string()
                .contains("not a digest")
        );
        assert!(
            pinned("image: {}")
                .unwrap_err()
                .to_string()
                .contains("image.digest")
        );
    }
}
