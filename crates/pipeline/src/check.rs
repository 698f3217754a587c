//! Named checks. They all run, and a table at the end shows the outcome of each.
//!
//! A check that fails is followed by others, so in a job its own output would be far above the end of the log, where
//! people begin to read. There it is repeated before the table, and shown on the pages of the run and of the job.

mod capture;

use crate::workflow;
use anyhow::Result;
use capture::Capture;
use devkit::log::{Otherwise, excerpt};
use devkit::markdown;
use devkit::text::code_block;
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
    /// What the check printed, as far as it is known.
    output: String,
}

impl Summary {
    /// Runs a check and records its outcome. After a failure, the next checks still run.
    pub(crate) fn run(&mut self, check: &Check, root: &Path) {
        self.run_with(check.name, || (check.run)(root));
    }

    /// As [`Summary::run`], for a check that needs more than the root of the project.
    pub(crate) fn run_with(&mut self, name: &str, run: impl FnOnce() -> Result<Outcome>) {
        println!("== {name}");
        let start = Instant::now();
        let (result, output) = captured(run);
        if let Err(error) = &result {
            eprintln!("error: {name}: {error:#}");
        }
        self.rows.push(Row {
            name: name.to_owned(),
            result,
            time: start.elapsed(),
            output,
        });
    }

    /// Records a check that need not run here.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.rows.push(Row {
            name: name.to_owned(),
            result: Ok(Outcome::Skipped(reason.to_owned())),
            time: Duration::ZERO,
            output: String::new(),
        });
    }

    /// Records a failure that happened before the checks began.
    pub(crate) fn fail(&mut self, name: &str, error: anyhow::Error) {
        eprintln!("error: {name}: {error:#}");
        self.rows.push(Row {
            name: name.to_owned(),
            result: Err(error),
            time: Duration::ZERO,
            output: String::new(),
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

    /// Prints the table. In a job, first shows why checks failed.
    pub(crate) fn show(&self) -> Result<()> {
        for row in self.rows.iter().filter(|_| workflow::in_workflow()) {
            if let Err(error) = &row.result {
                show_failure(&row.name, &row.output, error)?;
            }
        }
        print!("\n{SUMMARY}\n{}", self.table());
        Ok(())
    }

    /// The table, with a line for each check.
    fn table(&self) -> String {
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

/// The beginning of the line before the repeated output of a failed check. The lab looks for it in logs of jobs.
const FAILED: &str = "== failed: ";

/// The line after the last repeated output.
const SUMMARY: &str = "== summary";

/// Runs a part of a command that is not a check of its own. In a job, a failure is shown as that of a check.
pub(crate) fn explained<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let (result, output) = captured(run);
    if let Err(error) = &result
        && workflow::in_workflow()
    {
        show_failure(name, &output, error)?;
        println!("\n{SUMMARY}");
    }
    result
}

/// Shows why a check failed: the important part of its output, and its error.
fn show_failure(name: &str, output: &str, error: &anyhow::Error) -> Result<()> {
    let output = excerpt(output, Otherwise::First);
    let end = if output.is_empty() { "" } else { "\n" };
    let failure = format!("{output}{end}error: {name}: {error:#}");
    println!("\n{FAILED}{name}\n{failure}");
    workflow::annotate_check(name, &failure);
    let output = code_block("text", &failure);
    workflow::summary(&markdown!("### {} failed\n\n{}", name, output))
}

/// Runs something, and returns what it printed if this process runs in a job. A terminal would lose its colours and
/// progress bars.
fn captured<T>(run: impl FnOnce() -> T) -> (T, String) {
    match workflow::in_workflow().then(Capture::start) {
        Some(Ok(capture)) => {
            let result = run();
            (result, capture.finish())
        }
        _ => (run(), String::new()),
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
