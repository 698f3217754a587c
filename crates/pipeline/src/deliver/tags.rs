//! `cargo pipeline tags` prints the tags of an image (requirement C12). A tag tells people where an image comes from;
//! deployments pin the digest.

use super::version::is_prerelease;
use crate::project::root;
use crate::workflow::Event;
use anyhow::{Result, bail};
use devkit::delivery::Delivery;

/// Print the image tags for this event, one per line.
///
/// delivery.toml defines the tags of each branch and of a release. A pull request and any other branch have none.
#[derive(clap::Args)]
pub(crate) struct Tags {}

impl Tags {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let delivery = Delivery::load(&root()?)?;
        for tag in tags(&delivery, &Event::from_env()?)? {
            println!("{tag}");
        }
        Ok(())
    }
}

/// The tags for an event. The last one is the tag to deploy by. Empty if the event publishes nothing.
pub(super) fn tags(delivery: &Delivery, event: &Event) -> Result<Vec<String>> {
    if event.is_pull_request() {
        return Ok(Vec::new());
    }
    if let Some(version) = event.tag() {
        return Ok(delivery.release_image_tags(version, is_prerelease(version)?, &event.sha));
    }
    match event.branch() {
        Some(branch) => Ok(delivery
            .by_branch(branch)
            .map(|env| env.image_tags(&event.sha))
            .unwrap_or_default()),
        None => bail!(
            "GITHUB_REF is `{}`, which is neither a branch (refs/heads/…) nor a tag (refs/tags/…)",
            event.reference
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use testkit::DELIVERY;

    fn event(name: &str, reference: &str) -> Event {
        Event {
            name: name.to_owned(),
            reference: reference.to_owned(),
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        }
    }

    fn of(name: &str, reference: &str) -> Result<Vec<String>> {
        let delivery = Delivery::parse(DELIVERY).unwrap();
        tags(&delivery, &event(name, reference))
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
    fn the_rules_are_those_of_the_file() {
        let text = DELIVERY
            .replace("develop", "trunk")
            .replace("\"sha-{commit}\", \"latest\",", "\"stable\",");
        let delivery = Delivery::parse(&text).unwrap();
        let of = |reference: &str| tags(&delivery, &event("push", reference)).unwrap();
        let trunk = ["sha-0123456", "trunk", "trunk-0123456"];
        assert_eq!(of("refs/heads/trunk"), trunk);
        assert!(of("refs/heads/develop").is_empty());
        assert_eq!(of("refs/tags/v1.0.0"), ["stable", "v1.0.0"]);
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
