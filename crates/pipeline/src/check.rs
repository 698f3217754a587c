//! Named checks. They all run, and a table at the end shows the outcome of each.

use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// The outcome of a check that did not fail.
pub(crate) enum Outcome {
    /// The check ran and found nothing wrong.
    Passed,
    /// The check did not run, for an allowed reason: an optional program is missing, or there is nothing to check.
    Skipped(String),
}

/// A check of the project.
pub(crate) struct Check {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// The check itself; it gets the root of the project.
    pub(crate) run: fn(&Path) -> Result<Outcome>,
}

/// The outcomes of the checks so far.
#[derive(Default)]
pub(crate) struct Summary {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    result: Result<Outcome>,
    time: Duration,
}

impl Summary {
    /// Runs a check and records its outcome. After a failure, the next checks still run.
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

    /// Records a failure that happened before the checks began.
    pub(crate) fn fail(&mut self, name: &str, error: anyhow::Error) {
        eprintln!("error: {name}: {error:#}");
        self.rows.push(Row {
            name: name.to_owned(),
            result: Err(error),
            time: Duration::ZERO,
        });
    }

    /// The number of checks that passed.
    pub(crate) fn passed(&self) -> usize {
        let done = |row: &&Row| matches!(row.result, Ok(Outcome::Passed));
        self.rows.iter().filter(done).count()
    }

    /// The number of checks that failed.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.result.is_err()).count()
    }

    /// The table, with a line for each check.
    pub(crate) fn table(&self) -> String {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        let line = |row: &Row| {
            let (word, reason) = match &row.result {
                Ok(Outcome::Passed) => ("passed", String::new()),
                Ok(Outcome::Skipped(reason)) => ("skipped", reason.clone()),
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
        let mut report = Summary::default();
        for check in [
            Check {
                name: "good",
                run: |_| Ok(Outcome::Passed),
            },
            Check {
                name: "bad",
                run: |_| bail!("two\nlines"),
            },
            Check {
                name: "later",
                run: |_| Ok(Outcome::Skipped("not now".into())),
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
