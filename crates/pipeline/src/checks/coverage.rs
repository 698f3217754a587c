//! How many lines the tests run. The figures are the source's lines, counted once however many programs they
//! are in, and without the tests that stand in the same file.

use crate::Outcome;
use crate::checks::lint::tracked;
use crate::checks::test::SERVICE_TESTS;
use crate::checks::thresholds::{self, Thresholds};
use crate::git::Git;
use crate::project::{cmd, find, read, root, run};
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where this step leaves its figures.
pub(crate) const FIGURES: &str = "target/coverage/coverage.json";

const LCOV: &str = "target/coverage/lcov.info";

/// How many files a list of the worst has.
const WORST: usize = 10;

/// Bounds for figures that somebody else's run has written.
const MAX_BYTES: u64 = 1_000_000;
const MAX_LINES: u64 = 10_000_000;
const MAX_NAME: usize = 200;

/// Measure the lines that the tests run.
///
/// They must pass, but for the service's from outside, which are run for their coverage only: whether they pass is the
/// step `test --only integration` to say, on each database.
#[derive(clap::Args)]
pub(crate) struct Coverage {}

/// A package, and whether the floor holds for it.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    folder: &'static str,
    pub(crate) gated: bool,
}

/// The lab is shown only: what proves it are its scenarios, which no unit test can stand in for.
pub(crate) const PACKAGES: [Package; 3] = [
    package("waybill", "src/", true),
    package("pipeline", "crates/pipeline/src/", true),
    package("lab", "crates/lab/src/", false),
];

const fn package(name: &'static str, folder: &'static str, gated: bool) -> Package {
    Package {
        name,
        folder,
        gated,
    }
}

impl Package {
    pub(crate) fn has(&self, file: &str) -> bool {
        file.starts_with(self.folder)
    }
}

impl Coverage {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        // Before the tests: they take a while.
        let floor = floor(&root)?;
        measure(&root)?;
        let lcov = std::fs::read_to_string(root.join(LCOV))
            .with_context(|| format!("cargo-llvm-cov wrote no {LCOV}"))?;
        let figures = Figures {
            commit: Git::new(&root).read(&["rev-parse", "HEAD"])?,
            files: files(&root, &lcov)?,
        };
        let report = format!(
            "{}\n{}",
            figures.table(floor, None),
            figures.worst(&figures.gated_files())
        );
        print!("\n{report}");
        workflow::summary(&format!("## Coverage\n\n{report}"))?;
        let file = root.join(FIGURES);
        std::fs::write(&file, figures.to_json().to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        figures.check(floor)
    }
}

/// The floor in percent.
pub(crate) fn floor(root: &Path) -> Result<f64> {
    floor_in(&mut Thresholds::read(root)?)
}

/// As [`floor`], of a file that has been read.
pub(crate) fn floor_in(thresholds: &mut Thresholds) -> Result<f64> {
    let floor = thresholds.percent("coverage", "floor")?;
    let minimum = thresholds.percent("coverage", "minimum")?;
    ensure!(
        floor >= minimum,
        "{}: [coverage]: `floor` is {floor}, below the `minimum` of {minimum}: raise it",
        thresholds::FILE
    );
    Ok(floor)
}

/// Runs the tests, and leaves what they covered in [`LCOV`].
fn measure(root: &Path) -> Result<()> {
    ensure!(
        find("cargo-llvm-cov").is_some(),
        "cargo-llvm-cov is not on PATH: `cargo pipeline tools coverage` installs it"
    );
    let target = target(root)?;
    let llvm_cov = |words: &[&str]| {
        let mut command = cmd("cargo", [&["llvm-cov"], words].concat());
        // A folder of its own: flags differ, so sharing one would build everything again and again.
        command
            .current_dir(root)
            .env("CARGO_LLVM_COV_TARGET_DIR", &target);
        command
    };
    let tests = |words: &[&str]| {
        let all = ["--no-report", "--workspace", "--locked"];
        run(&mut llvm_cov(&[&all, words].concat()))
    };
    std::fs::create_dir_all(root.join("target/coverage")).context("cannot make target/coverage")?;
    let project = metadata(root)?;
    forget(root, &project, &target, &llvm_cov)?;
    let mut all = vec!["--lib", "--bins"];
    let named = targets(&project);
    all.extend(named.iter().flat_map(|name| ["--test", name]));
    tests(&all).context("tests must pass")?;
    tests(&["--ignore-run-fail", "--test", SERVICE_TESTS])?;
    run(&mut llvm_cov(&[
        "report",
        "--workspace",
        "--lcov",
        "--output-path",
        LCOV,
    ]))
}

/// The folder that the measured programs are built in.
fn target(root: &Path) -> Result<PathBuf> {
    let target = workflow::var("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = root.join(target).join("coverage-build");
    std::fs::create_dir_all(&target)
        .with_context(|| format!("cannot make {}", target.display()))?;
    Ok(target)
}

/// Removes what earlier runs left and this one would count.
///
/// Profiles always. Programs only when the name of one may have changed, which it does with the dependencies, the
/// targets and the toolchain: else cargo replaces what it has to, and a second run builds next to nothing.
fn forget(
    root: &Path,
    project: &Value,
    target: &Path,
    llvm_cov: &dyn Fn(&[&str]) -> Command,
) -> Result<()> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
    let here = root.to_string_lossy().into_owned();
    let names = [
        // The same project elsewhere gives its programs the same names.
        project.to_string().replace(&here, ""),
        read(cmd("rustc", ["-vV"]).current_dir(root))?,
        lock,
    ]
    .concat();
    let stamp = target.join("names");
    if std::fs::read_to_string(&stamp).is_ok_and(|last| last == names) {
        return run(&mut llvm_cov(&["clean", "--profraw-only"]));
    }
    run(&mut llvm_cov(&["clean", "--workspace"]))?;
    std::fs::write(&stamp, names).with_context(|| format!("cannot write {}", stamp.display()))
}

/// The packages of the project, as cargo knows them.
fn metadata(root: &Path) -> Result<Value> {
    let mut metadata = cmd("cargo", ["metadata", "--no-deps", "--format-version=1"]);
    let text = read(metadata.current_dir(root))?;
    serde_json::from_str(&text).context("cargo metadata printed something that isn't JSON")
}

/// The tests from outside, but for the service's.
fn targets(project: &Value) -> BTreeSet<&str> {
    let targets = list(&project["packages"]).iter();
    let targets = targets.flat_map(|package| list(&package["targets"]));
    let tests = targets.filter(|target| list(&target["kind"]).contains(&json!("test")));
    let names = tests.filter_map(|target| target["name"].as_str());
    names.filter(|name| *name != SERVICE_TESTS).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// How many lines can run, and how many of them did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lines {
    pub(crate) covered: u64,
    pub(crate) total: u64,
}

impl Lines {
    pub(crate) fn missing(self) -> u64 {
        self.total - self.covered
    }

    /// Tenths of a percent, rounded down, so that nothing is shown as reaching a floor that it doesn't reach.
    /// Where nothing was measured, nothing is covered.
    pub(crate) fn permille(self) -> u64 {
        (self.covered * 1000).checked_div(self.total).unwrap_or(0)
    }

    pub(crate) fn percent(self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.covered as f64 * 100.0 / total as f64,
        }
    }
}

impl std::iter::Sum for Lines {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, lines| Self {
            covered: sum.covered + lines.covered,
            total: sum.total + lines.total,
        })
    }
}

/// `93.1 %`.
pub(crate) fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

/// What one run measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Lines>,
}

impl Figures {
    pub(crate) fn package(&self, package: &Package) -> Lines {
        let files = self.files.iter().filter(|(file, _)| package.has(file));
        files.map(|(_, lines)| *lines).sum()
    }

    fn gated_files(&self) -> Vec<&str> {
        let gated = |file: &&str| PACKAGES.iter().any(|p| p.gated && p.has(file));
        self.files
            .keys()
            .map(String::as_str)
            .filter(gated)
            .collect()
    }

    /// A row for each package, in Markdown that also reads well in a log. `base` has tenths of a percent by
    /// package, of what these figures are compared with.
    pub(crate) fn table(&self, floor: f64, base: Option<&BTreeMap<String, u64>>) -> String {
        let mut rows =
            vec![["Package", "Covered", "Base", "Change", "Lines", "Floor"].map(String::from)];
        for package in &PACKAGES {
            let lines = self.package(package);
            let before = base.and_then(|base| base.get(package.name).copied());
            rows.push([
                format!("`{}`", package.name),
                percent(lines.permille()),
                before.map_or("unknown".into(), percent),
                before.map_or("".into(), |before| change(lines.permille(), before)),
                format!("{} of {}", lines.covered, lines.total),
                match package.gated {
                    true => format!("{floor:.1} %"),
                    false => "none".into(),
                },
            ]);
        }
        let columns: &[usize] = match base {
            Some(_) => &[0, 1, 2, 3, 4, 5],
            None => &[0, 1, 4, 5],
        };
        markdown(&rows, columns)
    }

    /// The files of a list that lack most lines, in Markdown; empty if none lacks any.
    fn worst(&self, files: &[&str]) -> String {
        let worst = self.most_missing(files);
        if worst.is_empty() {
            return String::new();
        }
        let mut rows = vec![["File", "Covered", "Missing"].map(String::from)];
        for (file, lines) in worst {
            let missing = format!("{} of {}", lines.missing(), lines.total);
            rows.push([format!("`{file}`"), percent(lines.permille()), missing]);
        }
        markdown(&rows, &[0, 1, 2])
    }

    fn most_missing<'a>(&self, files: &[&'a str]) -> Vec<(&'a str, Lines)> {
        let lines = |file: &&'a str| Some((*file, *self.files.get(*file)?));
        let mut worst: Vec<_> = files.iter().filter_map(lines).collect();
        worst.retain(|(_, lines)| lines.missing() > 0);
        worst.sort_by_key(|(_, lines)| std::cmp::Reverse(lines.missing()));
        worst.truncate(WORST);
        worst
    }

    /// The files of a package that lack most lines, each with how many.
    pub(crate) fn worst_of(&self, package: &Package) -> Vec<String> {
        let files = self.files.keys().map(String::as_str);
        let files: Vec<&str> = files.filter(|file| package.has(file)).collect();
        let worst = self.most_missing(&files).into_iter();
        worst
            .map(|(file, lines)| format!("{file} ({} of {})", lines.missing(), lines.total))
            .collect()
    }

    /// Each gated package against the floor.
    pub(crate) fn check(&self, floor: f64) -> Result<()> {
        let mut below = Vec::new();
        for package in PACKAGES.iter().filter(|package| package.gated) {
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

    fn to_json(&self) -> Value {
        let lines = |lines: Lines| json!({"covered": lines.covered, "total": lines.total});
        let packages = PACKAGES
            .iter()
            .map(|p| (p.name.to_owned(), lines(self.package(p))));
        let files = self.files.iter().map(|(file, l)| (file.clone(), lines(*l)));
        json!({
            "commit": self.commit,
            "packages": packages.collect::<serde_json::Map<_, _>>(),
            "files": files.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Figures from a file. It may be the work of a stranger's pull request: everything that leaves here is a
    /// commit id, a number within bounds, or a file name of harmless letters.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let parse = || {
            let size = std::fs::metadata(file)?.len();
            ensure!(size <= MAX_BYTES, "it has {size} bytes, too many");
            Self::parse(&serde_json::from_str(&std::fs::read_to_string(file)?)?)
        };
        parse().with_context(|| format!("cannot use {} as coverage figures", file.display()))
    }

    fn parse(value: &Value) -> Result<Self> {
        let commit = value["commit"].as_str().unwrap_or_default();
        ensure!(workflow::is_commit(commit), "`commit` is not a commit id");
        let files = value["files"].as_object().context("`files` is missing")?;
        let files = files.iter().map(|(file, lines)| {
            ensure!(is_plain(file), "`files` has a name that isn't a plain path");
            let lines =
                parse_lines(lines).with_context(|| format!("{file} has no sound figures"))?;
            Ok((file.clone(), lines))
        });
        Ok(Self {
            commit: commit.to_owned(),
            files: files.collect::<Result<_>>()?,
        })
    }
}

fn parse_lines(value: &Value) -> Option<Lines> {
    let (covered, total) = (value["covered"].as_u64()?, value["total"].as_u64()?);
    (covered <= total && total <= MAX_LINES).then_some(Lines { covered, total })
}

/// A path that means nothing in Markdown, in HTML or in a terminal.
fn is_plain(file: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-');
    !file.is_empty() && file.len() <= MAX_NAME && file.bytes().all(plain)
}

/// `+1.2`, `-0.3`, `0.0`, in percentage points.
pub(crate) fn change(now: u64, before: u64) -> String {
    let sign = match now.cmp(&before) {
        std::cmp::Ordering::Greater => "+",
        std::cmp::Ordering::Less => "-",
        std::cmp::Ordering::Equal => "",
    };
    let difference = now.abs_diff(before);
    format!("{sign}{}.{}", difference / 10, difference % 10)
}

/// The chosen columns of a table whose first row is its head, as Markdown with straight columns.
pub(crate) fn markdown<const N: usize>(rows: &[[String; N]], columns: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for &column in columns {
            let width = width(column);
            text += &match column {
                0 => format!("| {:width$} ", row[column]),
                _ => format!("| {:>width$} ", row[column]),
            };
        }
        text += "|\n";
        if number == 0 {
            for &column in columns {
                let dashes = "-".repeat(width(column));
                text += &match column {
                    0 => format!("|:{dashes}-"),
                    _ => format!("|-{dashes}:"),
                };
            }
            text += "|\n";
        }
    }
    text
}

/// The packages' files in a report in LCOV's format.
fn files(root: &Path, lcov: &str) -> Result<BTreeMap<String, Lines>> {
    let ours = tracked(root, &["*.rs"])?;
    let ours = ours.iter().map(String::as_str);
    let ours: Vec<&str> = ours
        .filter(|file| PACKAGES.iter().any(|package| package.has(file)))
        .collect();
    let mut files = BTreeMap::new();
    for (file, lines) in hits(lcov, &ours)? {
        let source = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read {file}"))?;
        let end = tests_begin(&source);
        let lines = lines.range(..end);
        let count = Lines {
            total: lines.clone().count() as u64,
            covered: lines.filter(|(_, hit)| **hit).count() as u64,
        };
        if count.total > 0 {
            files.insert(file.to_owned(), count);
        }
    }
    ensure!(
        !files.is_empty(),
        "{LCOV} has no file of this project: was it built elsewhere? Remove the target folder"
    );
    Ok(files)
}

/// Which lines of which of our files ran.
///
/// A file is known by the longest end of its path that is one of ours: where a job gets a new folder each time,
/// programs that needn't be built again still carry the path of the last one.
fn hits<'a>(lcov: &str, ours: &[&'a str]) -> Result<BTreeMap<&'a str, BTreeMap<usize, bool>>> {
    let ours_in = |path: &str| {
        let is_end = |file: &&&str| {
            path.strip_suffix(**file)
                .is_some_and(|start| start.is_empty() || start.ends_with('/'))
        };
        ours.iter()
            .filter(is_end)
            .max_by_key(|file| file.len())
            .copied()
    };
    let mut hits: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
    let mut current = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            current = ours_in(path);
        } else if let (Some(file), Some(data)) = (current, line.strip_prefix("DA:")) {
            let mut fields = data.split(',').map(str::parse::<usize>);
            let (Some(Ok(number)), Some(Ok(count))) = (fields.next(), fields.next()) else {
                bail!("{LCOV} has a line that is not `DA:LINE,COUNT`: {line}");
            };
            *hits.entry(file).or_default().entry(number).or_default() |= count > 0;
        }
    }
    Ok(hits)
}

/// The number of the line where a file's own tests begin, or one that no file has. They stand last in this house.
fn tests_begin(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let begin = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    begin.map_or(usize::MAX, |index| index + 1)
}
