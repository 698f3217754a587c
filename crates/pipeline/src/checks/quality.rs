//! `cargo pipeline quality`: measurements of the code, each against its threshold in quality.toml.

mod dependencies;
mod duplication;

use super::clippy;
use super::coverage::{self, CoverageReport, LineCount, Package};
use super::scope::{NO_CODE, Scope};
use super::thresholds::{self, Thresholds};
use crate::check::{Check, Outcome};
use crate::markdown::table as markdown_table;
use crate::project::root;
use crate::tools::{self, Step};
use crate::workflow;
use anyhow::{Result, ensure};
use devkit::git::Git;
use devkit::markdown;
use devkit::text::{LONGEST, Markdown, code};
use std::path::Path;

/// Measure the code against the thresholds in quality.toml.
///
/// All gates are measured, even after a failure. The coverage is the result of the last `cargo pipeline coverage`; if
/// there is none for this commit, the gate is skipped. A gate is also skipped if its program is missing and
/// PIPELINE_OPTIONAL_TOOLS names that program.
#[derive(clap::Args)]
pub(crate) struct Quality {
    #[command(flatten)]
    scope: Scope,
}

/// The quality gate, as one check.
pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "quality",
    run: check,
}];

impl Quality {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        if !self.scope.has_code() {
            println!("nothing is measured: {NO_CODE}");
            return Ok(());
        }
        check(&root()?).map(drop)
    }
}

fn check(root: &Path) -> Result<Outcome> {
    // Thresholds first: the measurements take a while.
    let thresholds = Thresholds::read(root)?;
    let rows: Vec<Row> = GATES
        .iter()
        .flat_map(|gate| gate.rows(root, &thresholds))
        .collect();
    let table = table(&rows);
    print!("\n{}{}", table.as_str(), places(&rows));
    let places = places_in_markdown(&rows);
    workflow::summary(&markdown!("## Quality\n\n{}{}", table, places))?;
    let failed: Vec<&str> = failed(&rows).map(|row| row.gate.as_str()).collect();
    ensure!(
        failed.is_empty(),
        "a threshold of {} is missed: {}. The places are listed above",
        thresholds::FILE,
        failed.join(", ")
    );
    Ok(Outcome::Passed)
}

struct Gate {
    name: &'static str,
    measure: fn(&Path, &Thresholds) -> Result<Vec<Row>>,
}

const GATES: [Gate; 4] = [
    Gate {
        name: "warnings",
        measure: warnings,
    },
    Gate {
        name: "unused dependencies",
        measure: unused_dependencies,
    },
    Gate {
        name: "duplicated lines",
        measure: duplicated_lines,
    },
    Gate {
        name: "coverage",
        measure: covered_lines,
    },
];

impl Gate {
    /// The measurements. A gate that cannot be measured fails.
    fn rows(&self, root: &Path, thresholds: &Thresholds) -> Vec<Row> {
        println!("== {}", self.name);
        (self.measure)(root, thresholds).unwrap_or_else(|error| {
            eprintln!("error: {}: {error:#}", self.name);
            vec![Row {
                gate: markdown!("{}", self.name),
                value: markdown!("not measured"),
                threshold: "–".to_owned(),
                status: Status::Failed,
                places: vec![format!("{error:#}")],
            }]
        })
    }
}

/// One measurement.
struct Row {
    gate: Markdown,
    value: Markdown,
    threshold: String,
    status: Status,
    /// What to change, if the gate failed.
    places: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Passed,
    Failed,
    Skipped,
}

impl Row {
    fn at_most<N: PartialOrd>(
        gate: &str,
        value: N,
        maximum: N,
        show: fn(&N) -> String,
        places: Vec<String>,
    ) -> Self {
        Self {
            gate: markdown!("{}", gate),
            value: markdown!("{}", show(&value)),
            threshold: format!("at most {}", show(&maximum)),
            status: Status::of(value <= maximum),
            places,
        }
    }

    fn at_least(gate: Markdown, lines: LineCount, minimum: f64, places: Vec<String>) -> Self {
        Self {
            gate,
            value: markdown!("{}", coverage::percent(lines.permille())),
            threshold: format!("at least {minimum:.1} %"),
            status: Status::of(lines.percent() >= minimum),
            places,
        }
    }

    fn skipped(gate: &str, reason: String) -> Vec<Self> {
        vec![Self {
            gate: markdown!("{}", gate),
            value: Markdown::reviewed(&reason, LONGEST),
            threshold: "–".to_owned(),
            status: Status::Skipped,
            places: Vec::new(),
        }]
    }
}

impl Status {
    fn of(good: bool) -> Self {
        match good {
            true => Self::Passed,
            false => Self::Failed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }
}

fn failed(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.status == Status::Failed)
}

fn table(rows: &[Row]) -> Markdown {
    let head = ["Gate", "Value", "Threshold", "Status"].map(|name| markdown!("{}", name));
    let lines = rows.iter().map(|row| {
        [
            row.gate.clone(),
            row.value.clone(),
            markdown!("{}", row.threshold),
            markdown!("{}", row.status.word()),
        ]
    });
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    markdown_table(&lines, &[0, 1, 2, 3])
}

/// A list for each failed gate of what to change.
fn places(rows: &[Row]) -> String {
    let list = |row: &Row| {
        let places: String = row
            .places
            .iter()
            .map(|place| format!("- {place}\n"))
            .collect();
        format!(
            "\n{}: {}, {}\n\n{places}",
            row.gate.as_str(),
            row.value.as_str(),
            row.threshold
        )
    };
    failed(rows).map(list).collect()
}

/// The same list for the summary of the job.
fn places_in_markdown(rows: &[Row]) -> Markdown {
    let list = |row: &Row| {
        let places = row.places.iter().map(|place| {
            // The compiler writes code in backticks.
            let place = Markdown::reviewed(place, LONGEST);
            markdown!("- {}\n", place)
        });
        let (gate, value, threshold) = (&row.gate, &row.value, &row.threshold);
        let places: Markdown = places.collect();
        markdown!("\n{}: {}, {}\n\n{}", gate, value, threshold, places)
    };
    failed(rows).map(list).collect()
}

fn warnings(root: &Path, thresholds: &Thresholds) -> Result<Vec<Row>> {
    let found = clippy::findings(root, Step::Quality)?;
    let places: Vec<String> = found
        .iter()
        .map(|found| format!("{}: {}", found.place, found.message))
        .collect();
    let count = places.len() as u64;
    let row = Row::at_most(
        "warnings",
        count,
        thresholds.warnings.maximum,
        u64::to_string,
        places,
    );
    Ok(vec![row])
}

fn unused_dependencies(root: &Path, thresholds: &Thresholds) -> Result<Vec<Row>> {
    let gate = "unused dependencies";
    if let Some(Outcome::Skipped(reason)) = tools::skipped("cargo-machete") {
        return Ok(Row::skipped(gate, reason));
    }
    let places = dependencies::unused(root)?;
    let count = places.len() as u64;
    Ok(vec![Row::at_most(
        gate,
        count,
        thresholds.unused_dependencies.maximum,
        u64::to_string,
        places,
    )])
}

fn duplicated_lines(root: &Path, thresholds: &Thresholds) -> Result<Vec<Row>> {
    let gate = "duplicated lines";
    if let Some(Outcome::Skipped(reason)) = tools::skipped("jscpd") {
        return Ok(Row::skipped(gate, reason));
    }
    let limit = &thresholds.duplication;
    let found = duplication::measure(root, limit.tokens, limit.lines)?;
    // Rounded up, so that no report shows a threshold as kept that is not.
    let show = |percent: &f64| format!("{:.2} %", (percent * 100.0).ceil() / 100.0);
    let row = Row::at_most(gate, found.percent, limit.maximum, show, found.places);
    Ok(vec![row])
}

fn covered_lines(root: &Path, thresholds: &Thresholds) -> Result<Vec<Row>> {
    let unknown = || {
        Row::skipped(
            "coverage",
            "run `cargo pipeline coverage` to measure it".to_owned(),
        )
    };
    let file = root.join(coverage::REPORT);
    if !file.exists() {
        return Ok(unknown());
    }
    let report = CoverageReport::read(&file)?;
    if report.commit != Git::new(root).read(&["rev-parse", "HEAD"])? {
        return Ok(unknown());
    }
    let packages = Package::all(root)?;
    let gated = packages.iter().filter(|package| package.gated);
    let row = |package: &Package| {
        let gate = markdown!("coverage of {}", code(&package.name));
        let lines = report.package(package);
        Row::at_least(
            gate,
            lines,
            thresholds.coverage.floor,
            report.worst_of(package),
        )
    };
    Ok(gated.map(row).collect())
}
