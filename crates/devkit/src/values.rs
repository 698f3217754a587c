//! The values file of an environment: the image that it pins, and whether it is on hold.

use crate::reference::{self, Digest, Image, Tag};
use crate::text::line;
use crate::yaml::{self, Node};
use std::collections::BTreeMap;
use std::fmt;

/// The digest in a values file before the first release.
const UNRELEASED: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Why a values file cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not usable YAML, lacks a key, or cannot be changed.
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    /// A key holds something that is not a tag or digest.
    #[error("`{key}`: {reason}")]
    Reference {
        /// The path of the key.
        key: &'static str,
        /// What is wrong with its value.
        reason: reference::Error,
    },
    /// `hold` is neither a map nor nothing.
    #[error("`hold` must be a map with `reason`, `by` and `since`; remove it to end the hold")]
    Hold,
}

/// A values file as text, parsed.
#[derive(Clone, Debug)]
pub struct Values {
    text: String,
    tree: Node,
}

/// Why an environment is to stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The reason.
    pub reason: Option<String>,
    /// Who holds it.
    pub by: Option<String>,
    /// Since when: a date.
    pub since: Option<String>,
}

/// One line. The texts come from a file that people edit, and must give no command to a workflow.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &Option<String>| text.as_deref().map_or("not given".to_owned(), line);
        let (reason, by, since) = (text(&self.reason), text(&self.by), text(&self.since));
        write!(f, "{reason} (by {by}, since {since})")
    }
}

impl Values {
    /// Parses the text of a values file.
    ///
    /// # Errors
    /// When it is not usable YAML.
    pub fn parse(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        let tree = Node::parse(&text)?;
        Ok(Self { text, tree })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The image that the values pin; `None` before the first release.
    ///
    /// # Errors
    /// When `image.tag` or `image.digest` is missing, or is not a tag or digest.
    pub fn image(&self) -> Result<Option<Image>, Error> {
        let Some(digest) = self.digest()? else {
            return Ok(None);
        };
        let key = "image.tag";
        let tag: Tag = self
            .scalar(key)?
            .parse()
            .map_err(|reason| Error::Reference { key, reason })?;
        Ok(Some(Image { tag, digest }))
    }

    /// The digest that the values pin; `None` before the first release, or where it is empty, which is the chart's default.
    ///
    /// # Errors
    /// When `image.digest` is missing, or is not a digest.
    pub fn digest(&self) -> Result<Option<Digest>, Error> {
        let key = "image.digest";
        match self.scalar(key)? {
            UNRELEASED => Ok(None),
            _ if self.tree.at(key).is_some_and(Node::is_empty) => Ok(None),
            digest => digest
                .parse()
                .map(Some)
                .map_err(|reason| Error::Reference { key, reason }),
        }
    }

    /// The image's repository, where this file sets it.
    pub fn image_repository(&self) -> Option<&str> {
        self.tree.at("image.repository").and_then(Node::text)
    }

    /// Whether `image` has the same keys and values here as in `other`, apart from the tag and the digest.
    pub fn has_image_settings_of(&self, other: &Self) -> bool {
        self.image_settings() == other.image_settings()
    }

    fn image_settings(&self) -> BTreeMap<&str, &Node> {
        let image = self.tree.get("image").map_or(&[][..], Node::entries);
        let entries = image.iter().map(|(key, value)| (key.as_str(), value));
        entries
            .filter(|(key, _)| !matches!(*key, "tag" | "digest"))
            .collect()
    }

    /// The text at a path, such as `database.existingSecret.name`; `None` where it is missing or empty.
    pub fn find(&self, path: &str) -> Option<&str> {
        let text = self.tree.at(path).and_then(Node::text);
        text.filter(|text| !text.is_empty())
    }

    fn scalar(&self, path: &str) -> Result<&str, Error> {
        let text = self.tree.at(path).and_then(Node::text);
        Ok(text.ok_or_else(|| yaml::Error::Missing(path.to_owned()))?)
    }

    /// Why the environment is to stay as it is; `None` where it is not on hold. As Helm reads it, a key without a
    /// value (`hold:`, `hold: null`, `hold: {}`) is no hold, and neither is a word for false (`hold: off`).
    ///
    /// # Errors
    /// When `hold` is something else than a map, such as `true`.
    pub fn hold(&self) -> Result<Option<Hold>, Error> {
        let hold = match self.tree.get("hold") {
            None => return Ok(None),
            Some(Node::Scalar(scalar))
                if scalar.is_null()
                    || scalar.is_false()
                    || matches!(scalar.value.as_str(), "false" | "False" | "FALSE") =>
            {
                return Ok(None);
            }
            Some(hold @ Node::Map(entries)) => match entries.is_empty() {
                true => return Ok(None),
                false => hold,
            },
            Some(_) => return Err(Error::Hold),
        };
        let text = |key: &str| {
            let text = hold.get(key).and_then(Node::text);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Ok(Some(Hold {
            reason: text("reason"),
            by: text("by"),
            since: text("since"),
        }))
    }

    /// The values with another image, and every other byte as it was.
    ///
    /// # Errors
    /// When a key is missing, or its value cannot be changed alone.
    pub fn with_image(&self, image: &Image) -> Result<Self, Error> {
        let changes = [
            ("image.tag", image.tag.as_str()),
            ("image.digest", image.digest.as_str()),
        ];
        Self::parse(yaml::set(&self.text, &changes)?)
    }

    /// The values with a hold, and every other byte as it was.
    ///
    /// # Errors
    /// When the form of the file does not allow the change.
    pub fn with_hold(&self, hold: &Hold) -> Result<Self, Error> {
        let entries = [
            ("reason", &hold.reason),
            ("by", &hold.by),
            ("since", &hold.since),
        ];
        let entries = entries.map(|(key, text)| Some((key, text.as_deref()?)));
        let entries: Vec<_> = entries.into_iter().flatten().collect();
        Self::parse(yaml::set_block(&self.text, "hold", &entries)?)
    }

    /// The values without a hold, and every other byte as it was.
    ///
    /// # Errors
    /// When the form of the file does not allow the change.
    pub fn without_hold(&self) -> Result<Self, Error> {
        Self::parse(yaml::remove_block(&self.text, "hold")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        UNRELEASED.replace('0', "a")
    }

    fn values(tag: &str, digest: &str) -> Values {
        Values::parse(format!("image:\n  tag: {tag} # why\n  digest: {digest}\n")).unwrap()
    }

    #[test]
    fn values_pin_an_image_or_none_yet() {
        assert_eq!(values("unreleased", UNRELEASED).image().unwrap(), None);
        let image = values("develop-0123456", &digest()).image().unwrap();
        let image = image.unwrap();
        assert_eq!(image.tag.as_str(), "develop-0123456");
        assert_eq!(image.digest.as_str(), digest());
    }

    #[test]
    fn an_empty_digest_is_none_as_helm_reads_it() {
        for empty in ["\"\"", "''", "", "~", "null"] {
            let values = values("\"\"", empty);
            assert_eq!(values.image().unwrap(), None, "{empty}");
        }
        assert!(values("v1", "\"null\"").image().is_err());
    }

    #[test]
    fn a_text_is_found_by_its_path_unless_it_is_empty() {
        let values = Values::parse("database:\n  secret: shop\n  key: \"\"\n").unwrap();
        assert_eq!(values.find("database.secret"), Some("shop"));
        assert_eq!(values.find("database.key"), None);
        assert_eq!(values.find("database.port"), None);
    }

    #[test]
    fn a_wrong_value_is_named_by_its_key() {
        let error = values("v1", "sha256:abc").image().unwrap_err().to_string();
        assert!(error.starts_with("`image.digest`: "), "{error}");
        let error = values("latest", &digest()).image().unwrap_err().to_string();
        assert!(error.starts_with("`image.tag`: "), "{error}");
        let error = Values::parse("image: {}").unwrap().digest().unwrap_err();
        assert_eq!(error.to_string(), "there is no key `image.digest`");
    }

    #[test]
    fn another_image_changes_two_values_and_no_other_byte() {
        let image = Image {
            tag: "v1.2.0".parse().unwrap(),
            digest: digest().parse().unwrap(),
        };
        let after = values("unreleased", UNRELEASED).with_image(&image).unwrap();
        let expected = format!("image:\n  tag: v1.2.0 # why\n  digest: {}\n", digest());
        assert_eq!(after.text(), expected);
        assert_eq!(after.image().unwrap(), Some(image));
        // The tag that Helm replaces by the chart's own version.
        let empty = values("\"\"", UNRELEASED);
        assert!(empty.with_image(&after.image().unwrap().unwrap()).is_ok());
    }

    #[test]
    fn settings_of_an_image_are_what_is_neither_tag_nor_digest() {
        let of = |image: &str| Values::parse(format!("image: {image}\n")).unwrap();
        let before = of("{tag: a, repository: r, digest: b, pull: x}");
        assert!(of("{pull: x, repository: r, tag: c}").has_image_settings_of(&before));
        for other in ["{repository: r}", "{repository: s, pull: x}", "{}", "r"] {
            assert!(!of(other).has_image_settings_of(&before), "{other}");
        }
    }

    #[test]
    fn a_hold_is_added_and_removed_and_no_other_byte_changes() {
        let before = values("develop-1", &digest());
        let hold = Hold {
            reason: Some("it leaks: badly".to_owned()),
            by: Some("ann".to_owned()),
            since: Some("2026-11-26".to_owned()),
        };
        let held = before.with_hold(&hold).unwrap();
        let block = "hold:\n  reason: \"it leaks: badly\"\n  by: ann\n  since: \"2026-11-26\"\n";
        assert_eq!(held.text(), format!("{}{block}", before.text()));
        assert_eq!(held.hold().unwrap(), Some(hold));
        assert_eq!(held.without_hold().unwrap().text(), before.text());
    }

    #[test]
    fn a_hold_says_why_by_whom_and_since_when() {
        let of = |text: &str| Values::parse(format!("a: 1\n{text}\n")).unwrap().hold();
        let hold = of("hold: {reason: a fault, by: mo, since: 2026-01-02}").unwrap();
        let hold = hold.unwrap().to_string();
        assert_eq!(hold, "a fault (by mo, since 2026-01-02)");
        let hold = of("hold: {reason: \"\"}").unwrap().unwrap();
        assert_eq!(
            hold.to_string(),
            "not given (by not given, since not given)"
        );
        for none in [
            "",
            "hold:",
            "hold: null",
            "hold: ~",
            "hold: false",
            "hold: off",
            "hold: {}",
            "<<: {hold: no}",
        ] {
            assert_eq!(of(none).unwrap(), None, "{none}");
        }
        let merged = of("<<: {hold: {reason: a fault}}").unwrap();
        assert_eq!(merged.unwrap().reason.as_deref(), Some("a fault"));
        for wrong in ["hold: true", "hold: yes", "hold: 'off'", "hold: [a]"] {
            assert!(matches!(of(wrong), Err(Error::Hold)), "{wrong}");
        }
    }
}
