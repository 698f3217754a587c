//! `cargo pipeline chart push` from outside, with a stand-in for Helm that knows a registry with at most one version.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded, with_fakes};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use tempfile::TempDir;

const HELM: &str = r#"#!/bin/sh
set -eu
echo "helm $*" >> "$LOG"
case "$1" in
  pull) [ -n "${PUBLISHED-}" ] || { echo "Error: not found" >&2; exit 1; } ;;
  push) grep -q auths "$HELM_REGISTRY_CONFIG" ;;
  package) exit 0 ;;
esac
echo "Digest: sha256:1111111111111111111111111111111111111111111111111111111111111111" >&2
"#;

struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet", "clone"]);
        commit(&folder.path().join("clone"), "delivery.toml", DELIVERY);
        fs::create_dir(folder.path().join("bin")).unwrap();
        let helm = folder.path().join("bin/helm");
        fs::write(&helm, HELM).unwrap();
        fs::set_permissions(&helm, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn push(&self, reference: &str, published: &str) -> Output {
        let clone: PathBuf = self.folder.path().join("clone");
        let mut command = pipeline(&clone, &["chart", "push"]);
        with_fakes(&mut command);
        let path = command.get_envs().find(|(name, _)| *name == "PATH");
        let path = path.unwrap().1.unwrap().to_str().unwrap().to_owned();
        let bin = self.folder.path().join("bin");
        command
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("LOG", self.folder.path().join("log"))
            .env("PUBLISHED", published)
            .env("GITHUB_EVENT_NAME", "push")
            .env("GITHUB_REF", reference)
            .env("GITHUB_SHA", "a".repeat(40))
            .env("REGISTRY", "registry.example.org")
            .env("REGISTRY_USERNAME", "ann")
            .env("REGISTRY_TOKEN", "t0ken")
            .env(
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                "https://forge.example.org/token",
            )
            .output()
            .unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

#[test]
fn the_chart_of_a_version_is_pushed_and_its_digest_is_signed() {
    let project = Project::new();
    let said = succeeded(&project.push("refs/tags/v1.2.0", ""));
    assert!(
        said.contains("registry.example.org/waybill/charts/waybill:1.2.0 was pushed"),
        "{said}"
    );
    let log = project.log();
    for part in [
        "helm package charts/waybill --version 1.2.0 --app-version 1.2.0 --destination ",
        "/waybill-1.2.0.tgz oci://registry.example.org/waybill/charts\n",
        "cosign sign --yes registry.example.org/waybill/charts/waybill@sha256:1111",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[test]
fn a_published_version_is_not_replaced() {
    let project = Project::new();
    let said = succeeded(&project.push("refs/tags/v1.2.0", "yes"));
    assert!(said.contains("is there already and was signed"), "{said}");
    let log = project.log();
    assert!(
        !log.contains("helm push") && log.contains("cosign sign"),
        "{log}"
    );
}

#[test]
fn only_a_version_tag_names_a_version() {
    let project = Project::new();
    for (reference, reason) in [
        ("refs/heads/develop", "name the version by `--version`"),
        ("refs/tags/nightly", "is not a release tag"),
    ] {
        let said = failed(&project.push(reference, ""));
        assert!(said.contains(reason), "{said}");
    }
    assert_eq!(project.log(), "");
}
