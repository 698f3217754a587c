//! Which manifests are not needed. Indexes need their images, and images need their signatures.

use devkit::forge::ImageVersion;
use devkit::reference::Digest;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a manifest or an index refers to
/// (<https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md>).
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Manifest {
    /// Of an index: its manifests.
    #[serde(default)]
    manifests: Vec<Descriptor>,
    /// Of a signature or an attestation: the image.
    subject: Option<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
struct Descriptor {
    digest: Digest,
}

/// The versions that no needed one refers to, and that refer to none. `needed` has the images to keep. What refers to
/// others comes first, so that an interrupted run leaves nothing broken.
pub(super) fn obsolete<'a>(
    versions: &'a [ImageVersion],
    mut needed: BTreeSet<Digest>,
    manifests: &BTreeMap<Digest, Manifest>,
) -> Vec<&'a ImageVersion> {
    loop {
        let before = needed.len();
        for version in versions {
            let Some(manifest) = manifests.get(&version.digest) else {
                continue;
            };
            let mut images = images(version, manifest);
            if images.any(|image| needed.contains(&image)) {
                needed.insert(version.digest.clone());
            }
            if needed.contains(&version.digest) {
                let parts = manifest.manifests.iter();
                needed.extend(parts.map(|part| part.digest.clone()));
            }
        }
        if needed.len() == before {
            break;
        }
    }
    let is_needed = |version: &&ImageVersion| needed.contains(&version.digest);
    let (_, mut obsolete): (Vec<_>, Vec<_>) = versions.iter().partition(is_needed);
    let is_part = |version: &&ImageVersion| {
        let mut parts = manifests.values().flat_map(|index| &index.manifests);
        parts.any(|part| part.digest == version.digest)
    };
    obsolete.sort_by_key(is_part);
    obsolete
}

/// The images that a version is about. Registries without a list of referrers, such as GitHub's, have them under a tag
/// that has the digest of the image
/// (<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#referrers-tag-schema>); older versions of
/// cosign add an ending.
fn images(version: &ImageVersion, manifest: &Manifest) -> impl Iterator<Item = Digest> {
    let by_tag = version.tags().iter().filter_map(|tag| {
        let hex = tag.strip_prefix("sha256-")?.split('.').next()?;
        format!("sha256:{hex}").parse().ok()
    });
    let subject = manifest
        .subject
        .iter()
        .map(|subject| subject.digest.clone());
    by_tag.chain(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    /// The digits of the digests that are not needed, of manifests that are given by digit, tags and content.
    fn obsolete_of(needed: &str, manifests: &[(char, &[&str], Value)]) -> String {
        let versions: Vec<ImageVersion> = manifests
            .iter()
            .map(|(digit, tags, _)| {
                let version = json!({
                    "id": 1, "name": digest(*digit), "created_at": "",
                    "metadata": {"container": {"tags": tags}},
                });
                serde_json::from_value(version).unwrap()
            })
            .collect();
        let contents = manifests.iter().map(|(digit, _, content)| {
            let manifest = serde_json::from_value(content.clone()).unwrap();
            (digest(*digit).parse().unwrap(), manifest)
        });
        let needed = needed.chars().map(|digit| digest(digit).parse().unwrap());
        let found = obsolete(&versions, needed.collect(), &contents.collect());
        found
            .iter()
            .map(|version| &version.digest.as_str()[7..8])
            .collect()
    }

    fn image() -> Value {
        json!({"config": {"digest": digest('9')}, "layers": []})
    }

    fn index(digits: &str) -> Value {
        let parts = digits.chars().map(|digit| json!({"digest": digest(digit)}));
        json!({"manifests": parts.collect::<Vec<_>>()})
    }

    fn about(digit: char) -> Value {
        json!({"layers": [], "subject": {"digest": digest(digit)}})
    }

    #[test]
    fn an_image_that_nothing_needs_goes_with_its_signatures() {
        let tag = |digit| digest(digit).replace(':', "-");
        let (ours, theirs) = (tag('a'), tag('b'));
        let old = format!("{theirs}.sig");
        let manifests = [
            ('a', &["develop-1"][..], image()),
            ('b', &["develop-2"], image()),
            // Referrers and the list of them, as GitHub's registry has them.
            ('c', &[], about('a')),
            ('d', &[], about('b')),
            ('e', &[ours.as_str()], index("c")),
            ('f', &[theirs.as_str()], index("d")),
            // As older versions of cosign write a signature.
            ('8', &[old.as_str()], image()),
        ];
        assert_eq!(obsolete_of("a", &manifests), "bf8d");
        assert_eq!(obsolete_of("ab", &manifests), "");
        assert_eq!(obsolete_of("", &manifests), "abef8cd");
    }

    #[test]
    fn an_index_keeps_the_images_of_its_platforms_and_what_belongs_to_them() {
        let manifests = [
            ('1', &[][..], image()),
            ('2', &[], image()),
            ('3', &["v1.0.0"], index("12")),
            // The same image of one platform may be part of a newer index.
            ('4', &["develop"], index("15")),
            ('5', &[], image()),
            ('6', &[], about('5')),
        ];
        assert_eq!(obsolete_of("3", &manifests), "465");
        assert_eq!(obsolete_of("4", &manifests), "32");
    }
}
