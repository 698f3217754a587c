//! `cargo pipeline coverage`: measuring, the floor, and what is built again.

use crate::common::{failed, succeeded};
use crate::project::{Project, THRESHOLDS};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

#[test]
fn lines_are_counted_by_package() {
    let project = Project::new();
    let lcov = [
        project.file("src/app.rs", 19, 20),
        project.file("src/main.rs", 8, 10),
        project.file("crates/pipeline/src/tags.rs", 39, 40),
        project.file("crates/lab/src/main.rs", 1, 10),
        project.file("tests/api/main.rs", 0, 100),
    ];
    let said = succeeded(&project.coverage(&lcov.concat()));

    for row in [
        "| `parcel`   |  90.0 % | 27 of 30 | 90.0 % |",
        "| `pipeline` |  97.5 % | 39 of 40 | 90.0 % |",
        "| `lab`      |  10.0 % |  1 of 10 |   none |",
        "| `src/main.rs`                 |  80.0 % | 2 of 10 |",
    ] {
        assert!(said.contains(row), "{row} is not in {said}");
        assert!(project.read("summary").contains(row), "{row}");
    }
    assert!(!said.contains("tests/api"), "{said}");
    let lines = |covered: u64, total: u64| json!({"covered": covered, "total": total});
    let expected = json!({
        "commit": project.head(),
        "packages": {
            "parcel": lines(27, 30),
            "pipeline": lines(39, 40),
            "lab": lines(1, 10),
        },
        "measured": ["lab", "parcel", "pipeline"],
        "files": {
            "src/app.rs": lines(19, 20),
            "src/main.rs": lines(8, 10),
            "crates/pipeline/src/tags.rs": lines(39, 40),
            "crates/lab/src/main.rs": lines(1, 10),
        },
    });
    assert_eq!(project.figures(), expected);
}

#[test]
fn a_line_counts_once_and_tests_in_the_same_file_do_not() {
    let project = Project::new();
    let source = "fn a() {}\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
    project.commit("src/app.rs", source);
    // The line ran in one program, but not in another, which was built in the folder of another job.
    let lcov = "SF:CLONE/src/app.rs\nDA:1,3\nDA:2,0\nDA:6,1\nend_of_record\n\
                SF:/elsewhere/job/src/app.rs\nDA:1,0\nDA:2,0\nDA:6,1\nend_of_record\n\
                SF:/elsewhere/job/crates/pipeline/src/main.rs\nDA:1,1\nend_of_record\n";
    let clone = project.path("clone").display().to_string();
    project.coverage(&lcov.replace("CLONE", &clone));
    let files = &project.figures()["files"];
    assert_eq!(files["src/app.rs"], json!({"covered": 1, "total": 2}));
    assert_eq!(
        files["crates/pipeline/src/main.rs"],
        json!({"covered": 1, "total": 1})
    );
    assert_eq!(files.as_object().unwrap().len(), 2, "{files}");
}

#[test]
fn tests_must_pass_except_the_integration_tests_of_the_service() {
    let project = Project::new();
    let report =
        project.file("src/app.rs", 1, 1) + &project.file("crates/pipeline/src/main.rs", 1, 1);
    succeeded(&project.coverage(&report));
    let log = project.read("log");
    for words in [
        "llvm-cov --no-report --locked --workspace --lib --bins --test docs --test tags\n",
        "llvm-cov --no-report --locked --workspace --ignore-run-fail --test api\n",
        "llvm-cov report --workspace --lcov --output-path target/coverage/lcov.info\n",
    ] {
        assert!(log.contains(words), "{words} is not in {log}");
    }

    let project = Project::new();
    let failures = "failures:\n\n---- b stdout ----\nno\n";
    let passed = "test a ... ok\n".repeat(200);
    let mut coverage = project.step(&["coverage"]);
    coverage
        .env("FAKE_UNIT", "101")
        .env("FAKE_SAYS", format!("{passed}{failures}"))
        .env("GITHUB_ACTIONS", "true");
    let output = coverage.output().unwrap();
    let reason = failed(&output);
    assert!(reason.contains("tests must pass"), "{reason}");
    assert_eq!(project.figures(), Value::Null);
    let said = String::from_utf8_lossy(&output.stdout);
    let shown = format!("\n== failed: tests\n{failures}error: tests: tests must pass: ");
    assert!(said.contains(&shown), "{said}");
    assert!(project.read("summary").contains(failures));
}

/// The calls that run tests, after the words that all have.
fn test_runs(project: &Project, packages: &str) -> Vec<String> {
    let report = project.file("src/app.rs", 1, 1)
        + &project.file("crates/pipeline/src/main.rs", 1, 1)
        + &project.file("crates/lab/src/main.rs", 0, 1);
    succeeded(&project.coverage_of(&report, &["--packages", packages]));
    let log = project.read("log");
    let start = "cargo llvm-cov --no-report --locked ";
    log.lines()
        .filter_map(|line| line.strip_prefix(start))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_tests_of_some_packages_and_of_the_documentation_run() {
    let project = Project::new();
    for (packages, expected) in [
        (
            "parcel",
            &[
                "--workspace --lib --bins --test docs",
                "--workspace --ignore-run-fail --test api",
            ][..],
        ),
        (
            "lab  pipeline",
            &["--workspace --lib --bins --test docs --test tags"],
        ),
        ("", &["--workspace --test docs"]),
    ] {
        assert_eq!(test_runs(&project, packages), expected, "{packages}");
        let measured: Vec<&str> = packages.split_whitespace().collect();
        assert_eq!(project.figures()["measured"], json!(measured));
    }
}

#[test]
fn a_package_that_was_left_out_has_neither_a_floor_nor_a_row() {
    let project = Project::new();
    // Tests of one package run lines of another, and too few of them.
    let report =
        project.file("src/app.rs", 10, 10) + &project.file("crates/pipeline/src/main.rs", 1, 10);
    let said = succeeded(&project.coverage_of(&report, &["--packages", "parcel"]));
    assert!(said.contains("| `parcel`"), "{said}");
    assert!(!said.contains("| `pipeline`"), "{said}");
    assert!(
        said.contains("were not measured: `lab`, `pipeline`"),
        "{said}"
    );
    let files = project.figures()["files"].clone();
    assert_eq!(files, json!({"src/app.rs": {"covered": 10, "total": 10}}));
    let few = project.file("src/app.rs", 1, 10);
    let said = failed(&project.coverage_of(&few, &["--packages", "parcel"]));
    assert!(said.contains("parcel has 10.0 %"), "{said}");
}

#[test]
fn an_unknown_package_is_refused_before_anything_runs() {
    let project = Project::new();
    let said = failed(&project.coverage_of("", &["--packages", "parcel shelf"]));
    let reason = "there is no package shelf; the packages are parcel, lab, pipeline";
    assert!(said.contains(reason), "{said}");
    assert!(!project.read("log").contains("llvm-cov"));
}

#[test]
fn dependencies_that_other_builds_compiled_are_not_compiled_again() {
    let project = Project::new();
    let folder = project.path("clone/target");
    for (package, hash) in [("serde", "00aa"), ("parcel", "00bb")] {
        let debug = folder.join("debug");
        let notes = debug.join(format!(".fingerprint/{package}-{hash}"));
        fs::create_dir_all(notes).unwrap();
        fs::create_dir_all(debug.join("deps")).unwrap();
        fs::write(
            debug.join(format!("deps/lib{package}-{hash}.rlib")),
            package,
        )
        .unwrap();
    }
    let report =
        project.file("src/app.rs", 1, 1) + &project.file("crates/pipeline/src/main.rs", 1, 1);
    succeeded(&project.coverage(&report));
    let mut builds = fs::read_dir(folder.join("coverage-build")).unwrap();
    let build = builds.next().unwrap().unwrap().path();
    let libraries = fs::read_dir(build.join("debug/deps")).unwrap();
    let names: Vec<_> = libraries.map(|file| file.unwrap().file_name()).collect();
    // A package of the workspace is compiled with other flags.
    assert_eq!(names, ["libserde-00aa.rlib"]);
}

#[test]
fn below_the_floor_is_an_error_that_names_the_files() {
    let project = Project::new();
    let lcov = [
        project.file("src/app.rs", 8999, 10000),
        project.file("crates/pipeline/src/tags.rs", 100, 100),
        project.file("crates/pipeline/src/main.rs", 3, 40),
    ];
    let said = failed(&project.coverage(&lcov.concat()));
    for part in [
        "below the floor of 90.0 % (quality.toml)",
        "parcel has 89.9 % of its lines covered; most are missing in src/app.rs (1001 of 10000)",
        "pipeline has 73.5 % of its lines covered; most are missing in crates/pipeline/src/main.rs (37 of 40). ",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // The report is written nevertheless, for the comment on the pull request.
    assert_eq!(project.figures()["commit"], project.head());
}

#[test]
fn a_package_that_was_not_measured_is_below_the_floor() {
    let project = Project::new();
    let said = failed(&project.coverage(&project.file("src/app.rs", 10, 10)));
    assert!(said.contains("pipeline has 0.0 %"), "{said}");
    let said = failed(&project.coverage(""));
    assert!(said.contains("has no file of this project"), "{said}");
    let said = failed(&project.coverage(&format!("{}DA:x,1\n", project.file("src/app.rs", 1, 1))));
    assert!(said.contains("DA:x,1"), "{said}");
}

#[test]
fn a_new_package_has_a_floor() {
    let project = Project::new();
    project.add_package("shelf");
    project.commit("crates/shelf/src/lib.rs", "pub fn a() {}\n");
    let others =
        project.file("src/app.rs", 1, 1) + &project.file("crates/pipeline/src/main.rs", 1, 1);
    let said = failed(
        &project.coverage(&(others.clone() + &project.file("crates/shelf/src/lib.rs", 8, 10))),
    );
    let reason = "shelf has 80.0 % of its lines covered; most are missing in crates/shelf/src/lib.rs (2 of 10)";
    assert!(said.contains(reason), "{said}");
    let said =
        succeeded(&project.coverage(&(others + &project.file("crates/shelf/src/lib.rs", 9, 10))));
    let names: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| !name.contains('/'))
        .collect();
    assert_eq!(names, ["parcel", "lab", "pipeline", "shelf"], "{said}");
}

#[test]
fn an_invalid_floor_is_refused_before_anything_runs() {
    for (floor, instead, reason) in [
        (
            "floor = 90.0",
            "floor = 69.9",
            "`floor` is 69.9, below the `minimum` of 70",
        ),
        ("minimum = 70.0\n", "", "missing field `minimum`"),
        (
            "floor = 90.0",
            "floor = \"90\"",
            "invalid type: string \"90\"",
        ),
        ("floor = 90.0", "floor = 101", "`floor` must be a number"),
        ("floor = 90.0", "floor = nan", "`floor` must be a number"),
        ("[coverage]", "", "unknown field `floor`"),
        ("[coverage]", "coverage", "cannot use quality.toml"),
    ] {
        let project = Project::new();
        assert!(THRESHOLDS.contains(floor), "{floor}");
        project.commit("quality.toml", &THRESHOLDS.replace(floor, instead));
        let said = failed(&project.coverage(""));
        assert!(
            said.contains("quality.toml") && said.contains(reason),
            "{instead}: {said}"
        );
        assert_eq!(project.read("log"), "", "{instead}");
    }
    let project = Project::new();
    fs::remove_file(project.path("clone/quality.toml")).unwrap();
    assert!(failed(&project.coverage("")).contains("cannot read"));
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let project = Project::new();
    fs::remove_file(project.path("bin/cargo-llvm-cov")).unwrap();
    let said = failed(&project.coverage(""));
    assert!(
        said.contains("`cargo pipeline tools coverage` installs it"),
        "{said}"
    );
    assert_eq!(project.read("log"), "");
}

#[test]
fn programs_with_other_names_have_another_folder() {
    let project = Project::new();
    let builds = project.path("clone/target/coverage-build");
    // The folder of the programs, which notes what is in it.
    let build = || {
        project.measure(1000, 1000);
        let log = project.read("log");
        let folder = log.lines().find_map(|line| line.strip_prefix("builds in "));
        PathBuf::from(folder.unwrap())
    };
    let count = || fs::read_dir(&builds).unwrap().count();
    let first = build();
    assert_eq!(first.parent(), Some(&*builds));
    project.commit("src/app.rs", "fn other() {}\n");
    assert_eq!(build(), first);

    let lock = project.read("clone/Cargo.lock");
    project.commit("Cargo.lock", "another dependency");
    let second = build();
    assert_ne!(second, first);
    // The way back finds what was built.
    project.commit("Cargo.lock", &lock);
    assert_eq!((build(), count()), (first.clone(), 2));
    fs::write(project.path("bin/rustc"), "#!/bin/sh\necho rustc 2.0\n").unwrap();
    let third = build();
    assert!(third.is_dir() && first.is_dir() && !second.exists());
}
