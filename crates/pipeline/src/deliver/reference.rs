//! References to an image: a tag for people, and a digest that decides what runs. Also version tags.

use crate::yaml::Node;
use anyhow::{Context, Result};
use semver::Version;

/// A reference to an image in a values file.
pub(crate) struct ImageReference {
    /// The tag, for people.
    pub(crate) tag: String,
    /// The digest, which decides what runs.
    pub(crate) digest: String,
}

/// The digest in a values file before the first deployment.
const NONE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The digest that a values file pins, if any.
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

/// Parses an image tag. Tags that move, such as `latest`, are refused.
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
        return Err("is a tag that moves and names no particular image".into());
    }
    Ok(tag.to_owned())
}

/// Parses the digest of an image.
pub(crate) fn parse_digest(digest: &str) -> Result<String, String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("not a digest (sha256: and 64 hexadecimal digits)".into());
    }
    if hex.bytes().all(|b| b == b'0') {
        return Err("the all-zero digest is a placeholder, not an image".into());
    }
    Ok(digest.to_owned())
}

/// Whether a version tag is a prerelease. The tag is `v` and a semantic version (<https://semver.org>) without build
/// metadata, because an image tag must not contain `+`.
pub(crate) fn is_prerelease(tag: &str) -> Result<bool> {
    let version = tag.strip_prefix('v').filter(|_| tag.len() <= 128);
    let version = version.and_then(|version| Version::parse(version).ok());
    let version = version.filter(|version| version.build.is_empty());
    let version = version.with_context(|| {
        format!(
            "`{tag}` is not a release tag: expected vX.Y.Z or vX.Y.Z-PRERELEASE, numbers without leading zeros"
        )
    })?;
    Ok(!version.pre.is_empty())
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
