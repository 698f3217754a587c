//! Which tags an image carries (requirement C12). A tag says where a commit came from; what is deployed
//! is always pinned by digest.

use crate::Outcome;
use crate::workflow::{Event, short};
use anyhow::{Result, bail};

/// Print the tags that an image of this event carries, one a line.
#[derive(clap::Args)]
pub(crate) struct Tags {}

impl Tags {
    pub(crate) fn run(&self) -> Outcome {
        for tag in tags(&Event::from_env()?)? {
            println!("{tag}");
        }
        Ok(())
    }
}

/// The tags of an event, the one to deploy by last; none where nothing is published.
pub(crate) fn tags(event: &Event) -> Result<Vec<String>> {
    if event.is_pull_request() {
        return Ok(Vec::new());
    }
    let commit = short(&event.sha);
    let sha = format!("sha-{commit}");
    if let Some(tag) = event.reference.strip_prefix("refs/tags/") {
        let mut tags = vec![sha, tag.to_owned()];
        if release(tag)? == Release::Final {
            tags.insert(1, "latest".to_owned());
        }
        return Ok(tags);
    }
    match event.branch() {
        Some("develop") => Ok(vec![sha, "develop".to_owned(), format!("develop-{commit}")]),
        Some("main") => Ok(vec!["main".to_owned(), sha]),
        Some(_) => Ok(Vec::new()),
        None => bail!(
            "GITHUB_REF is `{}`, neither a branch (refs/heads/…) nor a tag (refs/tags/…)",
            event.reference
        ),
    }
}

/// Whether a version tag is of a pre-release.
pub(crate) fn is_preview(tag: &str) -> Result<bool> {
    Ok(release(tag)? == Release::Preview)
}

#[derive(Debug, PartialEq)]
enum Release {
    Final,
    Preview,
}

/// `vX.Y.Z`, or `vX.Y.Z-pre.release`, by the rules of Semantic Versioning. Build metadata (`+…`) can't be
/// in an image's tag.
fn release(tag: &str) -> Result<Release> {
    let Some(kind) = parse_release(tag) else {
        bail!(
            "`{tag}` is not a release tag: expected vX.Y.Z or vX.Y.Z-PRERELEASE, numbers without leading zeros"
        );
    };
    Ok(kind)
}

fn parse_release(tag: &str) -> Option<Release> {
    let version = tag.strip_prefix('v').filter(|_| tag.len() <= 128)?;
    let (core, preview) = match version.split_once('-') {
        Some((core, preview)) => (core, Some(preview)),
        None => (version, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let identifier = |part: &str| {
        let known = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !part.is_empty() && known && (!digits(part) || number(part))
    };
    let well_formed = core.split('.').count() == 3
        && core.split('.').all(number)
        && preview.is_none_or(|preview| preview.split('.').all(identifier));
    well_formed.then_some(match preview {
        None => Release::Final,
        Some(_) => Release::Preview,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, reference: &str) -> Result<Vec<String>> {
        tags(&Event {
            name: name.to_owned(),
            reference: reference.to_owned(),
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        })
    }

    #[test]
    fn each_ref_has_its_tags() {
        for (reference, expected) in [
            (
                "refs/heads/develop",
                vec!["sha-0123456", "develop", "develop-0123456"],
            ),
            ("refs/heads/main", vec!["main", "sha-0123456"]),
            ("refs/heads/staging", vec![]),
            ("refs/heads/feature/develop", vec![]),
            ("refs/heads/v1.0.0", vec![]),
            ("refs/tags/v1.0.0", vec!["sha-0123456", "latest", "v1.0.0"]),
            (
                "refs/tags/v0.10.200",
                vec!["sha-0123456", "latest", "v0.10.200"],
            ),
            ("refs/tags/v1.0.0-rc.1", vec!["sha-0123456", "v1.0.0-rc.1"]),
            (
                "refs/tags/v1.0.0-0.x-y.z",
                vec!["sha-0123456", "v1.0.0-0.x-y.z"],
            ),
        ] {
            assert_eq!(of("push", reference).unwrap(), expected, "{reference}");
        }
    }

    #[test]
    fn a_pull_request_has_none() {
        for name in ["pull_request", "pull_request_target"] {
            for reference in [
                "refs/pull/7/merge",
                "refs/pull/7/head",
                "refs/heads/develop",
            ] {
                assert!(of(name, reference).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_malformed_tag_is_an_error() {
        for tag in [
            "1.0.0",
            "v1",
            "v1.0",
            "v1.0.0.0",
            "v01.0.0",
            "v1.0.0-",
            "v1.0.0-rc..1",
            "v1.0.0-01",
            "v1.0.0+build",
            "v1.0.x",
            "V1.0.0",
            "vv1.0.0",
            "v1.0.0 ",
            "v-1.0.0",
            "release",
            "latest",
        ] {
            let error = of("push", &format!("refs/tags/{tag}"))
                .unwrap_err()
                .to_string();
            assert!(error.contains("is not a release tag"), "{tag}: {error}");
        }
        assert!(of("push", &format!("refs/tags/v1.0.0-{}", "a".repeat(128))).is_err());
    }

    #[test]
    fn something_else_is_an_error() {
        assert!(of("push", "develop").is_err());
        assert!(of("push", "refs/notes/x").is_err());
    }
}
