//! The coverage report: how many lines of which files the tests ran.

use super::packages::Package;
use crate::checks::thresholds;
use crate::markdown::table;
use anyhow::{Context, Result, bail, ensure};
use devkit::markdown;
use devkit::text::{Markdown, code};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The report of the last run, below the root of the project.
pub(crate) const REPORT: &str = "target/coverage/coverage.json";

/// The LCOV report of the last run, below the root of the project.
pub(super) const LCOV: &str = "target/coverage/lcov.info";

/// The number of files in a list of the worst files.
const WORST: usize = 10;

/// Limits for a report that another run wrote.
const MAX_BYTES: u64 = 1_000_000;
const MAX_LINES: u64 = 10_000_000;
const MAX_NAME: usize = 200;

/// The number of lines that can run, and of those that did.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct LineCount {
    /// Lines that ran.
    pub(crate) covered: u64,
    /// Lines that can run.
    pub(crate) total: u64,
}

impl LineCount {
    /// Lines that did not run.
    pub(crate) fn missing(self) -> u64 {
        self.total - self.covered
    }

    /// Coverage in tenths of a percent, rounded down, so that no report shows a floor as reached that is not. Without
    /// lines it is 0.
    pub(crate) fn permille(self) -> u64 {
        (self.covered * 1000).checked_div(self.total).unwrap_or(0)
    }

    /// Coverage in percent. Without lines it is 0.
    pub(crate) fn percent(self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.covered as f64 * 100.0 / total as f64,
        }
    }
}

impl std::iter::Sum for LineCount {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, lines| Self {
            covered: sum.covered + lines.covered,
            total: sum.total + lines.total,
        })
    }
}

/// Tenths of a percent as text: `93.1 %`.
pub(crate) fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// The difference of two values in tenths of a percent, as percentage points: `+1.2`, `-0.3`, `0.0`.
pub(crate) fn change(now: u64, before: u64) -> String {
    let sign = match now.cmp(&before) {
        std::cmp::Ordering::Greater => "+",
        std::cmp::Ordering::Less => "-",
        std::cmp::Ordering::Equal => "",
    };
    let difference = now.abs_diff(before);
    format!("{sign}{}.{}", difference / 10, difference % 10)
}

/// The coverage of one commit.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct CoverageReport {
    /// The full commit ID.
    pub(crate) commit: String,
    /// The names of the packages whose tests ran. A change that affects one package leaves out the others.
    pub(crate) measured: BTreeSet<String>,
    /// By path, below the root of the project.
    pub(crate) files: BTreeMap<String, LineCount>,
}

/// The report as a file. The totals of the packages are for readers; this program computes them from the files.
#[derive(Serialize)]
struct ReportFile<'a> {
    #[serde(flatten)]
    report: &'a CoverageReport,
    packages: BTreeMap<&'a str, LineCount>,
}

impl CoverageReport {
    /// The packages that were measured.
    pub(crate) fn measured<'a>(
        &self,
        packages: &'a [Package],
    ) -> impl Iterator<Item = &'a Package> {
        packages
            .iter()
            .filter(|package| self.measured.contains(&package.name))
    }

    /// The total of a package.
    pub(crate) fn package(&self, package: &Package) -> LineCount {
        let files = self.files.iter().filter(|(file, _)| package.has(file));
        files.map(|(_, lines)| *lines).sum()
    }

    /// A Markdown table with a row for each package. `base` has the coverage to compare with, in tenths of a percent
    /// by package.
    pub(crate) fn table(
        &self,
        packages: &[Package],
        floor: f64,
        base: Option<&BTreeMap<String, u64>>,
    ) -> Markdown {
        let head = ["Package", "Covered", "Base", "Change", "Lines", "Floor"];
        let mut rows = vec![head.map(|name| markdown!("{}", name))];
        for package in self.measured(packages) {
            let lines = self.package(package);
            let before = base.and_then(|base| base.get(&package.name).copied());
            let floor = match package.gated {
                true => format!("{floor:.1} %"),
                false => "none".to_owned(),
            };
            rows.push([
                code(&package.name),
                markdown!("{}", percent(lines.permille())),
                markdown!("{}", before.map_or("unknown".into(), percent)),
                before.map_or(Markdown::default(), |before| {
                    markdown!("{}", change(lines.permille(), before))
                }),
                markdown!("{} of {}", lines.covered, lines.total),
                markdown!("{}", floor),
            ]);
        }
        let columns: &[usize] = match base {
            Some(_) => &[0, 1, 2, 3, 4, 5],
            None => &[0, 1, 4, 5],
        };
        let table = match rows.len() {
            1 => Markdown::default(),
            _ => table(&rows, columns),
        };
        let others = packages.iter().map(|package| &package.name);
        let others: Vec<&String> = others
            .filter(|name| !self.measured.contains(*name))
            .collect();
        let Some((last, others)) = others.split_last() else {
            return table;
        };
        let others = others.iter().map(|name| markdown!("{}, ", code(name)));
        markdown!(
            "{}\nThe change does not affect these packages, so they were not measured: {}{}.\n",
            table,
            others.collect::<Markdown>(),
            code(last)
        )
    }

    /// A Markdown table of the gated files with the most missing lines. Empty if no lines are missing.
    pub(super) fn worst_files(&self, packages: &[Package]) -> Markdown {
        let gated = |file: &str| packages.iter().any(|p| p.gated && p.has(file));
        let worst = self.most_missing(gated);
        if worst.is_empty() {
            return Markdown::default();
        }
        let mut rows = vec![["File", "Covered", "Missing"].map(|name| markdown!("{}", name))];
        for (file, lines) in worst {
            rows.push([
                code(file),
                markdown!("{}", percent(lines.permille())),
                markdown!("{} of {}", lines.missing(), lines.total),
            ]);
        }
        table(&rows, &[0, 1, 2])
    }

    /// The files of a package with the most missing lines: `PATH (MISSING of TOTAL)`.
    pub(crate) fn worst_of(&self, package: &Package) -> Vec<String> {
        let worst = self.most_missing(|file| package.has(file)).into_iter();
        worst
            .map(|(file, lines)| format!("{file} ({} of {})", lines.missing(), lines.total))
            .collect()
    }

    fn most_missing(&self, wanted: impl Fn(&str) -> bool) -> Vec<(&str, LineCount)> {
        let files = self.files.iter();
        let mut worst: Vec<_> = files
            .filter(|(file, lines)| wanted(file) && lines.missing() > 0)
            .map(|(file, lines)| (file.as_str(), *lines))
            .collect();
        worst.sort_by_key(|(_, lines)| Reverse(lines.missing()));
        worst.truncate(WORST);
        worst
    }

    /// Fails if a gated package is below the floor.
    pub(crate) fn check(&self, packages: &[Package], floor: f64) -> Result<()> {
        let mut below = Vec::new();
        for package in self.measured(packages).filter(|package| package.gated) {
            let lines = self.package(package);
            if lines.percent() < floor {
                below.push(format!(
                    "{} has {} of its lines covered; most are missing in {}",
                    package.name,
                    percent(lines.permille()),
                    self.worst_of(package).join(", ")
                ));
            }
        }
        if !below.is_empty() {
            bail!(
                "coverage is below the floor of {floor:.1} % ({}): {}. {LCOV} has the lines",
                thresholds::FILE,
                below.join(". ")
            );
        }
        Ok(())
    }

    /// Writes the report to a file.
    pub(super) fn write(&self, packages: &[Package], file: &Path) -> Result<()> {
        let packages = self.measured(packages);
        let packages = packages.map(|p| (p.name.as_str(), self.package(p)));
        let text = serde_json::to_string(&ReportFile {
            report: self,
            packages: packages.collect(),
        })?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads a report from a file. The run of a pull request may have written it, so it is not trusted: the result has
    /// only a commit ID, numbers within limits, and paths of harmless characters.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let parse = || {
            let size = std::fs::metadata(file)?.len();
            ensure!(size <= MAX_BYTES, "it has {size} bytes, too many");
            let report: Self = serde_json::from_str(&std::fs::read_to_string(file)?)
                // The message of the parser would quote the file.
                .map_err(|_| anyhow::anyhow!("it does not have the expected format"))?;
            report.validate()?;
            Ok(report)
        };
        parse().with_context(|| format!("cannot use {} as coverage figures", file.display()))
    }

    fn validate(&self) -> Result<()> {
        ensure!(
            devkit::git::is_commit(&self.commit),
            "`commit` is not a commit ID"
        );
        ensure!(
            self.measured.iter().all(|name| is_plain(name)),
            "`measured` has a name that is not plain"
        );
        for (file, lines) in &self.files {
            ensure!(
                is_plain(file),
                "`files` has a name that is not a plain path"
            );
            ensure!(
                lines.covered <= lines.total && lines.total <= MAX_LINES,
                "{file} has impossible line counts"
            );
        }
        Ok(())
    }
}

/// Whether a path has no special meaning in Markdown, HTML or a terminal.
fn is_plain(file: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    !file.is_empty() && file.len() <= MAX_NAME && file.bytes().all(plain)
}
