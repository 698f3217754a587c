//! Code that stands in two places, by jscpd.

use crate::project::{capture, line};
use crate::tools::{self, Step};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Where jscpd leaves its report, in a file whose name is its own.
const FOLDER: &str = "target/quality";

/// What of the Rust sources is there twice.
#[derive(Debug, PartialEq)]
pub(super) struct Duplication {
    /// Of all lines.
    pub(super) percent: f64,
    /// Each with its copy.
    pub(super) places: Vec<String>,
}

/// Looks for copies of at least so many tokens, on at least so many lines.
pub(super) fn measure(root: &Path, tokens: u64, lines: u64) -> Result<Duplication> {
    let (tokens, lines) = (tokens.to_string(), lines.to_string());
    let report = root.join(FOLDER).join("jscpd-report.json");
    let old = fs::remove_file(&report);
    ensure!(
        old.is_ok() || !report.exists(),
        "cannot remove {}",
        report.display()
    );
    let args = [
        "--min-tokens",
        &tokens,
        "--min-lines",
        &lines,
        // Else it leaves out long files.
        "--max-lines=1000000",
        "--format=rust",
        "--reporters=json",
        "--silent",
        "--no-tips",
        "--output",
        FOLDER,
        ".",
    ];
    let mut jscpd = tools::command(root, Step::Quality, "jscpd", &args)?;
    let output = capture(&mut jscpd)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{}` failed ({}): {}",
        line(&jscpd),
        output.status,
        complaint.trim()
    );
    let read = || parse(&serde_json::from_str(&fs::read_to_string(&report)?)?);
    read().with_context(|| format!("cannot read jscpd's report, {}", report.display()))
}

fn parse(report: &Value) -> Result<Duplication> {
    let total = &report["statistics"]["total"];
    ensure!(
        total["lines"].as_u64().is_some_and(|lines| lines > 0),
        "it has no lines: no Rust source was read"
    );
    let percent = total["percentage"].as_f64();
    let copies = report["duplicates"].as_array();
    let place = |copy: &Value| {
        let [first, second] = ["firstFile", "secondFile"].map(|key| {
            let file = &copy[key];
            Some(format!(
                "{}:{}",
                file["name"].as_str()?,
                file["start"].as_u64()?
            ))
        });
        Some(format!(
            "{}: as {}, {} lines",
            first?,
            second?,
            copy["lines"].as_u64()?
        ))
    };
    let places = copies.and_then(|copies| copies.iter().map(place).collect());
    Ok(Duplication {
        percent: percent.context("it has no `statistics.total.percentage`")?,
        places: places.context("it has no list of `duplicates` with their places")?,
    })
}
