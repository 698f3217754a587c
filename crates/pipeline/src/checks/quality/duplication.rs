//! Duplicated code, measured by jscpd.

use crate::tools::{self, Step};
use anyhow::{Context, Result, ensure};
use devkit::process::Run;
use serde::Deserialize;
use std::fs;
use std::path::Path;

/// The folder of jscpd's report, below the root of the project.
const FOLDER: &str = "target/quality";

/// The duplicated Rust code.
#[derive(Debug, PartialEq)]
pub(super) struct Duplication {
    /// The share of all lines, in percent.
    pub(super) percent: f64,
    /// The place of each copy and of its original.
    pub(super) places: Vec<String>,
}

/// The part of jscpd's JSON report that is used here.
#[derive(Deserialize)]
struct Report {
    duplicates: Vec<Duplicate>,
    statistics: Statistics,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Duplicate {
    first_file: Fragment,
    second_file: Fragment,
    lines: u64,
}

#[derive(Deserialize)]
struct Fragment {
    name: String,
    /// The number of the first line.
    start: u64,
}

#[derive(Deserialize)]
struct Statistics {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    lines: u64,
    percentage: f64,
}

/// Finds copies with at least the given numbers of tokens and of lines.
pub(super) fn measure(root: &Path, tokens: u64, lines: u64) -> Result<Duplication> {
    let (tokens, lines) = (tokens.to_string(), lines.to_string());
    let report = root.join(FOLDER).join("jscpd-report.json");
    let old = fs::remove_file(&report);
    ensure!(
        old.is_ok() || !report.exists(),
        "cannot delete {}",
        report.display()
    );
    let args = [
        "--min-tokens",
        &tokens,
        "--min-lines",
        &lines,
        // By default jscpd ignores long files.
        "--max-lines=1000000",
        "--format=rust",
        "--reporters=json",
        "--silent",
        "--no-tips",
        "--output",
        FOLDER,
        ".",
    ];
    tools::command(root, Step::Quality, "jscpd", &args)?.run_quietly()?;
    let read = || parse(&fs::read_to_string(&report)?);
    read().with_context(|| format!("cannot read jscpd's report, {}", report.display()))
}

fn parse(report: &str) -> Result<Duplication> {
    let Report {
        duplicates,
        statistics: Statistics { total },
    } = serde_json::from_str(report)?;
    ensure!(
        total.lines > 0,
        "it has no lines: jscpd found no Rust source"
    );
    let place = |copy: &Duplicate| {
        let (first, second) = (&copy.first_file, &copy.second_file);
        format!(
            "{}:{}: same as {}:{}, {} lines",
            first.name, first.start, second.name, second.start, copy.lines
        )
    };
    Ok(Duplication {
        percent: total.percentage,
        places: duplicates.iter().map(place).collect(),
    })
}
