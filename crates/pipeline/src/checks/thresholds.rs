//! quality.toml: the thresholds of the quality gate and of the coverage.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::Path;

/// The name of the file, at the root of the project.
pub(crate) const FILE: &str = "quality.toml";

/// The content of the file. Every key is required, and unknown keys are errors: a misspelt threshold would otherwise
/// have no effect.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Thresholds {
    /// Warnings of the compiler and of clippy.
    pub(crate) warnings: Maximum,
    /// Dependencies that no source file uses.
    pub(crate) unused_dependencies: Maximum,
    /// Duplicated code.
    pub(crate) duplication: Duplication,
    /// Lines that the tests run.
    pub(crate) coverage: Coverage,
}

/// The largest allowed number of findings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maximum {
    /// The number.
    pub(crate) maximum: u64,
}

/// What counts as duplicated code, and how much of it is allowed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Duplication {
    /// The smallest number of equal tokens that count.
    pub(crate) tokens: u64,
    /// The smallest number of lines that count.
    pub(crate) lines: u64,
    /// The largest allowed share of all lines, in percent.
    pub(crate) maximum: f64,
}

/// The required coverage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coverage {
    /// The required coverage of each gated package, in percent.
    pub(crate) floor: f64,
    /// The lowest value that `floor` may have, in percent.
    minimum: f64,
}

impl Thresholds {
    /// Reads the file at the root of the project.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let file = root.join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let thresholds: Self =
            toml::from_str(text).with_context(|| format!("cannot use {FILE}"))?;
        thresholds.validate()?;
        Ok(thresholds)
    }

    fn validate(&self) -> Result<()> {
        count("warnings", "maximum", self.warnings.maximum, 0..=1000)?;
        let unused = self.unused_dependencies.maximum;
        count("unused-dependencies", "maximum", unused, 0..=1000)?;
        let Duplication {
            tokens,
            lines,
            maximum,
        } = self.duplication;
        count("duplication", "tokens", tokens, 10..=1000)?;
        count("duplication", "lines", lines, 1..=1000)?;
        percent("duplication", "maximum", maximum)?;
        let Coverage { floor, minimum } = self.coverage;
        percent("coverage", "floor", floor)?;
        percent("coverage", "minimum", minimum)?;
        ensure!(
            floor >= minimum,
            "{FILE}: [coverage]: `floor` is {floor}, below the `minimum` of {minimum}: raise it"
        );
        Ok(())
    }
}

fn count(section: &str, key: &str, value: u64, range: RangeInclusive<u64>) -> Result<()> {
    let (from, to) = (range.start(), range.end());
    ensure!(
        range.contains(&value),
        "{FILE}: [{section}]: `{key}` must be a whole number from {from} to {to}"
    );
    Ok(())
}

fn percent(section: &str, key: &str, value: f64) -> Result<()> {
    ensure!(
        (0.0..=100.0).contains(&value),
        "{FILE}: [{section}]: `{key}` must be a number from 0 to 100"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[warnings]\nmaximum = 0\n[unused-dependencies]\nmaximum = 0\n\
        [duplication]\ntokens = 50\nlines = 5\nmaximum = 1.0\n[coverage]\nfloor = 90\nminimum = 70.0\n";

    fn error(from: &str, to: &str) -> String {
        let bad = GOOD.replacen(from, to, 1);
        assert_ne!(bad, GOOD, "{from}");
        format!("{:#}", Thresholds::parse(&bad).unwrap_err())
    }

    #[test]
    fn numbers_are_within_limits() {
        let good = Thresholds::parse(GOOD).unwrap();
        assert_eq!(good.coverage.floor, 90.0);
        assert_eq!(good.duplication.tokens, 50);
        for bad in ["-1", "100.1", "nan"] {
            let error = error("maximum = 1.0", &format!("maximum = {bad}"));
            let expected = "quality.toml: [duplication]: `maximum` must be a number from 0 to 100";
            assert_eq!(error, expected, "{bad}");
        }
        for bad in ["0", "1001"] {
            let error = error("lines = 5", &format!("lines = {bad}"));
            let expected =
                "quality.toml: [duplication]: `lines` must be a whole number from 1 to 1000";
            assert_eq!(error, expected, "{bad}");
        }
        for bad in ["\"1\"", "true", "-1", "1.5"] {
            let error = error("lines = 5", &format!("lines = {bad}"));
            assert!(error.contains(&format!("lines = {bad}")), "{bad}: {error}");
        }
    }

    #[test]
    fn missing_and_unknown_keys_are_named() {
        for (from, to, reason) in [
            ("lines = 5\n", "", "missing field `lines`"),
            ("[warnings]\nmaximum = 0\n", "", "missing field `warnings`"),
            ("lines = 5", "lines = 5\nline = 5", "unknown field `line`"),
            ("[warnings]", "[notes]\n[warnings]", "unknown field `notes`"),
            ("[warnings]", "a = 1\n[warnings]", "unknown field `a`"),
        ] {
            let error = error(from, to);
            assert!(
                error.contains(reason) && error.contains(FILE),
                "{reason}: {error}"
            );
        }
    }
}
