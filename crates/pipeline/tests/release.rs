//! `cargo pipeline release` from outside, with a forge that keeps releases in memory. The scenario `release` uses a
//! real one.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded, with_fakes};
use http::{Request, serve};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::github::{GitHub, not_found};
use testkit::server as http;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const CHANGES: &str = "# Changelog\n\n## [Unreleased]\n\n- More to come\n\n## [1.2.0] - 2026-11-01\n\n- A great thing\n";

/// A clone whose HEAD is on staging, where the image is pinned, and a forge.
struct Project {
    folder: TempDir,
    commit: String,
    api: String,
    seen: Arc<Mutex<Vec<Request>>>,
    /// Compares requests and answers with GitHub's description, also when it is dropped.
    _github: Option<GitHub>,
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
        let mut forge = forge(Arc::clone(&seen));
        let (api, github) = match prefix {
            "" => {
                let github = GitHub::start(forge);
                (github.address.clone(), Some(github))
            }
            _ => {
                let serve = serve(move |request| {
                    let (status, answer) = forge(&request);
                    let empty = status == 204;
                    (
                        status,
                        if empty {
                            String::new()
                        } else {
                            answer.to_string()
                        },
                    )
                });
                (serve + prefix, None)
            }
        };
        Self {
            folder,
            commit,
            api,
            seen,
            _github: github,
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

#[test]
fn notes_mention_nobody_and_do_not_hide_how_to_verify() {
    let project = Project::new("");
    let changes =
        "## [1.2.0]\n\n- Thanks, @ann: fixes #12 <!-- [a](https://example.org/@b)\n\n```sh\n@c\n";
    let long = format!("{changes}{}", "- more\n".repeat(20_000));
    std::fs::write(project.clone().join("CHANGELOG.md"), long).unwrap();
    let said = succeeded(&project.release("v1.2.0", &["--dry-run"]));
    for text in ["@ann", "fixes #12", "<!--"] {
        assert!(!said.contains(text), "{text}: {said}");
    }
    assert!(said.contains("[a](https://example.org/@b)"), "{said}");
    let (notes, image) = said.split_once("\n```\n\n## Image\n").unwrap();
    assert!(notes.ends_with("… (shortened)"), "{notes}");
    assert!(image.contains("cosign verify"), "{image}");
    assert!(said.chars().count() < 65_000);
}

/// Keeps one release, with the names of its files. On GitHub it is immutable once it is published.
fn forge(seen: Arc<Mutex<Vec<Request>>>) -> impl FnMut(&Request) -> (u16, Value) {
    let mut release: Option<Value> = None;
    move |request| {
        seen.lock().unwrap().push(request.clone());
        let target = request.target().split('?').next().unwrap().to_owned();
        let github = !target.starts_with("/api/v1");
        let host = format!("http://{}", request.header("host").unwrap());
        let published = |release: &Value| release["draft"] != true;
        match (request.method(), &mut release) {
            ("GET", _) if target.ends_with("/releases") => (200, Value::from_iter(release.clone())),
            ("GET", Some(release)) if published(release) => (200, release.clone()),
            ("GET", _) => not_found(),
            ("PATCH", Some(release)) => {
                for (key, value) in request.json().as_object().unwrap() {
                    release[key] = value.clone();
                }
                (200, release.clone())
            }
            ("POST" | "DELETE", Some(release)) if github && published(release) => (
                422,
                json!({"message": "Cannot change assets of an immutable release."}),
            ),
            ("POST", Some(release)) if target.ends_with("/7/assets") => {
                let files = release["assets"].as_array_mut().unwrap();
                let name = request.target().split_once("name=").unwrap().1;
                let mut file = json!({"id": files.len() + 1, "name": name});
                if github {
                    let digest = hex::encode(Sha256::digest(request.bytes()));
                    file["digest"] = format!("sha256:{digest}").into();
                }
                files.push(file.clone());
                (201, file)
            }
            ("POST", empty) => {
                let mut new = request.json();
                new["id"] = 7.into();
                new["assets"] = json!([]);
                let upload = format!("{host}{target}/7/assets{{?name,label}}");
                new["upload_url"] = upload.into();
                *empty = Some(new.clone());
                (201, new)
            }
            ("DELETE", Some(_)) => (204, Value::Null),
            _ => not_found(),
        }
    }
}

#[test]
fn a_version_gets_its_notes_and_files() {
    for prefix in ["", "/api/v1"] {
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
        let upload = |name| format!("POST {releases}/7/assets?name={name}");
        let mut expected = vec![
            format!("GET {releases}/tags/v1.2.0"),
            format!("POST {releases}"),
            upload("sbom.cdx.json"),
            upload("SHA256SUMS"),
        ];
        if prefix.is_empty() {
            // GitHub takes no files after the publication.
            expected.insert(1, format!("GET {releases}?per_page=50&page=1"));
            expected.push(format!("PATCH {releases}/7"));
        }
        assert_eq!(project.asked(), expected);

        // Again: the same release. GitHub tells that it has the same files; on Gitea they are replaced.
        succeeded(&project.release("v1.2.0", &[]));
        let asked = project.asked();
        assert_eq!(asked[1], format!("PATCH {releases}/7"));
        let replaced = asked.contains(&format!("DELETE {releases}/7/assets/1"));
        assert_eq!(
            (replaced, asked.len()),
            if prefix.is_empty() {
                (false, 2)
            } else {
                (true, 6)
            }
        );
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
