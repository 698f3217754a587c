//! `cargo pipeline lint`, `test` and `tools` from outside. All programs but git are fakes, so that each can be
//! missing or object, and nothing is installed on the machine that runs the tests.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{commit, failed, git, pipeline, succeeded};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Notes what it is asked for and what it is given, and fails if that matches $FAIL. What installs makes more of it.
const STAND_IN: &str = r#"#!/bin/sh
set -eu
asked="${0##*/} $*"
echo "$asked" >> "$FAKE/log"
for name in ${CARGO_PKG_NAME-} ${CARGO_MANIFEST_DIR-}; do echo "run as $name" >> "$FAKE/log"; done
for name in ${HADOLINT_IGNORE-} ${SHELLCHECK_OPTS-} ${ZIZMOR_CONFIG-}; do echo "leaves out $name" >> "$FAKE/log"; done
case "$asked" in
  "shellcheck --shell=bash -") while IFS= read -r line || [ -n "$line" ]; do echo "given: $line" >> "$FAKE/log"; done ;;
  kubeconform*) for file; do if [ -f "$file" ]; then read -r line < "$file"; echo "given: $file: $line" >> "$FAKE/log"; fi; done ;;
esac
case "$asked" in ${FAIL-nothing}) printf %s "${FAKE_SAYS-}"; exit 1 ;; esac
case "$asked" in
  "helm template"*) echo "manifest" ;;
  "cargo clippy"*) printf %s "${FAKE_WARNING-}" ;;
  "id -u") echo "${FAKE_UID-0}" ;;
  sudo*) shift; exec "$@" ;;
  rustup*) cp "$0" "$FAKE/bin/cargo-${3#rust}" ;;
  apt-get*install*) for package; do case "$package" in -* | install) ;; *) cp "$0" "$FAKE/bin/$package" ;; esac; done ;;
  "go build"*) while [ "$1" != -o ]; do shift; done; shift; cp "$FAKE/bin/cc" "$1/${2##*/}" ;;
esac
"#;

const WORKFLOW: &str = "\
on: push
permissions: {}
jobs:
  test:
    timeout-minutes: 5
    permissions: {}
    steps:
      - uses: some/action@3d3c42e5aac5ba805825da76410c181273ba90b1 # v1.2.3
        with:
          key: x
      - uses: ./.github/actions/setup
";

/// A project on which all checks pass.
struct Project {
    folder: TempDir,
}

/// Argo CD's values, as [`common::DELIVERY`] wants them.
const ARGOCD: &str = "\
repoURL: https://forge.example/waybill/waybill.git
environments:
  dev: {branch: develop, automated: true}
  staging: {branch: staging, automated: false}
  prod: {branch: main, automated: false}
";

impl Project {
    fn new() -> Self {
        let project = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(project.path("bin")).unwrap();
        for name in ["git", "env", "cp", "df"] {
            symlink(which(name), project.path("bin").join(name)).unwrap();
        }
        for name in [
            "actionlint",
            "apt-get",
            "cargo",
            "cargo-clippy",
            "cargo-fmt",
            "cc",
            "go",
            "hadolint",
            "helm",
            "id",
            "initdb",
            "promtool",
            "kubeconform",
            "make",
            "nix",
            "rustup",
            "shellcheck",
            "skopeo",
            "sudo",
            "zizmor",
        ] {
            project.add_program(name);
        }
        git(project.folder.path(), &["init", "--quiet", "clone"]);
        for (file, text) in [
            ("Dockerfile", "FROM scratch\n"),
            ("run.sh", "echo by name\n"),
            ("bin/by-content", "#!/usr/bin/env bash\n"),
            ("bin/no-script", "#!/usr/bin/python3\n"),
            (".github/workflows/ci.yaml", WORKFLOW),
            (
                ".github/actions/setup/action.yaml",
                "runs:\n  steps:\n    - run: echo inside\n",
            ),
            (
                "crates/lab/actions/some/action/action.yml",
                "inputs:\n  key: {}\n",
            ),
            ("charts/waybill/values-dev.yaml", "a: 1\n"),
            ("charts/waybill/ci/other.yaml", "a: 1\n"),
        ] {
            project.commit(file, text);
        }
        // What repeats delivery.toml must agree with it.
        project.commit("delivery.toml", common::DELIVERY);
        for file in [
            "Cargo.toml",
            "charts/waybill/Chart.yaml",
            "charts/waybill/values.yaml",
            "charts/waybill/values-staging.yaml",
            "charts/waybill/values-prod.yaml",
        ] {
            let source = Path::new("../..").join(file);
            project.commit(file, &fs::read_to_string(source).unwrap());
        }
        project.commit("argocd/values.yaml", ARGOCD);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn commit(&self, file: &str, text: &str) {
        commit(&self.path("clone"), file, text);
    }

    fn add_program(&self, name: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, STAND_IN).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn without(&self, program: &str) -> &Self {
        fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    fn step(&self, words: &[&str]) -> Command {
        let mut command = pipeline(&self.path("clone"), words);
        command
            .env("PATH", self.path("bin"))
            .env("FAKE", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("GITHUB_PATH", self.path("github-path"));
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.step(words).output().unwrap()
    }

    fn run_failing(&self, words: &[&str], what: &str) -> Output {
        self.step(words).env("FAIL", what).output().unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap()
}

/// The words of a check's row in the table.
fn row(said: &str, check: &str) -> String {
    let row = said.lines().find_map(|line| line.strip_prefix(check));
    let words: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
    words.join(" ")
}

#[test]
fn lint_shows_each_tool_what_is_its_own() {
    let project = Project::new();
    let said = succeeded(&project.run(&["lint"]));
    for check in [
        "format",
        "clippy",
        "dockerfile",
        "scripts",
        "policy",
        "identity",
        "chart",
        "workflows",
        "workflow security",
    ] {
        assert!(
            row(&said, &format!("{check} ")).starts_with("passed"),
            "{check}: {said}"
        );
    }
    let log = project.read("log");
    for asked in [
        "cargo fmt --all --check\n",
        "cargo clippy --workspace --all-targets --locked --message-format=json\n",
        "cargo clippy --locked --message-format=json\n",
        "hadolint Dockerfile\n",
        "shellcheck bin/by-content run.sh\n",
        "given: echo inside\n",
        "helm lint --strict --quiet --values charts/waybill/values-dev.yaml charts/waybill\n",
        "helm template waybill charts/waybill --values charts/waybill/ci/other.yaml\n",
        "actionlint -color\n",
        "zizmor --offline --no-progress .github\n",
    ] {
        assert!(log.contains(asked), "{asked} is not in {log}");
    }
}

#[test]
fn lint_fails_if_any_tool_objects_and_the_others_run_all_the_same() {
    for (what, check, reason) in [
        ("cargo fmt*", "format ", "`cargo fmt --all --check` failed"),
        ("cargo clippy*", "clippy ", "failed"),
        ("hadolint*", "dockerfile ", "failed"),
        ("shellcheck bin*", "scripts ", "failed"),
        (
            "shellcheck --shell*",
            "scripts ",
            "found problems in .github/actions/setup/action.yaml, step 1",
        ),
        (
            "helm lint*/ci/*",
            "chart ",
            "helm found problems with charts/waybill/ci/other.yaml",
        ),
        ("actionlint*", "workflows ", "failed"),
        ("zizmor*", "workflow security ", "failed"),
    ] {
        let project = Project::new();
        let output = project.run_failing(&["lint"], what);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            failed(&output).ends_with("error: 1 checks failed\n"),
            "{what}"
        );
        let row = row(&table, check);
        assert!(
            row.starts_with("FAILED") && row.contains(reason),
            "{what}: {table}"
        );
        assert_eq!(table.matches("passed").count(), 9, "{what}: {table}");
    }
}

#[test]
fn lint_checks_a_script_whose_name_is_not_utf_8() {
    let project = Project::new();
    let script = OsStr::from_bytes(b"caf\xe9.sh");
    fs::write(project.path("clone").join(script), b"echo \xe9\n").unwrap();
    project.commit("other", "x");
    succeeded(&project.run(&["lint"]));
    let log = fs::read(project.path("log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(
        log.contains("shellcheck bin/by-content caf\u{fffd}.sh run.sh\n"),
        "{log}"
    );
}

#[test]
fn lint_says_where_to_get_what_is_missing() {
    let project = Project::new();
    let output = project.without("shellcheck").run(&["lint"]);
    let said = failed(&output);
    let reason = "shellcheck is not on PATH: `cargo pipeline tools lint` installs it";
    assert!(said.contains(reason), "{said}");
}

/// What clippy prints about a warning.
const WARNING: &str = r#"{"reason":"compiler-message","package_id":"a 1.0.0","manifest_path":"/a/Cargo.toml","target":{"kind":["lib"],"crate_types":["lib"],"name":"a","src_path":"/a/src/lib.rs","edition":"2024"},"message":{"code":{"code":"clippy::x"},"level":"warning","spans":[],"children":[],"message":"x","rendered":"warning: it is x\n"}}"#;

#[test]
fn lint_shows_what_clippy_objects_to() {
    let project = Project::new();
    let mut lint = project.step(&["lint"]);
    let output = lint.env("FAKE_WARNING", WARNING).output().unwrap();
    assert!(failed(&output).contains("warning: it is x\n"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(row(&said, "clippy ").ends_with("1 warnings"), "{said}");
}

#[test]
fn lint_shows_what_helm_objects_to_and_no_manifests() {
    let project = Project::new();
    let mut lint = project.step(&["lint"]);
    lint.env("FAIL", "helm lint*/ci/*");
    lint.env("FAKE_SAYS", "[ERROR] Chart.yaml: no version\n");
    let output = lint.output().unwrap();
    failed(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("\n[ERROR] Chart.yaml: no version\n"),
        "{said}"
    );
    assert!(!said.contains("\nmanifest\n"), "{said}");
}

#[test]
fn in_a_job_the_last_lines_and_the_pages_show_why_checks_failed() {
    let project = Project::new();
    let mut lint = project.step(&["lint"]);
    lint.env("FAIL", "cargo fmt*")
        .env("FAKE_SAYS", "Diff in src/app.rs:1:\n")
        .env("FAKE_WARNING", WARNING)
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", project.path("summary"));
    let output = lint.output().unwrap();
    assert!(failed(&output).ends_with("\nerror: 2 checks failed\n"));
    let said = String::from_utf8_lossy(&output.stdout);
    let reason = "error: format: `cargo fmt --all --check` failed (exit status: 1)";
    // While they run, as on a laptop.
    let live = "== format\nDiff in src/app.rs:1:\n== clippy\nwarning: it is x\n== dockerfile\n";
    assert!(said.starts_with(live), "{said}");
    // At the end.
    let end = format!(
        "\n== failed: format\nDiff in src/app.rs:1:\n{reason}\n\
         ::error title=format::Diff in src/app.rs:1:%0A{reason}\n\n\
         == failed: clippy\nwarning: it is x\nerror: clippy: 1 warnings\n\
         ::error title=clippy::warning: it is x%0Aerror: clippy: 1 warnings\n\n\
         == summary\nformat "
    );
    assert!(said.contains(&end), "{said}");
    let page = project.read("summary");
    let block = format!("### format failed\n\n```text\nDiff in src/app.rs:1:\n{reason}\n```\n");
    assert!(page.starts_with(&block), "{page}");
    assert!(
        page.contains("### clippy failed\n\n```text\nwarning: it is x\n"),
        "{page}"
    );
}

#[test]
fn the_variables_of_a_person_leave_no_finding_out() {
    let project = Project::new();
    let mut lint = project.step(&["lint"]);
    lint.env("HADOLINT_IGNORE", "DL3007");
    lint.env("SHELLCHECK_OPTS", "--exclude=SC2086");
    lint.env("ZIZMOR_CONFIG", "mine.yml");
    succeeded(&lint.output().unwrap());
    let log = project.read("log");
    assert!(!log.contains("leaves out"), "{log}");
}

/// Otherwise each cargo inside `cargo pipeline` compiles ring again, and so does the next `cargo pipeline`.
#[test]
fn programs_do_not_see_which_package_cargo_runs() {
    let project = Project::new();
    let mut lint = project.step(&["lint"]);
    lint.env("CARGO_PKG_NAME", "pipeline");
    lint.env("CARGO_MANIFEST_DIR", "/somewhere");
    succeeded(&lint.output().unwrap());
    let log = project.read("log");
    assert!(
        log.contains("cargo fmt") && !log.contains("run as"),
        "{log}"
    );
}

#[test]
fn a_change_of_no_package_needs_no_check_of_code() {
    let project = Project::new();
    for packages in ["", " "] {
        let said = succeeded(&project.run(&["lint", "--packages", packages]));
        for check in ["format ", "clippy "] {
            let row = row(&said, check);
            assert!(row.starts_with("skipped"), "{row}");
            assert!(row.ends_with("the change affects no package"), "{row}");
        }
        assert_eq!(said.matches("passed").count(), 8, "{said}");
        let said = succeeded(&project.run(&["quality", "--packages", packages]));
        assert_eq!(said, "nothing is measured: the change affects no package\n");
    }
    let log = project.read("log");
    assert!(!log.contains("cargo"), "{log}");

    let said = succeeded(&project.run(&["lint", "--packages", "waybill"]));
    assert!(row(&said, "clippy ").starts_with("passed"), "{said}");
}

#[test]
fn lint_validates_the_manifests_of_each_values_file() {
    let project = Project::new();
    let said = succeeded(&project.run(&["lint"]));
    assert!(row(&said, "schemas ").starts_with("passed"), "{said}");
    let log = project.read("log");
    let mut calls = log.lines().filter(|line| line.starts_with("kubeconform "));
    let call = calls.next().unwrap();
    assert!(calls.next().is_none(), "{log}");
    assert!(
        call.starts_with("kubeconform -strict -summary -schema-location /"),
        "{call}"
    );
    let options = "/crates/pipeline/schemas/{{.ResourceKind}}{{.KindSuffix}}.json -skip AnalysisTemplate,ExternalSecret,HTTPRoute,PodMonitor,PrometheusRule,Rollout ";
    assert!(call.contains(options), "{call}");
    let given: Vec<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("given: ")?.strip_suffix(": manifest"))
        .collect();
    let expected = [
        "argocd.yaml",
        "charts/waybill/ci/other.yaml",
        "charts/waybill/values-dev.yaml",
        "charts/waybill/values-prod.yaml",
        "charts/waybill/values-staging.yaml",
    ];
    assert_eq!(given, expected);

    let said = failed(&project.run_failing(&["lint"], "kubeconform*"));
    assert!(said.contains("kubeconform found problems with"), "{said}");
    assert!(said.contains("run `cargo pipeline schemas`"), "{said}");
}

/// A field that Kubernetes does not know is a mistake in the chart.
#[test]
fn the_schemas_refuse_fields_that_they_do_not_list() {
    let folder = Path::new("schemas");
    let text = fs::read_to_string(folder.join("definitions.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut kinds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("definitions.json") {
            continue;
        }
        let schema: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let reference = schema["$ref"].as_str().unwrap();
        let name = reference.strip_prefix("definitions.json#/definitions/");
        let definition = &all["definitions"][name.unwrap()];
        assert_eq!(
            definition["additionalProperties"],
            false,
            "{}",
            path.display()
        );
        kinds += 1;
    }
    assert!(kinds >= 11, "{kinds}");
}

#[test]
fn lint_checks_the_policy() {
    let long = "true\n".repeat(21);
    for (file, text, reason) in [
        (
            ".github/workflows/ci.yaml",
            WORKFLOW.replacen("permissions: {}", "permissions: read-all", 1),
            ".github/workflows/ci.yaml: the top level must have `permissions: {}`",
        ),
        (
            ".github/workflows/ci.yaml",
            WORKFLOW.replace("    timeout-minutes: 5\n", ""),
            "the job `test` has no `timeout-minutes`",
        ),
        (
            ".github/workflows/ci.yaml",
            WORKFLOW.replace("@3d3c42e5aac5ba805825da76410c181273ba90b1 # ", "@"),
            "`uses: some/action@v1.2.3` must be",
        ),
        (
            ".github/workflows/ci.yaml",
            WORKFLOW.replace("some/action", "other/action"),
            "other/action has no replacement for the lab",
        ),
        (
            ".github/workflows/ci.yaml",
            WORKFLOW.replace("key: x", "token: x"),
            "crates/lab/actions/some/action/action.yml has no input `token`",
        ),
        ("run.sh", long.clone(), "run.sh: "),
        (
            ".github/actions/setup/action.yaml",
            format!(
                "runs:\n  steps:\n    - run: |\n{}",
                long.replace("true", "        true")
            ),
            ".github/actions/setup/action.yaml, step 1: ",
        ),
    ] {
        let project = Project::new();
        project.commit(file, &text);
        let output = project.run(&["lint"]);
        let said = failed(&output);
        assert!(said.contains(reason), "{reason} is not in {said}");
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(row(&table, "policy ").starts_with("FAILED"), "{table}");
    }
}

#[test]
fn lint_names_what_disagrees_with_delivery_toml() {
    let project = Project::new();
    let text = ARGOCD.replace("branch: staging", "branch: qa");
    project.commit("argocd/values.yaml", &text);
    let output = project.run(&["lint"]);
    let said = failed(&output);
    assert!(
        said.contains("argocd/values.yaml: `environments.staging.branch` is `qa`"),
        "{said}"
    );
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(row(&table, "identity ").starts_with("FAILED"), "{table}");
}

#[test]
fn a_chart_without_values_is_an_error() {
    let project = Project::new();
    for file in [
        "values-dev.yaml",
        "values-staging.yaml",
        "values-prod.yaml",
        "ci/other.yaml",
    ] {
        fs::remove_file(project.path("clone/charts/waybill").join(file)).unwrap();
    }
    assert!(failed(&project.run(&["lint"])).contains("has no values-<env>.yaml"));
}

#[test]
fn test_runs_the_stages_it_is_told_to() {
    for (stage, command) in [
        ("unit", "cargo test --workspace --locked --lib --bins\n"),
        ("integration", "cargo test --workspace --locked --test *\n"),
        ("nix", "--test nix -- --ignored\n"),
        (
            "lab",
            concat!(
                "cargo lab test --pipeline ",
                env!("CARGO_BIN_EXE_pipeline"),
                "\n"
            ),
        ),
    ] {
        let project = Project::new();
        let said = succeeded(&project.run(&["test", "--only", stage]));
        assert!(
            said.ends_with("checks: 1 passed, 0 failed\n"),
            "{stage}: {said}"
        );
        let log = project.read("log");
        assert!(log.contains(command), "{stage}: {log}");
        assert_eq!(log.matches("cargo ").count(), 1, "{stage}: {log}");
    }
}

#[test]
fn test_runs_all_its_stages_and_fails_if_one_does() {
    let project = Project::new();
    let words = ["test", "--only", "unit", "--only", "integration"];
    let output = project.run_failing(&words, "cargo test*--lib*");
    failed(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("checks: 1 passed, 1 failed\n"), "{said}");
    assert!(row(&said, "unit").starts_with("FAILED"), "{said}");

    let both = ["test", "--only", "unit", "--skip", "lab"];
    assert!(failed(&project.run(&both)).contains("cannot be used with"));
}

#[test]
fn test_leaves_to_the_labs_ci_what_it_tests_of_the_commit() {
    let project = Project::new();
    let others = ["lint", "quality", "chart", "workflows", "security", "nix"];
    let skip = others.iter().flat_map(|stage| ["--skip", stage]);
    let words: Vec<&str> = ["test"].into_iter().chain(skip).collect();
    let said = succeeded(&project.run(&words));
    assert!(said.ends_with("checks: 1 passed, 0 failed\n"), "{said}");
    for check in ["unit", "integration"] {
        assert!(row(&said, check).starts_with("skipped"), "{said}");
    }
    assert!(!project.read("log").contains("cargo test"));

    // The lab does not get this file.
    fs::write(project.path("clone/new.txt"), "").unwrap();
    let said = String::from_utf8_lossy(&project.run(&words).stdout).into_owned();
    assert!(row(&said, "unit").starts_with("passed"), "{said}");
    assert!(row(&said, "integration").starts_with("passed"), "{said}");
}

#[test]
fn test_evaluates_nix_beside_the_lab() {
    let project = Project::new();
    let words = "test --skip lint --skip quality --skip chart --skip workflows --skip security";
    let words: Vec<&str> = words.split(' ').collect();
    let said = succeeded(&project.run(&words));
    assert!(said.ends_with("checks: 2 passed, 0 failed\n"), "{said}");
    assert!(row(&said, "nix").starts_with("passed"), "{said}");
    // The lab is not compiled after them.
    let log = project.read("log");
    let lab = log.find("cargo build --quiet --package lab");
    assert!(lab.is_some() && lab < log.find("--test nix"), "{log}");

    let output = project.run_failing(&words, "cargo test*--test nix*");
    failed(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(row(&said, "nix").starts_with("FAILED"), "{said}");
    assert!(row(&said, "lab").starts_with("passed"), "{said}");
}

#[test]
fn test_reports_tools_that_it_cannot_install() {
    let project = Project::new();
    let mut test = project.without("make").step(&["test", "--only", "unit"]);
    let output = test.env("FAKE_UID", "1000").output().unwrap();
    failed(&output);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        row(&said, "tools").contains("install them yourself: make"),
        "{said}"
    );
    // They may do without.
    assert!(said.ends_with("checks: 1 passed, 1 failed\n"), "{said}");
}

#[test]
fn tools_says_what_is_missing_and_installs_nothing_if_only_asked() {
    let project = Project::new();
    let said = succeeded(&project.run(&["tools", "--check"]));
    assert!(said.contains("helm") && !said.contains("missing"), "{said}");

    for program in ["cc", "actionlint", "cargo-clippy"] {
        project.without(program);
    }
    let output = project.run(&["tools", "--check"]);
    let reason = failed(&output);
    assert!(
        reason.contains("3 of ")
            && reason.contains("tools are missing: run `cargo pipeline tools`"),
        "{reason}"
    );
    let said = String::from_utf8_lossy(&output.stdout);
    for missing in [
        "missing (Debian package gcc)",
        "missing (version 1.7.12, built with Go)",
        "missing (rustup component add clippy)",
    ] {
        assert!(said.contains(missing), "{missing} is not in {said}");
    }
    let log = project.read("log");
    assert!(
        !log.contains("apt-get") && !log.contains("go build") && !log.contains("rustup"),
        "{log}"
    );
}

#[test]
fn tools_builds_what_is_missing_and_puts_it_on_the_path() {
    let project = Project::new();
    let run = project
        .without("actionlint")
        .without("cargo-clippy")
        .run(&["tools", "lint"]);
    let said = succeeded(&run);
    assert!(
        said.contains("actionlint") && !said.contains("missing"),
        "{said}"
    );
    let folder = project.read("github-path");
    let folder = Path::new(folder.trim_end());
    assert!(folder.starts_with(project.path("cache")), "{folder:?}");
    assert!(folder.join("actionlint").is_file(), "{folder:?}");
    let log = project.read("log");
    assert_eq!(log.matches("go build").count(), 1, "{log}");
    assert!(log.contains("rustup component add clippy\n"), "{log}");

    succeeded(&project.run(&["tools", "lint"]));
    let log = project.read("log");
    assert_eq!(
        log.matches("go build").count(),
        1,
        "it is in the cache: {log}"
    );

    let project = Project::new();
    let said = failed(
        &project
            .without("helm")
            .run_failing(&["tools", "lint"], "go build*"),
    );
    assert!(said.contains("Go could not build helm"), "{said}");
    let tools = fs::read_dir(project.path("cache/delivery/tools"));
    assert_eq!(tools.map_or(0, Iterator::count), 0, "nothing half built");
}

#[test]
fn tools_installs_debian_packages_where_it_may() {
    let project = Project::new();
    project.without("make");
    let tools = |uid: &str, ci: &str| {
        let mut tools = project.step(&["tools", "test"]);
        tools.env("FAKE_UID", uid).env("CI", ci).output().unwrap()
    };
    if !Path::new("/etc/debian_version").exists() {
        let said = failed(&tools("0", ""));
        assert!(
            said.contains("this is not Debian; install them yourself: make"),
            "{said}"
        );
        return;
    }
    let said = failed(&tools("1000", ""));
    assert!(
        said.contains("only root can install them; install them yourself: make"),
        "{said}"
    );
    assert!(!project.read("log").contains("apt-get"));

    let install = "apt-get --quiet install --yes --no-install-recommends make\n";
    succeeded(&tools("0", ""));
    let log = project.read("log");
    assert!(
        log.contains("\napt-get --quiet update\n") && log.contains(install),
        "{log}"
    );
    assert!(!log.contains("sudo"), "{log}");

    project.without("make");
    succeeded(&tools("1000", "true"));
    let log = project.read("log");
    assert!(
        log.contains("sudo --non-interactive env DEBIAN_FRONTEND=noninteractive apt-get"),
        "{log}"
    );
    assert_eq!(log.matches(install).count(), 3, "{log}");
}
