use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a text is not a value of the type asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Invalid(pub(super) &'static str);

/// A text that is checked once, where it enters.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident: $expected:literal, $valid:expr, $schema:meta) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
        #[serde(try_from = "String")]
        #[$schema]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err(Invalid($expected)) }
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }
    };
}

text! {
    /// The name of an application or an environment.
    Name: "a DNS label: at most 63 of a-z, 0-9 and '-', neither starting nor ending with '-'",
    |text| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-')
    },
    schema(pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", example = "waybill")
}

text! {
    /// A version: a release's name or an image tag.
    Version: "at most 128 of A-Z, a-z, 0-9, '.', '_', '+' and '-', starting with a letter or a digit",
    |text| {
        (1..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c))
    },
    schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$", example = "v1.4.0")
}

text! {
    /// A Git commit.
    Commit: "a commit: 40 of 0-9 and a-f",
    |text| lower_hex(text, 40),
    schema(pattern = "^[0-9a-f]{40}$", example = "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567")
}

text! {
    /// The digest of a container image.
    ImageDigest: "an image digest: sha256: and 64 of 0-9 and a-f",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| lower_hex(hex, 64)),
    schema(
        pattern = "^sha256:[0-9a-f]{64}$",
        example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )
}

text! {
    /// Who or what deploys.
    Actor: "1 to 128 characters, no control characters, no space at either end",
    |text| {
        (1..=128).contains(&text.chars().count()) && text.trim() == text && !text.contains(char::is_control)
    },
    schema(min_length = 1, max_length = 128, example = "delivery-bot")
}

text! {
    /// What makes a repeated request recognisable.
    IdempotencyKey: "1 to 255 visible ASCII characters",
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic()),
    schema(min_length = 1, max_length = 255, example = "4f5b1c1e-run-17")
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<T: TryFrom<String>>(text: &str) -> bool {
        T::try_from(text.to_owned()).is_ok()
    }

    #[test]
    fn a_name_is_a_dns_label() {
        assert!(
            ["a", "waybill", "eu-west-1", "0", &"a".repeat(63)]
                .iter()
                .all(|text| accepts::<Name>(text))
        );
        for text in ["", "-a", "a-", "A", "a.b", "a b", "é", &"a".repeat(64)] {
            assert!(!accepts::<Name>(text), "{text:?}");
        }
    }

    #[test]
    fn a_version_is_a_tag() {
        assert!(
            ["v1.2.3", "0.1.0+build.7", "develop-1a2b3c", "sha_1"]
                .iter()
                .all(|text| accepts::<Version>(text))
        );
        for text in ["", ".1", "v1/2", "v1 2", "v1:2", &"1".repeat(129)] {
            assert!(!accepts::<Version>(text), "{text:?}");
        }
    }

    #[test]
    fn a_commit_is_whole_and_lower_case() {
        assert!(accepts::<Commit>(&"0f".repeat(20)));
        for text in [
            "",
            "0f0f0f0",
            &"0F".repeat(20),
            &"0g".repeat(20),
            &"0".repeat(41),
        ] {
            assert!(!accepts::<Commit>(text), "{text:?}");
        }
    }

    #[test]
    fn a_digest_names_its_algorithm() {
        assert!(accepts::<ImageDigest>(&format!(
            "sha256:{}",
            "a1".repeat(32)
        )));
        for text in [
            &"a1".repeat(32),
            &format!("sha512:{}", "a1".repeat(64)),
            &format!("sha256:{}", "a1".repeat(31)),
        ] {
            assert!(!accepts::<ImageDigest>(text), "{text:?}");
        }
    }

    #[test]
    fn an_actor_is_one_line() {
        assert!(
            ["github-actions[bot]", "Jane Doe", "日本", &"é".repeat(128)]
                .iter()
                .all(|text| accepts::<Actor>(text))
        );
        for text in ["", " a", "a\nb", "a\0", &"a".repeat(129)] {
            assert!(!accepts::<Actor>(text), "{text:?}");
        }
    }
}
