//! The parts of an image reference: repository, tag and digest, as the OCI Distribution Specification defines them.
//! People read the tag; the digest decides what runs.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not a repository, tag or digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not an image tag.
    #[error(
        "`{0}` is not an image tag: use at most 128 letters, digits and `_.-`, and begin with a letter, digit or `_`"
    )]
    Tag(String),
    /// The tag moves from image to image, or is the placeholder before the first release.
    #[error("`{0}` names no particular image: use the tag of one build")]
    MovingTag(String),
    /// The text is not a SHA-256 digest.
    #[error("`{0}` is not a digest: use `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
    /// The placeholder before the first release.
    #[error("the all-zero digest names no image")]
    ZeroDigest,
    /// The text is not the host of a registry.
    #[error("`{0}` is not a host: write it without scheme and path, such as `ghcr.io`")]
    Registry(String),
    /// The text is not the name of an image repository.
    #[error("`{name}` is not an image repository: {reason}")]
    Repository {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

macro_rules! text {
    ($type:ident) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }
    };
}

/// A tag that names one image: `develop-0123abc`. Neither `latest` nor the placeholder `unreleased`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);
text!(Tag);

impl FromStr for Tag {
    type Err = Error;

    fn from_str(tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) {
            return Err(Error::Tag(tag.to_owned()));
        }
        if tag == "latest" || tag == "unreleased" {
            return Err(Error::MovingTag(tag.to_owned()));
        }
        Ok(Self(tag.to_owned()))
    }
}

/// Whether a registry accepts `tag`, whatever it means.
pub fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = tag.chars().all(|c| word(c) || c == '.' || c == '-');
    tag.starts_with(word) && known && tag.len() <= 128
}

/// The SHA-256 digest of an image's manifest: `sha256:` and 64 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);
text!(Digest);

impl FromStr for Digest {
    type Err = Error;

    fn from_str(digest: &str) -> Result<Self, Error> {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Error::Digest(digest.to_owned()));
        }
        if hex.bytes().all(|b| b == b'0') {
            return Err(Error::ZeroDigest);
        }
        Ok(Self(digest.to_owned()))
    }
}

/// The name of an image repository with its registry: `ghcr.io/acme/shop`. Neither scheme, tag nor digest. The host is in
/// lower case, because programs compare it with other spellings of the same host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);
text!(Repository);

impl Repository {
    /// The host and port of the registry.
    pub fn registry(&self) -> &str {
        self.0.split_once('/').map_or("", |(registry, _)| registry)
    }

    /// The name within the registry.
    pub fn path(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, path)| path)
    }
}

impl FromStr for Repository {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Repository {
            name: name.to_owned(),
            reason,
        };
        if name.contains("://") {
            return Err(wrong("leave out the scheme (`https://`)"));
        }
        if name.contains('@') {
            return Err(wrong("leave out the digest (`@sha256:…`)"));
        }
        let (registry, path) = name
            .split_once('/')
            .ok_or_else(|| wrong("write `<registry>/<owner>/<name>`"))?;
        if !is_registry(registry) {
            return Err(wrong(
                "it does not begin with the registry's host, such as `ghcr.io` or `localhost:5000`",
            ));
        }
        if path.contains(':') {
            return Err(wrong("leave out the tag (`:…`)"));
        }
        if !path.split('/').all(is_component) {
            return Err(wrong(
                "each part is lower-case letters and digits, joined by single `.`, `_`, `__` or dashes",
            ));
        }
        Ok(Self(format!("{}/{path}", registry.to_ascii_lowercase())))
    }
}

/// Whether `registry` is a host with an optional port, and nothing else.
pub fn is_registry(registry: &str) -> bool {
    let (host, port) = registry.split_once(':').unwrap_or((registry, "443"));
    let label = |label: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty()
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let names_host = host.contains('.') || host == "localhost" || registry.contains(':');
    names_host && host.split('.').all(label) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// One part of a repository's path: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = part
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty());
    let ends = [part.bytes().next(), part.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(alphanumeric))
        && separators.into_iter().all(|separator| {
            matches!(separator, "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

/// One image: what people read, and what is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The tag of the build or release.
    pub tag: Tag,
    /// The digest of the manifest.
    pub digest: Digest,
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
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
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
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    #[test]
    fn digests_are_checked() {
        assert!(
            format!("sha256:{}1", "0".repeat(63))
                .parse::<Digest>()
                .is_ok()
        );
        for digest in [
            "",
            "sha256:",
            "sha256:abc",
            &"a".repeat(64),
            &format!("sha256:{}", "0".repeat(64)),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha512:{}", "a".repeat(64)),
        ] {
            assert!(digest.parse::<Digest>().is_err(), "{digest}");
        }
    }

    #[test]
    fn a_repository_is_a_registry_and_a_path() {
        let repository: Repository = "ghcr.io/acme/shop".parse().unwrap();
        assert_eq!(repository.registry(), "ghcr.io");
        assert_eq!(repository.path(), "acme/shop");
        for name in [
            "localhost/a",
            "localhost:5000/a/b/c",
            "registry:443/a",
            "a.b/c__d/e--f.g_h",
        ] {
            assert!(name.parse::<Repository>().is_ok(), "{name}");
        }
    }

    #[test]
    fn the_host_of_a_registry_is_written_in_small_letters() {
        let repository: Repository = "GHCR.IO/acme/shop".parse().unwrap();
        assert_eq!(repository.as_str(), "ghcr.io/acme/shop");
        let repository: Repository = "LocalHost:5000/a".parse().unwrap();
        assert_eq!(repository.registry(), "localhost:5000");
    }

    #[test]
    fn a_repository_that_is_something_else_says_what_to_do() {
        for (name, reason) in [
            ("https://ghcr.io/a/b", "scheme"),
            ("ghcr.io/a/b:v1", "the tag"),
            ("ghcr.io/a/b@sha256:0", "the digest"),
            ("ghcr.io", "<registry>/<owner>/<name>"),
            ("acme/shop", "the registry's host"),
            (":5000/a", "the registry's host"),
            ("ghcr.io:x/a", "the registry's host"),
            ("ghcr.io/", "each part"),
            ("ghcr.io//a", "each part"),
            ("ghcr.io/Acme/shop", "each part"),
            ("ghcr.io/a/b/", "each part"),
            ("ghcr.io/a..b", "each part"),
            ("ghcr.io/a_-b", "each part"),
            ("ghcr.io/-a", "each part"),
            ("ghcr.io/é", "each part"),
        ] {
            let error = name.parse::<Repository>().unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }
}
