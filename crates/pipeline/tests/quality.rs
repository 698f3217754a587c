//! `cargo pipeline quality` from outside. Programs are fakes that print what the real ones do, so that each
//! threshold can be missed for the asking; the sources are read as they are.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that can't go on fails"
)]

mod common;

use common::{commit, failed, git, pipeline, succeeded};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

/// The thresholds of this project itself.
static THRESHOLDS: LazyLock<String> =
    LazyLock::new(|| fs::read_to_string(testkit::root().join("quality.toml")).unwrap());

const CARGO: &str = r#"
if [ "$1" = metadata ]; then cat "$FAKE/metadata"; exit; fi
cat "$FAKE/clippy"; exit "${CARGO_EXIT-0}""#;
const MACHETE: &str =
    r#"cat "$FAKE/complaints" >&2; cat "$FAKE/machete"; exit "${MACHETE_EXIT-0}""#;
/// Also says what nobody wants to read.
const JSCPD: &str = r#"
echo "Do you know our paid plan?"
if [ "${JSCPD_EXIT-0}" != 0 ]; then echo "no such format" >&2; exit "$JSCPD_EXIT"; fi
if [ -f "$FAKE/jscpd" ]; then mkdir -p target/quality; cp "$FAKE/jscpd" target/quality/jscpd-report.json; fi"#;

/// What cargo-machete 0.9.2 prints where all dependencies are used, and where some aren't.
const ALL_USED: &str =
    "cargo-machete didn't find any unused dependencies in this directory. Good job!\n";
const UNUSED: &str = "\
cargo-machete found the following unused dependencies in this directory:
parcel -- ./Cargo.toml:
\tanyhow
pipeline -- ./crates/pipeline/Cargo.toml:
\tserde-json
\tureq

If you believe cargo-machete has detected an unused dependency incorrectly,
you can add the dependency to the list of dependencies to ignore in the
`[package.metadata.cargo-machete]` section of the appropriate Cargo.toml.
For example:

[package.metadata.cargo-machete]
ignored = [\"prost\"]
";

/// What jscpd 5.0.14 writes, where so many percent of the lines are there twice.
fn copies(percent: f64) -> String {
    let file = |name: &str, start: u64| {
        let location = |line: u64| json!({"column": 1, "line": line, "position": 100});
        json!({
            "name": name, "start": start, "startLoc": location(start), "end": start + 7, "endLoc": location(start + 7),
        })
    };
    let copy = json!({
        "format": "rust", "fragment": "…", "lines": 8, "tokens": 52,
        "firstFile": file("src/a.rs", 79), "secondFile": file("src/b.rs", 46),
    });
    let total = json!({
        "clones": 1, "duplicatedLines": 8, "duplicatedTokens": 52, "lines": 5000, "newClones": 0,
        "newDuplicatedLines": 0, "percentage": percent, "percentageTokens": 0.2, "sources": 2, "tokens": 30000,
    });
    json!({"duplicates": [copy], "statistics": {"formats": {"rust": total}, "total": total}})
        .to_string()
}

/// What cargo prints of a warning, in the library and again in its tests, and a message that is no warning.
fn warning() -> String {
    let span = json!({
        "file_name": "src/lib.rs", "is_primary": true, "line_start": 3, "line_end": 3, "column_start": 5,
        "column_end": 9, "byte_start": 30, "byte_end": 34, "text": [],
    });
    let message = json!({
        "code": {"code": "clippy::needless_return", "explanation": null}, "level": "warning",
        "message": "unneeded `return` statement", "rendered": "warning: unneeded `return` statement\n",
        "spans": [span], "children": [],
    });
    let target = json!({
        "kind": ["lib"], "crate_types": ["lib"], "name": "parcel", "src_path": "/p/src/lib.rs", "edition": "2024",
    });
    let finished = json!({"reason": "build-finished", "success": true});
    let message = json!({
        "reason": "compiler-message", "package_id": "parcel 0.1.0", "manifest_path": "/p/Cargo.toml",
        "target": target, "message": message,
    });
    format!("{message}\n{message}\n{finished}\n")
}

/// What `cargo metadata` prints for the service and the pipeline.
fn metadata() -> String {
    let package = |name: &str, manifest: &str| {
        json!({
            "name": name, "version": "0.1.0", "id": name, "dependencies": [], "features": {}, "targets": [],
            "manifest_path": manifest,
        })
    };
    json!({
        "packages": [
            package("parcel", "/p/Cargo.toml"),
            package("pipeline", "/p/crates/pipeline/Cargo.toml"),
        ],
        "workspace_members": [], "resolve": null, "workspace_root": "/p", "target_directory": "/p/target",
        "version": 1,
    })
    .to_string()
}

/// A project that keeps all thresholds.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        git(folder.path(), &["init", "--quiet", "clone"]);
        let project = Self { folder };
        for name in ["git", "cat", "cp", "mkdir"] {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|file| file.is_file());
            symlink(found.unwrap(), project.path("bin").join(name)).unwrap();
        }
        let programs = [
            ("cargo", CARGO),
            ("cargo-machete", MACHETE),
            ("jscpd", JSCPD),
        ];
        for (name, body) in programs {
            let file = project.path("bin").join(name);
            let text = format!("#!/bin/sh\nset -eu\necho \"{name} $*\" >> \"$FAKE/log\"\n{body}\n");
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (file, text) in [
            (".gitignore", "/target/\n"),
            ("Cargo.toml", "[dependencies]\nanyhow.workspace = true\n"),
            (
                "crates/pipeline/Cargo.toml",
                "[dependencies]\nureq = \"3\"\n",
            ),
            ("src/lib.rs", "/// Does it.\npub fn it() {}\n"),
            ("crates/pipeline/src/main.rs", "fn main() {}\n"),
            ("crates/lab/src/main.rs", "/// A.\npub const A: u8 = 1;\n"),
            ("quality.toml", &THRESHOLDS),
        ] {
            project.commit(file, text);
        }
        project.write("clippy", "");
        project.write("metadata", &metadata());
        project.write(
            "complaints",
            "Analyzing dependencies of crates in ....\nDone!\n",
        );
        project.write("machete", ALL_USED);
        project.write("jscpd", &copies(0.1));
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn commit(&self, file: &str, text: &str) {
        commit(&self.path("clone"), file, text);
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn step(&self) -> Command {
        let mut command = pipeline(&self.path("clone"), &["quality"]);
        command
            .env("PATH", self.path("bin"))
            .env("FAKE", self.folder.path())
            .env("GITHUB_STEP_SUMMARY", self.path("summary"));
        command
    }

    fn run(&self) -> Output {
        self.step().output().unwrap()
    }

    /// What `coverage` measured: of each package so many lines in a hundred, of HEAD or another commit.
    fn covered(&self, parcel: u64, pipeline: u64, commit: Option<&str>) {
        let head = git(&self.path("clone"), &["rev-parse", "HEAD"]);
        let lines = |covered: u64| json!({"covered": covered, "total": 100});
        let figures = json!({
            "commit": commit.unwrap_or(&head),
            "measured": ["parcel", "pipeline"],
            "files": {"src/lib.rs": lines(parcel), "crates/pipeline/src/main.rs": lines(pipeline)},
        });
        self.write("clone/target/coverage/coverage.json", &figures.to_string());
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Value, threshold and verdict in a gate's row.
fn row(output: &Output, gate: &str) -> [String; 3] {
    let said = said(output);
    let rows = said
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let row = rows.into_iter().find(|row| row.get(1) == Some(&gate));
    let row = row.expect("each gate has a row");
    [row[2], row[3], row[4]].map(str::to_owned)
}

#[test]
fn what_keeps_all_thresholds_passes_and_the_table_says_by_how_much() {
    let project = Project::new();
    project.covered(95, 90, None);
    let output = project.run();
    let said = succeeded(&output);
    for (gate, expected) in [
        ("warnings", ["0", "at most 0", "passed"]),
        ("unused dependencies", ["0", "at most 0", "passed"]),
        ("duplicated lines", ["0.10 %", "at most 1.00 %", "passed"]),
        (
            "coverage of `parcel`",
            ["95.0 %", "at least 90.0 %", "passed"],
        ),
        (
            "coverage of `pipeline`",
            ["90.0 %", "at least 90.0 %", "passed"],
        ),
    ] {
        assert_eq!(row(&output, gate), expected, "{gate}");
    }
    assert!(!said.contains("paid plan"), "{said}");
    // A place is only of interest where something is wrong.
    assert!(!said.contains("src/a.rs"), "{said}");
    let summary = project.read("summary");
    assert!(summary.starts_with("## Quality\n\n| Gate "), "{summary}");
    assert!(said.contains(summary.trim_start_matches("## Quality\n\n").trim_end()));
    assert_eq!(
        project.read("log"),
        "cargo clippy --workspace --all-targets --locked --message-format=json\n\
         cargo clippy --locked --message-format=json\n\
         cargo-machete .\n\
         jscpd --min-tokens 50 --min-lines 5 --max-lines=1000000 --format=rust --reporters=json --silent --no-tips \
         --output target/quality .\n\
         cargo metadata --no-deps --format-version=1\n"
    );
}

/// Makes one gate red, and says where.
fn assert_red(project: &Project, step: &mut Command, gate: &str, value: &str, places: &[&str]) {
    let output = step.output().unwrap();
    let error = failed(&output);
    let expected =
        format!("a threshold of quality.toml is missed: {gate}. The places are listed above");
    assert!(error.contains(&expected), "{gate}: {error}");
    let [measured, threshold, verdict] = row(&output, gate);
    assert_eq!((measured.as_str(), verdict.as_str()), (value, "FAILED"));
    let said = said(&output);
    let list: String = places.iter().map(|place| format!("- {place}\n")).collect();
    let list = format!("\n{gate}: {value}, {threshold}\n\n{list}");
    assert!(said.ends_with(&list), "{list} is not the end of {said}");
    assert!(project.read("summary").contains(&list), "{gate}");
}

#[test]
fn a_warning_is_named_once() {
    let project = Project::new();
    project.write("clippy", &warning());
    let place = "src/lib.rs:3: unneeded `return` statement (clippy::needless_return)";
    assert_red(&project, &mut project.step(), "warnings", "1", &[place]);

    project.commit(
        "quality.toml",
        &THRESHOLDS.replacen("maximum = 0", "maximum = 1", 1),
    );
    succeeded(&project.run());
}

#[test]
fn an_unused_dependency_is_found_in_its_manifest() {
    let project = Project::new();
    project.write("machete", UNUSED);
    let places = [
        "Cargo.toml:2: anyhow",
        "crates/pipeline/Cargo.toml: serde-json",
        "crates/pipeline/Cargo.toml:2: ureq",
    ];
    let mut step = project.step();
    step.env("MACHETE_EXIT", "1");
    assert_red(&project, &mut step, "unused dependencies", "3", &places);
}

#[test]
fn too_many_copied_lines_are_shown_with_their_copies() {
    let project = Project::new();
    let place = "src/a.rs:79: same as src/b.rs:46, 8 lines";
    project.write("jscpd", &copies(2.5));
    assert_red(
        &project,
        &mut project.step(),
        "duplicated lines",
        "2.50 %",
        &[place],
    );
    // What is a little over is not shown as the threshold.
    project.write("jscpd", &copies(1.001));
    assert_red(
        &project,
        &mut project.step(),
        "duplicated lines",
        "1.01 %",
        &[place],
    );
    project.write("jscpd", &copies(1.0));
    succeeded(&project.run());
}

#[test]
fn coverage_is_that_of_this_commit() {
    let project = Project::new();
    let unknown = [
        "run `cargo pipeline coverage` to measure it",
        "–",
        "skipped",
    ];
    let output = project.run();
    succeeded(&output);
    assert_eq!(row(&output, "coverage"), unknown);

    project.covered(10, 10, Some(&"a".repeat(40)));
    let output = project.run();
    succeeded(&output);
    assert_eq!(row(&output, "coverage"), unknown);

    project.covered(95, 89, None);
    let gate = "coverage of `pipeline`";
    let place = "crates/pipeline/src/main.rs (11 of 100)";
    assert_red(&project, &mut project.step(), gate, "89.0 %", &[place]);
}

type Change = fn(&Project, &mut Command);

/// A gate, what keeps it from being measured, and what is said of it.
const UNMEASURABLE: &[(&str, Change, &str)] = &[
    (
        "warnings",
        |_, step| {
            step.env("CARGO_EXIT", "101");
        },
        "--message-format=json` failed (exit status: 101)",
    ),
    (
        "warnings",
        |project, _| project.write("clippy", "error: no such command\n"),
        "cannot read what `cargo clippy",
    ),
    (
        "unused dependencies",
        |_, step| {
            step.env("MACHETE_EXIT", "2");
        },
        "`cargo-machete .` failed (exit status: 2): Analyzing",
    ),
    (
        "unused dependencies",
        |project, _| project.write("complaints", "error when handling ./Cargo.toml: TOML"),
        "error when handling ./Cargo.toml",
    ),
    (
        "unused dependencies",
        |_, step| {
            step.env("MACHETE_EXIT", "1");
        },
        "does not print its findings as version 0.9 does",
    ),
    (
        "duplicated lines",
        |_, step| {
            step.env("JSCPD_EXIT", "2");
        },
        "(exit status: 2): no such format",
    ),
    (
        "duplicated lines",
        |project, _| {
            // What an earlier run has left must not count.
            project.write("clone/target/quality/jscpd-report.json", &copies(0.0));
            fs::remove_file(project.path("jscpd")).unwrap();
        },
        "cannot read jscpd's report",
    ),
    (
        "coverage",
        |project, _| project.write("clone/target/coverage/coverage.json", "{}"),
        "as coverage figures",
    ),
];

#[test]
fn what_cannot_be_measured_is_red_and_the_rest_is_measured() {
    for (gate, change, reason) in UNMEASURABLE {
        let project = Project::new();
        let mut step = project.step();
        change(&project, &mut step);
        let output = step.output().unwrap();
        let error = failed(&output);
        assert!(error.contains(reason), "{gate}: {error}");
        assert!(
            error.contains(&format!("quality.toml is missed: {gate}. ")),
            "{gate}: {error}"
        );
        assert_eq!(row(&output, gate), ["not measured", "–", "FAILED"]);
        let passed = if *gate == "warnings" {
            "duplicated lines"
        } else {
            "warnings"
        };
        assert_eq!(row(&output, passed)[2], "passed", "{gate}");
        assert!(
            said(&output).contains(reason),
            "{gate} is not among the places"
        );
    }
}

#[test]
fn a_report_without_figures_is_not_taken_for_a_good_one() {
    let project = Project::new();
    let good: Value = serde_json::from_str(&copies(0.0)).unwrap();
    for (pointer, value, reason) in [
        (
            "/statistics/total/lines",
            json!(0),
            "jscpd found no Rust source",
        ),
        ("/statistics/total/percentage", Value::Null, "expected f64"),
        ("/duplicates", Value::Null, "expected a sequence"),
        (
            "/duplicates/0/firstFile/name",
            Value::Null,
            "expected a string",
        ),
    ] {
        let mut report = good.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        project.write("jscpd", &report.to_string());
        let error = failed(&project.run());
        assert!(error.contains(reason), "{pointer}: {error}");
    }
}

#[test]
fn a_program_may_be_missing_only_where_that_is_said() {
    let project = Project::new();
    fs::remove_file(project.path("bin/jscpd")).unwrap();
    fs::remove_file(project.path("bin/cargo-machete")).unwrap();
    let error = failed(&project.run());
    for program in ["jscpd", "cargo-machete"] {
        let reason =
            format!("{program} is not on PATH: `cargo pipeline tools quality` installs it");
        assert!(error.contains(&reason), "{error}");
    }
    let mut step = project.step();
    let output = step
        .env("PIPELINE_OPTIONAL_TOOLS", "jscpd cargo-machete")
        .output()
        .unwrap();
    succeeded(&output);
    assert_eq!(
        row(&output, "duplicated lines"),
        ["jscpd is not installed", "–", "skipped"]
    );
    let expected = ["cargo-machete is not installed", "–", "skipped"];
    assert_eq!(row(&output, "unused dependencies"), expected);
}

#[test]
fn bad_thresholds_are_refused_by_name_before_anything_runs() {
    let project = Project::new();
    for (line, instead, reason) in [
        ("tokens = 50\n", "", "missing field `tokens`"),
        (
            "tokens = 50",
            "tokens = 9",
            "[duplication]: `tokens` must be a whole number from 10 to 1000",
        ),
        ("lines = 5", "lines = 5.5", "invalid type: floating point"),
        (
            "maximum = 1.0",
            "maximum = 101",
            "[duplication]: `maximum` must be a number from 0 to 100",
        ),
        (
            "minimum = 70.0",
            "minimum = \"all\"",
            "invalid type: string \"all\"",
        ),
        (
            "floor = 90.0",
            "floor = 60.0",
            "[coverage]: `floor` is 60, below the `minimum` of 70",
        ),
        ("lines = 5", "lines = 5\nline = 5", "unknown field `line`"),
        (
            "[warnings]\n",
            "[notes]\n[warnings]\n",
            "unknown field `notes`",
        ),
        ("[warnings]\nmaximum = 0\n", "", "missing field `warnings`"),
        ("[warnings]", "[warnings", "cannot use quality.toml"),
    ] {
        assert!(THRESHOLDS.contains(line), "{line}");
        project.commit("quality.toml", &THRESHOLDS.replacen(line, instead, 1));
        let error = failed(&project.run());
        assert!(error.contains(reason), "{reason} is not in {error}");
    }
    fs::remove_file(project.path("clone/quality.toml")).unwrap();
    assert!(failed(&project.run()).contains("quality.toml"));
    assert_eq!(project.read("log"), "");
}

#[test]
fn it_is_a_stage_of_all_tests() {
    let project = Project::new();
    let mut step = pipeline(&project.path("clone"), &["test", "--only", "quality"]);
    step.env("PATH", project.path("bin"))
        .env("FAKE", project.folder.path());
    // Only the stage matters here; what is missing would be installed.
    step.env("PIPELINE_OPTIONAL_TOOLS", "cargo-clippy cc make");
    let said = succeeded(&step.output().unwrap());
    assert!(said.ends_with("checks: 1 passed, 0 failed\n"), "{said}");
}
