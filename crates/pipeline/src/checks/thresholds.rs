//! quality.toml: the thresholds of all checks, in one place.

use anyhow::{Context, Result, bail};
use std::ops::RangeInclusive;
use std::path::Path;

/// The file's name.
pub(crate) const FILE: &str = "quality.toml";

/// What nobody has taken from the file yet.
pub(crate) struct Thresholds {
    table: toml::Table,
}

impl Thresholds {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let file = root.join(FILE);
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&text).with_context(|| FILE.to_owned())
    }

    fn parse(text: &str) -> Result<Self> {
        let table = text.parse().context("this is not TOML")?;
        Ok(Self { table })
    }

    /// A number of percent.
    pub(crate) fn percent(&mut self, section: &str, key: &str) -> Result<f64> {
        let value = self.take(section, key);
        let number = value.and_then(|value| {
            let whole = value.as_integer().map(|number| number as f64);
            value.as_float().or(whole)
        });
        number
            .filter(|number| (0.0..=100.0).contains(number))
            .with_context(|| format!("{FILE}: [{section}]: `{key}` must be a number from 0 to 100"))
    }

    /// A number of things.
    pub(crate) fn count(
        &mut self,
        section: &str,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<u64> {
        let value = self.take(section, key);
        let number = value.and_then(|value| value.as_integer()?.try_into().ok());
        let (from, to) = (range.start(), range.end());
        number
            .filter(|number| range.contains(number))
            .with_context(|| {
                format!("{FILE}: [{section}]: `{key}` must be a whole number from {from} to {to}")
            })
    }

    fn take(&mut self, section: &str, key: &str) -> Option<toml::Value> {
        let keys = self.table.get_mut(section)?.as_table_mut()?;
        let value = keys.remove(key);
        if keys.is_empty() {
            self.table.remove(section);
        }
        value
    }

    /// What is in the file must have been taken by now: a misspelt threshold would hold nothing.
    pub(crate) fn nothing_else(&self) -> Result<()> {
        let Some((name, value)) = self.table.iter().next() else {
            return Ok(());
        };
        match value.as_table().and_then(|keys| keys.keys().next()) {
            Some(key) => bail!("{FILE}: [{name}]: `{key}` is no threshold of a check: remove it"),
            None => bail!("{FILE}: `{name}` is no section of a check: remove it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(text: &str) -> Thresholds {
        Thresholds::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_within_bounds() {
        let mut good = thresholds("[a]\nb = 0\nc = 99.5\nd = 3\n");
        assert_eq!(good.percent("a", "b").unwrap(), 0.0);
        assert_eq!(good.percent("a", "c").unwrap(), 99.5);
        assert_eq!(good.count("a", "d", 1..=3).unwrap(), 3);
        good.nothing_else().unwrap();

        for bad in ["-1", "100.1", "nan", "\"1\"", "true"] {
            let error = thresholds(&format!("[a]\nb = {bad}\n"))
                .percent("a", "b")
                .unwrap_err();
            let said = "quality.toml: [a]: `b` must be a number from 0 to 100";
            assert_eq!(error.to_string(), said, "{bad}");
        }
        for bad in ["-1", "0", "4", "1.0"] {
            let error = thresholds(&format!("[a]\nb = {bad}\n"))
                .count("a", "b", 1..=3)
                .unwrap_err();
            let said = "quality.toml: [a]: `b` must be a whole number from 1 to 3";
            assert_eq!(error.to_string(), said, "{bad}");
        }
    }

    #[test]
    fn what_is_missing_is_named_and_so_is_what_nobody_knows() {
        for missing in ["", "a = 1\n", "[a]\n", "[a]\nc = 1\n"] {
            let error = thresholds(missing).percent("a", "b").unwrap_err();
            assert!(error.to_string().contains("[a]: `b`"), "{missing}");
        }
        for (text, name) in [
            ("[a]\nb = 1\nx = 2\n", "[a]: `x` is no threshold"),
            ("[a]\nb = 1\n[y]\nb = 2\n", "[y]: `b` is no threshold"),
            ("[a]\nb = 1\n[z]\n", "`z` is no section"),
            ("z = 1\n[a]\nb = 1\n", "`z` is no section"),
        ] {
            let mut thresholds = thresholds(text);
            thresholds.percent("a", "b").unwrap();
            let error = thresholds.nothing_else().unwrap_err();
            assert!(error.to_string().contains(name), "{text}: {error}");
        }
    }
}
