use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The reason why a text is not a valid value. It names what was expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Invalid(pub(super) &'static str);

/// Declares a text type that is validated when it is constructed. The schema must accept the same texts as `$valid`; a
/// test compares them.
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
    /// The name of an application or an environment, which is a DNS label.
    Name: "a DNS label: 1 to 63 characters from a-z, 0-9 and '-' that neither start nor end with '-'",
    |text| {
        (1..=63).contains(&text.len())
            && text.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-')
    },
    schema(pattern = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", example = "waybill")
}

text! {
    /// A version, such as the name of a release or an image tag.
    Version: "1 to 128 characters from A-Z, a-z, 0-9, '.', '_', '+' and '-' that start with a letter or a digit",
    |text| {
        (1..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c))
    },
    schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$", example = "v1.4.0")
}

text! {
    /// The full SHA-1 identifier of a Git commit.
    Commit: "a commit: 40 characters from 0-9 and a-f",
    |text| lower_hex(text, 40),
    schema(pattern = "^[0-9a-f]{40}$", example = "1d7b4e0a3c5f60718293a4b5c6d7e8f901234567")
}

text! {
    /// The SHA-256 digest of a container image.
    ImageDigest: "an image digest: sha256: and 64 characters from 0-9 and a-f",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| lower_hex(hex, 64)),
    schema(
        pattern = "^sha256:[0-9a-f]{64}$",
        example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )
}

text! {
    /// The name of a person or program that deploys.
    Actor: "1 to 128 characters without control characters and without white space at either end",
    |text| {
        (1..=128).contains(&text.chars().count()) && text.trim() == text && !text.contains(char::is_control)
    },
    // The first class excludes control characters and Unicode white space, the second only control characters.
    schema(
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]([^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000])?$",
        example = "delivery-bot"
    )
}

text! {
    /// A key that the client chooses for a request, so that the service recognizes a repetition.
    IdempotencyKey: "1 to 255 visible ASCII characters",
    |text| (1..=255).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic()),
    schema(min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$", example = "4f5b1c1e-run-17")
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use regex::Regex;
    use utoipa::PartialSchema;

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
    fn an_actor_is_one_line_without_outer_space() {
        assert!(
            ["github-actions[bot]", "Jane Doe", "日本", &"é".repeat(128)]
                .iter()
                .all(|text| accepts::<Actor>(text))
        );
        for text in ["", " a", "a\nb", "a\0", &"a".repeat(129)] {
            assert!(!accepts::<Actor>(text), "{text:?}");
        }
    }

    /// Checks that `T` accepts exactly the texts that its schema allows. Each character is tried in three positions,
    /// which covers every class in the patterns, and each length around the limits.
    fn assert_schema_matches<T: TryFrom<String> + PartialSchema>(valid: &str) {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
        let limit = |name: &str| schema[name].as_u64().map(|length| length as usize);
        let (min, max) = (limit("minLength").unwrap_or(0), limit("maxLength"));
        let allowed = |text: &str| {
            let length = text.chars().count();
            pattern.is_match(text) && length >= min && max.is_none_or(|max| length <= max)
        };
        let check = |text: &str| {
            let (accepted, allowed) = (accepts::<T>(text), allowed(text));
            assert_eq!(accepted, allowed, "{schema}: {text:?}");
        };

        assert!(accepts::<T>(valid), "{valid:?}");
        assert!(
            accepts::<T>(schema["example"].as_str().unwrap()),
            "{schema}"
        );
        check("");
        for length in 1..=300 {
            check(&"a".repeat(length));
            check(&"é".repeat(length));
        }
        let start = valid.chars().next().unwrap().len_utf8();
        let end = valid.len() - valid.chars().next_back().unwrap().len_utf8();
        for character in (0..=0x3100)
            .chain(0xfe00..=0x1_0010)
            .filter_map(char::from_u32)
        {
            check(&character.to_string());
            check(&format!("{character}{}", &valid[start..]));
            check(&format!("{}{character}", &valid[..end]));
            check(&format!(
                "{}{character}{}",
                &valid[..end - 1],
                &valid[end..]
            ));
        }
    }

    #[test]
    fn each_type_accepts_what_its_schema_allows() {
        assert_schema_matches::<Name>("way-bill");
        assert_schema_matches::<Version>("v1.4.0");
        assert_schema_matches::<Commit>(&"0f".repeat(20));
        assert_schema_matches::<ImageDigest>(&format!("sha256:{}", "a1".repeat(32)));
        assert_schema_matches::<Actor>("Jane Doe");
        assert_schema_matches::<IdempotencyKey>("run-17");
    }
}
