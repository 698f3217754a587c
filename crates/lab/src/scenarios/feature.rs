//! A feature, as a developer writes it: an endpoint, its test, and a version in the changelog.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use super::world::World;
use crate::delivery::environment::Environment;

/// A new endpoint. Its number is the time, so that each run of a scenario adds another one.
pub struct Feature {
    number: i64,
    /// The version that it is released as: `v1.1.0`.
    pub version: String,
}

impl Feature {
    /// A feature of the version after the newest one.
    ///
    /// # Errors
    /// When the forge does not answer, or has no changelog.
    pub fn new(world: &World) -> Result<Self> {
        let changelog = world.forge.find_file(CHANGELOG, world.trunk())?;
        let changelog = changelog.with_context(|| format!("there is no {CHANGELOG}"))?;
        let tags = world.forge.tags()?;
        let named = tags.iter().map(String::as_str);
        Ok(Self {
            number: Timestamp::now().as_second(),
            version: next_version(named.chain(headings(&changelog))),
        })
    }

    /// The branch that it is developed on.
    pub fn branch(&self) -> String {
        format!("feature/endpoint-{}", self.number)
    }

    /// The path of the endpoint.
    pub fn path(&self) -> String {
        format!("/features/{}", self.number)
    }

    /// Writes it to a clone: the route, its handler, its test and the changelog.
    ///
    /// # Errors
    /// When a file does not have the place that it is added to.
    pub fn write(&self, world: &World, clone: &Path) -> Result<()> {
        let (number, path) = (self.number, self.path());
        let module = format!("feature_{number}");
        for (file, text) in [
            (format!("src/http/{module}.rs"), self.handler()),
            (format!("tests/api/{module}.rs"), self.test()),
        ] {
            fs::write(clone.join(&file), text).with_context(|| format!("cannot write {file}"))?;
        }
        let declared = format!("mod {module};");
        let section = "## [Unreleased]\n";
        let version = self.version.trim_start_matches('v');
        // Each place keeps the order that the formatter and the tests want, because numbers grow.
        for (file, place, added) in [
            ("src/http.rs", "mod metrics;", declared.as_str()),
            (
                "src/http.rs",
                "        .routes(routes!(probes::health))",
                &format!("        .routes(routes!({module}::read))"),
            ),
            ("tests/api/main.rs", "mod fuzz;", &declared),
            (
                "tests/api/openapi.rs",
                "        \"get /health\",",
                &format!("        \"get {path}\","),
            ),
        ] {
            world.edit(clone, file, place, &format!("{added}\n{place}"))?;
        }
        let notes = format!("{section}\n## [{version}]\n\n- `{path}` answers with its number.\n");
        world.edit(clone, CHANGELOG, section, &notes)
    }

    fn handler(&self) -> String {
        let (number, path) = (self.number, self.path());
        format!(
            r#"//! The route `{path}`.

/// Read the number of this feature.
#[utoipa::path(
    get,
    path = "{path}",
    operation_id = "readFeature{number}",
    tag = "platform",
    responses((status = OK, body = String, content_type = "text/plain", description = "The number.")),
)]
pub(super) async fn read() -> &'static str {{
    "{number}"
}}
"#
        )
    }

    fn test(&self) -> String {
        let (number, path) = (self.number, self.path());
        format!(
            r#"//! `{path}`.

use rstest::rstest;

use crate::support::Kind::{{self, Postgres, Sqlite}};

#[rstest]
fn answers_with_its_number(#[values(Sqlite, Postgres)] kind: Kind) {{
    let answer = kind.serve().get("{path}");
    assert_eq!((answer.status, answer.text.as_str()), (200, "{number}"));
}}
"#
        )
    }

    /// Checks that an environment does not have it yet.
    ///
    /// # Errors
    /// When it does.
    pub fn ensure_missing_in(&self, environment: &Environment) -> Result<()> {
        let (path, name) = (self.path(), environment.name());
        let answer = environment.get(&path);
        ensure!(
            answer.is_none(),
            "{path} answers {answer:?} in {name} already"
        );
        Ok(())
    }

    /// Checks that its endpoint answers in an environment.
    ///
    /// # Errors
    /// When it does not.
    pub fn ensure_answers_in(&self, environment: &Environment) -> Result<()> {
        let (path, name) = (self.path(), environment.name());
        let answer = environment.get(&path);
        ensure!(
            answer == Some(self.number.to_string()),
            "{path} answers {answer:?} in {name}"
        );
        Ok(())
    }
}

const CHANGELOG: &str = "CHANGELOG.md";

/// The versions in the headings of a changelog.
fn headings(changelog: &str) -> impl Iterator<Item = &str> {
    let sections = changelog
        .lines()
        .filter_map(|line| line.strip_prefix("## ["));
    sections.filter_map(|section| section.split(']').next())
}

/// The version after the newest of `names`, which a new feature gets (<https://semver.org>): at least `v1.0.0`. Prereleases
/// and other names do not count.
fn next_version<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let newest = names.filter_map(numbers).max().unwrap_or_default();
    let (major, minor) = match newest {
        [0, ..] => (1, 0),
        [major, minor, _] => (major, minor + 1),
    };
    format!("v{major}.{minor}.0")
}

/// The numbers of a final version, such as `v1.2.0` or `1.2.0`.
fn numbers(name: &str) -> Option<[u32; 3]> {
    let parts = name.strip_prefix('v').unwrap_or(name).split('.');
    let numbers: Option<Vec<u32>> = parts.map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_gets_the_next_minor_version() {
        let next = |names: &[&str]| next_version(names.iter().copied());
        assert_eq!(next(&[]), "v1.0.0");
        assert_eq!(next(&["v0.0.12", "latest", "v0.0.0-rc.x1"]), "v1.0.0");
        assert_eq!(next(&["v1.9.0", "v1.10.3", "v2.0.0-rc.1"]), "v1.11.0");
    }

    #[test]
    fn versions_in_the_changelog_count() {
        let changelog = "## [Unreleased]\n\n## [1.4.0] - 2026-01-01\n\n## [1.3.0]\n";
        assert_eq!(next_version(headings(changelog)), "v1.5.0");
    }
}
