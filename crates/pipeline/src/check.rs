//! Running named checks one after the other, and saying at the end what ran, what didn't, and why.

use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a check ended that didn't fail.
pub(crate) enum Ran {
    Done,
    /// It could not run, and that's allowed: an optional tool is missing, or there is nothing to check.
    Skipped(String),
}

/// A check of the project in a folder.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Path) -> Result<Ran>,
}

/// What became of the checks so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    result: Result<Ran>,
    time: Duration,
}

impl Report {
    /// Runs a check and remembers how it ended; a failure doesn't stop the ones that follow.
    pub(crate) fn run(&mut self, check: &Check, root: &Path) {
        println!("== {}", check.name);
        let start = Instant::now();
        let result = (check.run)(root);
        if let Err(error) = &result {
            eprintln!("error: {}: {error:#}", check.name);
        }
        self.rows.push(Row {
            name: check.name.to_owned(),
            result,
            time: start.elapsed(),
        });
    }

    /// Adds something that failed before its check could begin.
    pub(crate) fn fail(&mut self, name: &str, error: anyhow::Error) {
        eprintln!("error: {name}: {error:#}");
        self.rows.push(Row {
            name: name.to_owned(),
            result: Err(error),
            time: Duration::ZERO,
        });
    }

    pub(crate) fn passed(&self) -> usize {
        let done = |row: &&Row| matches!(row.result, Ok(Ran::Done));
        self.rows.iter().filter(done).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.result.is_err()).count()
    }

    /// The table, one check a line.
    pub(crate) fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        let line = |row: &Row| {
            let (word, reason) = match &row.result {
                Ok(Ran::Done) => ("passed", String::new()),
                Ok(Ran::Skipped(reason)) => ("skipped", reason.clone()),
                Err(error) => ("FAILED", first_line(&format!("{error:#}"))),
            };
            let seconds = row.time.as_secs_f64();
            let line = format!("{:width$}  {word:7}  {seconds:6.1} s  {reason}", row.name);
            format!("{}\n", line.trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn every_check_runs_and_is_in_the_table() {
        let mut report = Report::default();
        for check in [
            Check {
                name: "good",
                run: |_| Ok(Ran::Done),
            },
            Check {
                name: "bad",
                run: |_| bail!("two\nlines"),
            },
            Check {
                name: "later",
                run: |_| Ok(Ran::Skipped("not now".into())),
            },
        ] {
            report.run(&check, Path::new("."));
        }
        report.fail("tools", anyhow::anyhow!("none"));
        assert_eq!((report.passed(), report.failed()), (1, 2));
        let table = report.table();
        let words: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0], ["good", "passed", "0.0", "s"]);
        assert_eq!(words[1], ["bad", "FAILED", "0.0", "s", "two"]);
        assert_eq!(words[2], ["later", "skipped", "0.0", "s", "not", "now"]);
        assert_eq!(words[3], ["tools", "FAILED", "0.0", "s", "none"]);
    }
}
