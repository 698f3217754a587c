//! `cargo pipeline security`, `scan` and `tools` from outside. The scanners are fakes that record how they were
//! called, so that each finding can be had for the asking; the lab's scenarios use the real ones.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{commit, failed, git, pipeline, succeeded};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Notes its name, its arguments, and what `body` adds.
fn stand_in(name: &str, body: &str) -> String {
    format!("#!/bin/sh\nset -eu\necho \"{name} $*\" >> \"$LOG\"\n{body}\n")
}

/// Looks at the database that its configuration names.
const DENY: &str = r#"
for arg; do case "$arg" in */deny.toml) while read -r line; do case "$line" in db-path*) database=${line#*\"} ;; esac; done < "$arg"; esac; done
if [ "${database-}" ]; then
  database=${database%\"}/advisory-db-3157b0e258782691
  test -f "$database/.git/FETCH_HEAD" -a -f "$database/crates/some/RUSTSEC-2026-0001.md"
  echo "the database is laid out" >> "$LOG"
fi
case "$*" in *sarif*) echo '{"runs":[]}' ;; esac
exit "${DENY_EXIT-0}""#;

const GITLEAKS: &str = r#"exit "${FAKE_GITLEAKS_EXIT-0}""#;

/// Writes what it is asked for; `convert` to a table is where it says that something is severe.
const TRIVY: &str = r#"
echo "trivy has ${TRIVY_CACHE_DIR-} ${TRIVY_SEVERITY-} ${TRIVY_SKIP_FILES-}" >> "$LOG"
output=; format=; last=
for arg; do
  if [ "$last" = --output ]; then output=$arg; fi
  case "$arg" in --format=*) format=${arg#*=} ;; esac
  last=$arg
done
case "$format" in
  table) exit "${FAKE_TRIVY_EXIT-0}" ;;
  cyclonedx) echo "$BILL" > "$output" ;;
  *) echo "{\"format\":\"$format\"}" > "$output" ;;
esac"#;

const HELM: &str = r#"echo "kind: Deployment""#;

/// Installs an empty program of the name it is asked for.
const CARGO: &str = r#"
if [ "${CARGO_EXIT-0}" = 1 ]; then exit 1; fi
mkdir -p "$8/bin" "${10}"
echo > "$8/bin/$4"
chmod +x "$8/bin/$4""#;

const PYTHON: &str = r#"
for folder; do :; done
mkdir "$folder/bin"
for program in hadolint zizmor; do echo > "$folder/bin/$program"; done
chmod +x "$folder"/bin/*"#;

struct Project {
    folder: TempDir,
}

impl Project {
    /// A project, and a PATH with nothing on it but these programs and what they need.
    fn new(programs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in ["git", "chmod", "mkdir"] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(name))
                .find(|file| file.is_file());
            symlink(found.unwrap(), bin.join(name)).unwrap();
        }
        let project = Self { folder };
        for (name, body) in programs {
            project.install(name, body);
        }
        git(project.folder.path(), &["init", "--quiet", "clone"]);
        let clone = project.file("clone");
        commit(&clone, "Dockerfile", "FROM scratch\n");
        commit(&clone, "deny.toml", "[graph]\n[advisories]\nignore = []\n");
        commit(&clone, "charts/waybill/values-dev.yaml", "a: 1\n");
        commit(&clone, "charts/waybill/ci/big-values.yaml", "a: 2\n");
        project
    }

    fn whole() -> Self {
        let programs = [
            ("cargo", ""),
            ("cargo-deny", DENY),
            ("gitleaks", GITLEAKS),
            ("trivy", TRIVY),
            ("helm", HELM),
        ];
        Self::new(&programs)
    }

    fn install(&self, name: &str, body: &str) {
        let file = self.file("bin").join(name);
        fs::write(&file, stand_in(name, body)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = pipeline(&self.file("clone"), args);
        command
            .env("PATH", self.file("bin"))
            .env("LOG", self.file("log"))
            .env("XDG_CACHE_HOME", self.file("cache"))
            .env("GITHUB_PATH", self.file("path"));
        command
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = self.command(args);
        command.envs(environment.iter().copied()).output().unwrap()
    }

    /// How the row of a check begins in the table at the end.
    fn row(output: &Output, check: &str) -> String {
        let said = String::from_utf8_lossy(&output.stdout);
        let row = said.lines().rev().find(|line| line.starts_with(check));
        let mut words = row.unwrap().split_whitespace();
        words.nth(1).unwrap().to_owned()
    }

    /// An image with one binary, and what Trivy would write about it.
    fn with_image(self) -> (Self, String) {
        let blobs = self.file("clone/target/image/layout/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let digest = "ab".repeat(32);
        let descriptor = json!({"digest": format!("sha256:{digest}"), "size": 1});
        let config_digest = "cd".repeat(32);
        let config = json!({"digest": format!("sha256:{config_digest}"), "size": 1});
        let write = |name: &str, value: Value| {
            fs::write(blobs.join(name), value.to_string()).unwrap();
        };
        write(&digest, json!({"config": config, "layers": []}));
        write(&config_digest, json!({}));
        write("../../index.json", json!({"manifests": [descriptor]}));
        write(
            "../../../image.json",
            json!({
                "digest": format!("sha256:{digest}"),
                "revision": "c".repeat(40),
                "platforms": ["linux/amd64"],
                "builder": "dockerfile",
                "created": "2026-01-02T03:04:05Z",
            }),
        );
        let bill = json!({
            "serialNumber": "urn:uuid:0",
            "metadata": {"timestamp": "now", "component": {"bom-ref": "1", "type": "container", "name": "x"}},
            "components": [{"bom-ref": "pkg:cargo/a@1.0.0", "type": "library", "name": "a"}],
        });
        (self, bill.to_string())
    }
}

#[test]
fn every_scanner_runs_and_leaves_its_findings_for_the_forge() {
    let project = Project::whole();
    let output = project.run(&["security"], &[]);
    succeeded(&output);
    for check in ["dependencies", "secrets", "configuration"] {
        assert_eq!(Project::row(&output, check), "passed");
    }
    let log = project.read("log");
    let deny: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("cargo-deny"))
        .collect();
    assert_eq!(
        deny,
        [
            "cargo-deny --workspace --locked --format=sarif check --deny=warnings",
            "cargo-deny --workspace --locked check --deny=warnings",
        ]
    );
    assert!(log.contains("--config=.gitleaks.toml --redact "), "{log}");
    for values in ["values-dev.yaml", "ci/big-values.yaml"] {
        assert!(
            log.contains(&format!("--values charts/waybill/{values}")),
            "{log}"
        );
    }
    let config = log
        .lines()
        .find(|line| line.starts_with("trivy config"))
        .unwrap();
    for offline in [
        "--skip-check-update",
        "--skip-version-check",
        "--disable-telemetry",
    ] {
        assert!(config.contains(offline), "{config}");
    }
    let sarif = |scan: &str| project.read(&format!("clone/target/security/{scan}.sarif"));
    assert_eq!(sarif("dependencies"), "{\"runs\":[]}\n");
    assert_eq!(sarif("configuration"), "{\"format\":\"sarif\"}\n");
    assert!(log.contains("target/security/secrets.sarif"), "{log}");
}

/// Reads the commits as gitleaks does, and leaves what it read.
const READING_GITLEAKS: &str = r#"
options=
for arg; do case "$arg" in --log-opts=*) options=${arg#*=} ;; esac; done
git -C . log -p -U0 $options > "$LOG.read""#;

/// Settings with which `git log -p` prints no key, or prints it so that gitleaks does not find it.
const HIDING: [(&str, &str); 13] = [
    ("color.ui", "always"),
    ("color.diff", "always"),
    ("diff.external", "true"),
    ("diff.mine.command", "true"),
    ("diff.mine.textconv", "true"),
    ("diff.mnemonicPrefix", "true"),
    ("diff.noprefix", "true"),
    ("diff.wsErrorHighlight", "all"),
    ("diff.orderFile", "/nonexistent/order"),
    ("diff.suppressBlankEmpty", "true"),
    ("format.pretty", "oneline"),
    ("log.date", "relative"),
    ("log.showRoot", "false"),
];

#[test]
fn the_variables_of_a_person_leave_no_finding_out() {
    let (project, bill) = Project::whole().with_image();
    let variables = [
        ("TRIVY_SEVERITY", "LOW"),
        ("TRIVY_SKIP_FILES", "**/Dockerfile"),
        ("TRIVY_CACHE_DIR", "/cache"),
        ("BILL", &bill),
    ];
    for command in ["security", "scan"] {
        succeeded(&project.run(&[command], &variables));
        let log = project.read("log");
        let mut seen = log.lines().filter(|line| line.starts_with("trivy has"));
        assert!(seen.all(|line| line == "trivy has /cache  "), "{log}");
    }
}

#[test]
fn secrets_are_found_whatever_a_person_tells_git() {
    let project = Project::whole();
    project.install("gitleaks", READING_GITLEAKS);
    let clone = project.file("clone");
    commit(&clone, "key", "the secret\n");
    let read = |environment: &[(&str, &str)]| {
        succeeded(&project.run(&["security"], environment));
        project.read("log.read")
    };
    let expected = read(&[]);
    let added = "\ndiff --git a/key b/key\nnew file mode 100644\n";
    assert!(expected.contains(added), "{expected}");
    assert!(expected.contains("\n+the secret\n"));

    let attributes = project.file("attributes");
    fs::write(&attributes, "* diff=mine\n").unwrap();
    let person = project.file("home/.gitconfig");
    fs::create_dir(project.file("home")).unwrap();
    for (key, value) in HIDING {
        git(
            &clone,
            &["config", "--file", person.to_str().unwrap(), key, value],
        );
    }
    let global = ["config", "--file", person.to_str().unwrap()];
    let attributes = ["core.attributesFile", attributes.to_str().unwrap()];
    git(&clone, &[&global[..], &attributes].concat());
    let home = project.file("home");
    assert_eq!(read(&[("HOME", home.to_str().unwrap())]), expected);

    git(project.folder.path(), &["init", "--quiet", "other"]);
    let other = project.file("other/.git");
    let variables = [
        ("GIT_DIR", other.to_str().unwrap()),
        ("GIT_EXTERNAL_DIFF", "true"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "color.ui"),
        ("GIT_CONFIG_VALUE_0", "always"),
    ];
    assert_eq!(read(&variables), expected);

    for (key, value) in HIDING {
        git(&clone, &["config", key, value]);
    }
    let info = clone.join(".git/info");
    fs::create_dir_all(&info).unwrap();
    fs::write(info.join("attributes"), "* diff=mine\n").unwrap();
    assert_eq!(read(&[]), expected);
}

#[test]
fn each_scanner_can_make_it_red_and_the_others_run_all_the_same() {
    for (variable, check) in [
        ("DENY_EXIT", "dependencies"),
        ("FAKE_GITLEAKS_EXIT", "secrets"),
        ("FAKE_TRIVY_EXIT", "configuration"),
    ] {
        let project = Project::whole();
        let output = project.run(&["security"], &[(variable, "1")]);
        assert!(failed(&output).contains("1 checks failed"), "{check}");
        for other in ["dependencies", "secrets", "configuration"] {
            let expected = if other == check { "FAILED" } else { "passed" };
            assert_eq!(Project::row(&output, other), expected, "{check}: {other}");
        }
    }
}

#[test]
fn advisories_can_come_from_a_folder() {
    let project = Project::whole();
    let advisory = project.file("advisories/crates/some/RUSTSEC-2026-0001.md");
    fs::create_dir_all(advisory.parent().unwrap()).unwrap();
    fs::write(advisory, "").unwrap();
    let folder = project.file("advisories");
    let output = project.run(&["security"], &[("ADVISORY_DB", folder.to_str().unwrap())]);
    succeeded(&output);
    let log = project.read("log");
    // A new machine has few crates, and cargo-deny needs all of them.
    let fetched = log.find("cargo fetch --locked");
    let checked = log.find("cargo-deny --workspace --locked --offline --config ");
    assert!(fetched.is_some() && fetched < checked, "{log}");
    assert_eq!(log.matches("the database is laid out").count(), 2, "{log}");

    let output = project.run(&["security"], &[("ADVISORY_DB", "/nowhere")]);
    assert!(failed(&output).contains("ADVISORY_DB names /nowhere"));
    assert_eq!(Project::row(&output, "dependencies"), "FAILED");
}

#[test]
fn a_clone_without_its_history_is_an_error() {
    let project = Project::whole();
    let (clone, whole) = (project.file("clone"), project.file("whole"));
    fs::rename(&clone, &whole).unwrap();
    let url = format!("file://{}", whole.display());
    git(
        project.folder.path(),
        &["clone", "--quiet", "--depth=1", &url, "clone"],
    );
    let output = project.run(&["security"], &[]);
    assert!(failed(&output).contains("fetch-depth: 0"));
    assert_eq!(Project::row(&output, "secrets"), "FAILED");
    assert!(!project.read("log").contains("gitleaks"));
}

#[test]
fn a_missing_scanner_is_an_error_unless_it_may_be_missing() {
    let project = Project::new(&[("cargo-deny", DENY)]);
    let output = project.run(&["security"], &[]);
    let said = failed(&output);
    assert!(
        said.contains("gitleaks is not on PATH: `cargo pipeline tools security` installs it"),
        "{said}"
    );
    assert!(said.contains("2 checks failed"), "{said}");

    let output = project.run(&["security"], &[("PIPELINE_OPTIONAL_TOOLS", "gitleaks")]);
    assert!(failed(&output).contains("1 checks failed"));
    assert_eq!(Project::row(&output, "secrets"), "skipped");

    let both = [("PIPELINE_OPTIONAL_TOOLS", "gitleaks trivy")];
    let output = project.run(&["security"], &both);
    assert!(succeeded(&output).contains("gitleaks is not installed"));
    assert_eq!(Project::row(&output, "dependencies"), "passed");
}

#[test]
fn a_scanner_that_is_there_runs_even_if_it_may_be_missing() {
    let project = Project::whole();
    let environment = [
        ("PIPELINE_OPTIONAL_TOOLS", "gitleaks"),
        ("FAKE_GITLEAKS_EXIT", "1"),
    ];
    let output = project.run(&["security"], &environment);
    failed(&output);
    assert_eq!(Project::row(&output, "secrets"), "FAILED");
}

#[test]
fn an_image_is_scanned_and_its_bill_of_materials_is_written() {
    let (project, bill) = Project::whole().with_image();
    let output = project.run(&["scan"], &[("BILL", &bill)]);
    assert!(!succeeded(&output).contains("were not looked for"));
    let log = project.read("log");
    assert!(
        log.contains("--scanners=vuln,secret,misconfig --ignore-unfixed"),
        "{log}"
    );
    let written: Value =
        serde_json::from_str(&project.read("clone/target/image/sbom.cdx.json")).unwrap();
    assert_eq!(written["metadata"]["timestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(
        written["serialNumber"],
        "urn:uuid:abababab-abab-8aba-8bab-abababababab"
    );
    assert_eq!(
        project.read("clone/target/security/image.sarif"),
        "{\"format\":\"sarif\"}\n"
    );

    let output = project.run(&["scan"], &[("BILL", &bill), ("FAKE_TRIVY_EXIT", "1")]);
    assert!(failed(&output).contains("high or critical"));
}

#[test]
fn without_a_database_the_scan_says_what_it_did_not_do() {
    let (project, bill) = Project::whole().with_image();
    let output = project.run(&["scan"], &[("BILL", &bill), ("SCAN_DATABASE", "none")]);
    let said = succeeded(&output);
    assert!(
        said.contains("vulnerabilities were not searched for, because SCAN_DATABASE is `none`"),
        "{said}"
    );
    let log = project.read("log");
    assert!(
        log.contains("--scanners=secret,misconfig --offline-scan"),
        "{log}"
    );
    assert!(!log.contains("vuln"), "{log}");

    let output = project.run(&["scan"], &[("BILL", &bill), ("SCAN_DATABASE", "nnoe")]);
    assert!(failed(&output).contains("SCAN_DATABASE is `nnoe`"));
}

/// What is needed to lint and to measure, but for what comes from crates.io and PyPI.
fn without_what_is_installed() -> Project {
    let project = Project::new(&[("cargo", CARGO), ("python3", PYTHON)]);
    for name in [
        "actionlint",
        "cargo-clippy",
        "cargo-fmt",
        "cc",
        "helm",
        "kubeconform",
        "make",
        "shellcheck",
    ] {
        project.install(name, "");
    }
    project
}

#[test]
fn programs_are_installed_once_and_end_up_on_path() {
    let project = without_what_is_installed();
    let words = ["tools", "lint", "quality"];
    let said = succeeded(&project.run(&words, &[]));
    let path = project.read("path");
    let folders: Vec<&Path> = path.lines().map(Path::new).collect();
    let [python, jscpd, machete] = folders.as_slice() else {
        panic!("{said}");
    };
    assert!(
        machete.ends_with("delivery/tools/cargo-machete-0.9.2/bin"),
        "{said}"
    );
    assert!(machete.join("cargo-machete").is_file());
    assert!(!machete.with_file_name("target").exists());
    assert!(jscpd.join("jscpd").is_file());
    assert!(python.join("zizmor").is_file());
    let log = project.read("log");
    assert!(
        log.contains("cargo install --locked --quiet cargo-machete --version 0.9.2 --root "),
        "{log}"
    );
    assert!(log.contains("--require-hashes"), "{log}");

    let again = succeeded(&project.run(&words, &[]));
    assert_eq!(again, said);
    assert_eq!(project.read("log"), log, "something was installed again");
}

#[test]
fn a_binary_from_npm_is_preferred_to_compiling() {
    let project = without_what_is_installed();
    let npm = r#"
mkdir -p node_modules/jscpd-linux-x64-gnu/bin
echo > node_modules/jscpd-linux-x64-gnu/bin/jscpd
chmod +x node_modules/jscpd-linux-x64-gnu/bin/jscpd"#;
    project.install("npm", npm);
    succeeded(&project.run(&["tools", "quality"], &[]));
    let log = project.read("log");
    assert!(log.contains("npm ci --silent --ignore-scripts"), "{log}");
    assert!(!log.contains("jscpd --version"), "{log}");
    let path = project.read("path");
    let folder = Path::new(path.lines().next().unwrap());
    assert!(folder.join("jscpd").is_file(), "{path}");
    assert!(!folder.with_file_name("node_modules").exists());
}

#[test]
fn an_interrupted_install_does_not_count() {
    let project = without_what_is_installed();
    let output = project.run(&["tools", "quality"], &[("CARGO_EXIT", "1")]);
    assert!(failed(&output).contains("`cargo install --locked --quiet jscpd"));
    assert!(
        !project
            .file("cache/waybill/tools/cargo-machete-0.9.2")
            .exists()
    );
    succeeded(&project.run(&["tools", "quality"], &[]));
}

#[test]
fn what_may_be_missing_is_not_installed() {
    let project = without_what_is_installed();
    let said = succeeded(&project.run(
        &["tools", "quality"],
        &[("PIPELINE_OPTIONAL_TOOLS", "cargo-machete jscpd")],
    ));
    assert!(
        said.contains("missing, which PIPELINE_OPTIONAL_TOOLS allows"),
        "{said}"
    );
    assert_eq!(project.read("log"), "");
}
