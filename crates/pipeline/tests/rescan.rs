//! `cargo pipeline rescan` from outside. Trivy and skopeo are fakes that record how they were called.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{commit, failed, git, pipeline, succeeded};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use tempfile::TempDir;

/// Notes its arguments. `convert` to a table fails if the last scan was of the image in $BAD.
const TRIVY: &str = r#"#!/bin/sh
set -eu
echo "trivy $*" >> "$LOG"
for arg; do
  case "$arg" in --input=*) cat "${arg#--input=}/source" > "$LOG.last" ;; --format=table) if grep -q "${BAD-nothing}" "$LOG.last"; then exit 1; fi ;; esac
  if [ "${last-}" = --output ]; then echo '{}' > "$arg"; fi
  last=$arg
done
"#;

/// Writes where an image came from.
const SKOPEO: &str = r#"#!/bin/sh
set -eu
echo "skopeo $*" >> "$LOG"
for target; do :; done
target=${target#oci:}
echo "$3" > "${target%:*}/source"
"#;

/// A clone whose environments run these images.
struct Project {
    folder: TempDir,
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

impl Project {
    fn new(images: &[(&str, &str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("trivy", TRIVY), ("skopeo", SKOPEO)] {
            let file = folder.path().join("bin").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let clone = folder.path().join("clone");
        git(folder.path(), &["init", "--quiet", "clone"]);
        commit(&clone, "delivery.toml", common::DELIVERY);
        let start = commit(&clone, "Dockerfile", "FROM scratch\n");
        for (environment, branch, digit) in images {
            git(&clone, &["checkout", "--quiet", "--detach", &start]);
            let file = format!("charts/waybill/values-{environment}.yaml");
            let (tag, digest) = match *digit {
                "" => ("unreleased", digest("0")),
                digit => ("v1", digest(digit)),
            };
            let text = format!(
                "image:
  tag: {tag}
  digest: {digest}
"
            );
            let tip = commit(&clone, &file, &text);
            git(
                &clone,
                &["update-ref", &format!("refs/remotes/origin/{branch}"), &tip],
            );
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn rescan(&self, variables: &[(&str, &str)]) -> Output {
        let path = std::env::var_os("PATH").unwrap();
        let path = std::iter::once(self.path("bin")).chain(std::env::split_paths(&path));
        pipeline(&self.path("clone"), &["rescan"])
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("LOG", self.path("log"))
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

const BRANCHES: [(&str, &str, &str); 3] = [
    ("dev", "develop", "a"),
    ("staging", "staging", "b"),
    ("prod", "main", "b"),
];

#[test]
fn each_image_that_runs_is_scanned_once() {
    let project = Project::new(&BRANCHES);
    let said = succeeded(&project.rescan(&[]));
    assert!(
        said.contains(&format!("{} in staging, prod\n", digest("b"))),
        "{said}"
    );
    let log = project.log();
    for digit in ["a", "b"] {
        let copy = format!("/waybill/waybill@{} oci:", digest(digit));
        assert_eq!(log.matches(&copy).count(), 1, "{log}");
    }
    assert_eq!(
        log.matches("--scanners=vuln,secret,misconfig").count(),
        2,
        "{log}"
    );
    for name in ["image-dev", "image-staging"] {
        let sarif = format!("clone/target/security/{name}.sarif");
        assert!(project.path(&sarif).exists(), "{name}");
    }
}

#[test]
fn a_finding_names_the_environments_and_the_others_are_scanned_too() {
    let project = Project::new(&BRANCHES);
    let said = failed(&project.rescan(&[("BAD", &digest("a"))]));
    assert!(said.contains("the images in dev have findings"), "{said}");
    assert_eq!(project.log().matches("--format=table").count(), 2);
    let said = failed(&project.rescan(&[("BAD", &digest("b"))]));
    assert!(
        said.contains("the images in staging, prod have findings"),
        "{said}"
    );
}

#[test]
fn an_environment_without_an_image_is_left_out() {
    let project = Project::new(&[
        ("dev", "develop", "a"),
        ("staging", "staging", ""),
        ("prod", "main", ""),
    ]);
    let said = succeeded(&project.rescan(&[]));
    assert!(said.contains("staging has no image yet"), "{said}");
    assert_eq!(project.log().matches("skopeo copy").count(), 1);
}

#[test]
fn a_branch_that_is_missing_is_an_error() {
    let project = Project::new(&BRANCHES[..2]);
    let said = failed(&project.rescan(&[]));
    assert!(said.contains("origin/main"), "{said}");
    assert_eq!(project.log(), "", "nothing is scanned");
}
