//! `cargo pipeline release` from outside, with a forge that keeps releases in memory. The scenario `release` uses a
//! real one.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded, with_fakes};
use http::{Request, serve};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::server as http;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CHANGES: &str = "# Changelog\n\n## [Unreleased]\n\n- More to come\n\n## [1.2.0] - 2026-11-01\n\n- A great thing\n";

/// A clone whose HEAD is on staging, where the image is pinned, and a forge.
struct Project {
    folder: TempDir,
    commit: String,
    api: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Project {
    /// On a forge whose API is below `prefix`.
    fn new(prefix: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet", "clone"]);
        let clone = folder.path().join("clone");
        commit(&clone, "delivery.toml", DELIVERY);
        commit(&clone, "CHANGELOG.md", CHANGES);
        let values = format!("image:\n  tag: x\n  digest: {DIGEST}\n");
        let commit = commit(&clone, "charts/waybill/values-staging.yaml", &values);
        git(
            &clone,
            &["update-ref", "refs/remotes/origin/staging", "HEAD"],
        );
        let seen = Arc::new(Mutex::new(Vec::new()));
        let api = serve(forge(Arc::clone(&seen))) + prefix;
        Self {
            folder,
            commit,
            api,
            seen,
        }
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn release(&self, tag: &str, options: &[&str]) -> Output {
        let mut command = pipeline(&self.clone(), &[&["release"], options].concat());
        with_fakes(&mut command)
            .env("GITHUB_EVENT_NAME", "push")
            .env("GITHUB_REF", format!("refs/tags/{tag}"))
            .env("GITHUB_SHA", &self.commit)
            .env("GITHUB_REPOSITORY", "some/body")
            .env("GITHUB_SERVER_URL", "https://forge.example.org")
            .env("GITHUB_API_URL", &self.api)
            .env("GITHUB_TOKEN", "t0ken")
            .env("REGISTRY", "registry.example.org")
            .env("FAKE_COMMIT", &self.commit)
            .output()
            .unwrap()
    }

    /// What was asked since the last time: method and path.
    fn asked(&self) -> Vec<String> {
        let requests: Vec<Request> = std::mem::take(&mut *self.seen.lock().unwrap());
        let line = |request: &Request| format!("{} {}", request.method(), request.target());
        requests.iter().map(line).collect()
    }
}

/// Keeps one release, with the names of its files.
fn forge(seen: Arc<Mutex<Vec<Request>>>) -> impl FnMut(Request) -> (u16, String) {
    let mut release: Option<Value> = None;
    move |request| {
        seen.lock().unwrap().push(request.clone());
        let target = request.target().to_owned();
        let host = format!("http://{}", request.header("host").unwrap());
        match (request.method(), &mut release) {
            ("GET", None) => (404, "{}".to_owned()),
            ("GET" | "PATCH", Some(release)) => {
                if request.method() == "PATCH" {
                    release["body"] = request.json()["body"].clone();
                }
                (200, release.to_string())
            }
            ("POST", Some(release)) if target.starts_with("/files") => {
                let files = release["assets"].as_array_mut().unwrap();
                let name = target.split_once("name=").unwrap().1;
                files.push(json!({"id": files.len() + 1, "name": name}));
                (201, "{}".to_owned())
            }
            ("POST", empty) => {
                let mut new = request.json();
                new["id"] = 7.into();
                new["assets"] = json!([]);
                new["upload_url"] = format!("{host}/files{{?name,label}}").into();
                *empty = Some(new.clone());
                (201, new.to_string())
            }
            ("DELETE", Some(_)) => (204, String::new()),
            _ => (500, "{}".to_owned()),
        }
    }
}

#[test]
fn a_version_gets_its_notes_and_files() {
    for (prefix, old_file) in [
        ("", "/repos/some/body/releases/assets/1"),
        ("/api/v1", "/api/v1/repos/some/body/releases/7/assets/1"),
    ] {
        let project = Project::new(prefix);
        let said = succeeded(&project.release("v1.2.0", &[]));
        assert_eq!(
            said,
            format!("released v1.2.0: registry.example.org/waybill/waybill@{DIGEST}\n")
        );
        let created = {
            let seen = project.seen.lock().unwrap();
            let created = seen.iter().find(|request| request.method() == "POST");
            created.unwrap().json()
        };
        assert_eq!(created["tag_name"], "v1.2.0");
        assert_eq!(created["prerelease"], false);
        let notes = created["body"].as_str().unwrap();
        assert!(notes.starts_with("- A great thing\n"), "{notes}");
        assert!(notes.contains(&project.commit), "{notes}");
        let verify = format!("  registry.example.org/waybill/waybill@{DIGEST}\n");
        assert!(notes.contains("cosign verify \\\n") && notes.contains(&verify));
        assert!(notes.contains("  sbom.cdx.json\n"), "{notes}");
        assert!(!notes.contains("More to come"), "{notes}");
        let releases = format!("{prefix}/repos/some/body/releases");
        assert_eq!(
            project.asked(),
            [
                format!("GET {releases}/tags/v1.2.0"),
                format!("POST {releases}"),
                "POST /files?name=sbom.cdx.json".to_owned(),
                "POST /files?name=SHA256SUMS".to_owned(),
            ]
        );

        // Again: the same release, with its files anew.
        succeeded(&project.release("v1.2.0", &[]));
        let asked = project.asked();
        assert_eq!(asked[1], format!("PATCH {releases}/7"));
        assert!(asked.contains(&format!("DELETE {old_file}")), "{asked:?}");
        assert_eq!(asked.len(), 6, "{asked:?}");
    }
}

#[test]
fn a_preview_shows_what_is_not_released() {
    let project = Project::new("");
    let notes = succeeded(&project.release("v1.3.0-rc.1", &["--dry-run"]));
    assert!(notes.starts_with("- More to come\n"), "{notes}");
    assert!(project.asked().is_empty());
}

#[test]
fn what_cannot_be_explained_is_not_released() {
    let project = Project::new("");
    let said = failed(&project.release("v1.3.0", &[]));
    assert!(said.contains("no section `## [1.3.0]`"), "{said}");
    let said = failed(&project.release("1.3.0", &[]));
    assert!(said.contains("1.3.0"), "{said}");
    git(
        &project.clone(),
        &["update-ref", "refs/remotes/origin/staging", "HEAD~1"],
    );
    let said = failed(&project.release("v1.2.0", &[]));
    assert!(said.contains("is not on staging"), "{said}");
    assert!(project.asked().is_empty());
}
