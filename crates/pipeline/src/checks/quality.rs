//! The quality gate: measurements of the code, each against its threshold in quality.toml.

mod dependencies;
mod documentation;
mod duplication;
mod functions;

use crate::Outcome;
use crate::check::{Check, Ran};
use crate::checks::clippy;
use crate::checks::coverage::{self, Figures, Lines, Package};
use crate::checks::lint::tracked;
use crate::checks::thresholds::{self, Thresholds};
use crate::git::Git;
use crate::project::root;
use crate::tools::{self, Step};
use crate::workflow;
use anyhow::{Context, Result, ensure};
use functions::Function;
use std::path::Path;

/// Measure the code against the thresholds in quality.toml.
///
/// Every gate is measured, whatever the first one says. Coverage is that of the last `coverage` of this commit; said
/// when left out, as are programs that PIPELINE_OPTIONAL_TOOLS allows to be missing.
#[derive(clap::Args)]
pub(crate) struct Quality {}

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "quality",
    run: check,
}];

impl Quality {
    pub(crate) fn run(&self) -> Outcome {
        check(&root()?).map(drop)
    }
}

fn check(root: &Path) -> Result<Ran> {
    // Before anything that takes a while.
    let limits = Limits::read(root)?;
    let rows: Vec<Row> = GATES
        .iter()
        .flat_map(|gate| gate.rows(root, &limits))
        .collect();
    let report = format!("{}{}", table(&rows), places(&rows));
    print!("\n{report}");
    workflow::summary(&format!("## Quality\n\n{report}"))?;
    let broken: Vec<&str> = broken(&rows).map(|row| row.gate.as_str()).collect();
    ensure!(
        broken.is_empty(),
        "not within {}: {}. The places are listed above",
        thresholds::FILE,
        broken.join(", ")
    );
    Ok(Ran::Done)
}

/// The thresholds.
struct Limits {
    warnings: u64,
    unused: u64,
    tokens: u64,
    copied_lines: u64,
    duplicated: f64,
    complexity: u64,
    lines: u64,
    documented: f64,
    covered: f64,
}

impl Limits {
    fn read(root: &Path) -> Result<Self> {
        let mut file = Thresholds::read(root)?;
        let limits = Self {
            warnings: file.count("warnings", "maximum", 0..=1000)?,
            unused: file.count("unused-dependencies", "maximum", 0..=1000)?,
            tokens: file.count("duplication", "tokens", 10..=1000)?,
            copied_lines: file.count("duplication", "lines", 1..=1000)?,
            duplicated: file.percent("duplication", "maximum")?,
            complexity: file.count("functions", "complexity", 1..=1000)?,
            lines: file.count("functions", "lines", 1..=1000)?,
            documented: file.percent("documentation", "minimum")?,
            covered: coverage::floor_in(&mut file)?,
        };
        file.nothing_else()?;
        Ok(limits)
    }
}

struct Gate {
    name: &'static str,
    measure: fn(&Path, &Limits) -> Result<Vec<Row>>,
}

const GATES: [Gate; 6] = [
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
        name: "functions",
        measure: longest_and_most_complex,
    },
    Gate {
        name: "documented items",
        measure: documented_items,
    },
    Gate {
        name: "coverage",
        measure: covered_lines,
    },
];

impl Gate {
    /// What was measured; what can't be measured is not within its threshold.
    fn rows(&self, root: &Path, limits: &Limits) -> Vec<Row> {
        println!("== {}", self.name);
        (self.measure)(root, limits).unwrap_or_else(|error| {
            eprintln!("error: {}: {error:#}", self.name);
            vec![Row {
                gate: self.name.to_owned(),
                value: "not measured".to_owned(),
                threshold: "–".to_owned(),
                verdict: Verdict::Failed,
                places: vec![format!("{error:#}")],
            }]
        })
    }
}

/// One measurement.
struct Row {
    gate: String,
    value: String,
    threshold: String,
    verdict: Verdict,
    /// What is to be mended, where the verdict is bad.
    places: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
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
            gate: gate.to_owned(),
            value: show(&value),
            threshold: format!("at most {}", show(&maximum)),
            verdict: Verdict::of(value <= maximum),
            places,
        }
    }

    fn at_least(gate: String, lines: Lines, minimum: f64, places: Vec<String>) -> Self {
        Self {
            gate,
            value: coverage::percent(lines.permille()),
            threshold: format!("at least {minimum:.1} %"),
            verdict: Verdict::of(lines.percent() >= minimum),
            places,
        }
    }

    fn skipped(gate: &str, reason: String) -> Vec<Self> {
        vec![Self {
            gate: gate.to_owned(),
            value: reason,
            threshold: "–".to_owned(),
            verdict: Verdict::Skipped,
            places: Vec::new(),
        }]
    }
}

impl Verdict {
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

fn broken(rows: &[Row]) -> impl Iterator<Item = &Row> {
    rows.iter().filter(|row| row.verdict == Verdict::Failed)
}

fn table(rows: &[Row]) -> String {
    let head = ["Gate", "Value", "Threshold", "Verdict"].map(String::from);
    let lines = rows.iter().map(|row| {
        let word = row.verdict.word().to_owned();
        [
            row.gate.clone(),
            row.value.clone(),
            row.threshold.clone(),
            word,
        ]
    });
    let lines: Vec<_> = std::iter::once(head).chain(lines).collect();
    coverage::markdown(&lines, &[0, 1, 2, 3])
}

/// What is to be mended, as a list for each gate that isn't kept.
fn places(rows: &[Row]) -> String {
    let list = |row: &Row| {
        let places: String = row
            .places
            .iter()
            .map(|place| format!("- {place}\n"))
            .collect();
        format!(
            "\n{}: {}, {}\n\n{places}",
            row.gate, row.value, row.threshold
        )
    };
    broken(rows).map(list).collect()
}

fn warnings(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let found = clippy::findings(root, Step::Quality)?;
    let places: Vec<String> = found
        .iter()
        .map(|found| format!("{}: {}", found.place, found.message))
        .collect();
    let count = places.len() as u64;
    let row = Row::at_most("warnings", count, limits.warnings, u64::to_string, places);
    Ok(vec![row])
}

fn unused_dependencies(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let gate = "unused dependencies";
    if let Some(Ran::Skipped(reason)) = tools::skipped("cargo-machete") {
        return Ok(Row::skipped(gate, reason));
    }
    let places = dependencies::unused(root)?;
    let count = places.len() as u64;
    Ok(vec![Row::at_most(
        gate,
        count,
        limits.unused,
        u64::to_string,
        places,
    )])
}

fn duplicated_lines(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let gate = "duplicated lines";
    if let Some(Ran::Skipped(reason)) = tools::skipped("jscpd") {
        return Ok(Row::skipped(gate, reason));
    }
    let found = duplication::measure(root, limits.tokens, limits.copied_lines)?;
    // Rounded up: nothing is shown as keeping a threshold that it doesn't keep.
    let show = |percent: &f64| format!("{:.2} %", (percent * 100.0).ceil() / 100.0);
    let row = Row::at_most(gate, found.percent, limits.duplicated, show, found.places);
    Ok(vec![row])
}

fn longest_and_most_complex(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let mut all = Vec::new();
    for file in tracked(root, &["*.rs"])? {
        let functions = functions::functions(&parse(root, &file)?);
        all.extend(
            functions
                .into_iter()
                .map(|function| (file.clone(), function)),
        );
    }
    let row = |gate: &str, measure: fn(&Function) -> u64, maximum: u64| {
        let most = all.iter().map(|(_, function)| measure(function)).max();
        let over = all
            .iter()
            .filter(|(_, function)| measure(function) > maximum);
        let place = |(file, function): &(String, Function)| {
            format!(
                "{file}:{}: {}, {}",
                function.line,
                function.name,
                measure(function)
            )
        };
        let places = over.map(place).collect();
        Row::at_most(gate, most.unwrap_or(0), maximum, u64::to_string, places)
    };
    Ok(vec![
        row(
            "complexity of a function",
            |f| f.complexity,
            limits.complexity,
        ),
        row("lines of a function", |f| f.lines, limits.lines),
    ])
}

fn documented_items(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let files = tracked(root, &["*.rs"])?;
    for package in &coverage::PACKAGES {
        let (mut count, mut places) = (Lines::default(), Vec::new());
        for file in files.iter().filter(|file| package.has(file)) {
            for item in documentation::items(&parse(root, file)?) {
                count.total += 1;
                count.covered += u64::from(item.documented);
                if !item.documented {
                    places.push(format!("{file}:{}: {}", item.line, item.name));
                }
            }
        }
        let gate = format!("documented items of `{}`", package.name);
        match count.total {
            0 => rows.extend(Row::skipped(&gate, "nothing is public".to_owned())),
            _ => rows.push(Row::at_least(gate, count, limits.documented, places)),
        }
    }
    Ok(rows)
}

fn covered_lines(root: &Path, limits: &Limits) -> Result<Vec<Row>> {
    let unknown = || {
        Row::skipped(
            "coverage",
            "`cargo pipeline coverage` measures it".to_owned(),
        )
    };
    let file = root.join(coverage::FIGURES);
    if !file.exists() {
        return Ok(unknown());
    }
    let figures = Figures::read(&file)?;
    if figures.commit != Git::new(root).read(&["rev-parse", "HEAD"])? {
        return Ok(unknown());
    }
    let gated = coverage::PACKAGES.iter().filter(|package| package.gated);
    let row = |package: &Package| {
        let gate = format!("coverage of `{}`", package.name);
        let lines = figures.package(package);
        Row::at_least(gate, lines, limits.covered, figures.worst_of(package))
    };
    Ok(gated.map(row).collect())
}

fn parse(root: &Path, file: &str) -> Result<syn::File> {
    let text = std::fs::read_to_string(root.join(file));
    let text = text.with_context(|| format!("cannot read {file}"))?;
    syn::parse_file(&text).map_err(|error| {
        let line = error.span().start().line;
        anyhow::anyhow!("cannot read {file}:{line} as Rust: {error}")
    })
}
