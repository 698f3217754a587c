//! `cargo pipeline prune` from outside, with a strict server in GitHub's place. Skopeo is a fake that has manifests as
//! files.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use testkit::github::{GitHub, not_found};

/// Answers with the manifest that has the name of the digest, or with an image.
const SKOPEO: &str = r#"#!/bin/sh
set -eu
for image; do :; done
file=$MANIFESTS/${image##*sha256:}
case "$*" in "inspect --raw docker://ghcr.io/"*) ;; *) exit 2 ;; esac
if [ -e "$file" ]; then cat "$file"; else echo '{"layers": []}'; fi
"#;

const OLD: &str = "2020-02-02T00:00:00Z";

fn digest(number: u32) -> String {
    format!("sha256:{number:064x}")
}

/// A version of the image on GitHub. Its number is also its digest.
fn version(number: u32, created_at: &str, tags: &[&str]) -> Value {
    json!({
        "id": number, "name": digest(number), "created_at": created_at,
        "metadata": {"package_type": "container", "container": {"tags": tags}},
    })
}

/// A repository and its image on GitHub.
struct Project {
    folder: TempDir,
    owner: &'static str,
    forge: GitHub,
    deleted: Arc<Mutex<Vec<String>>>,
}

impl Project {
    fn new(owner: &'static str, versions: Vec<Value>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let skopeo = folder.path().join("bin/skopeo");
        fs::create_dir_all(skopeo.parent().unwrap()).unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        fs::write(&skopeo, SKOPEO).unwrap();
        fs::set_permissions(skopeo, fs::Permissions::from_mode(0o755)).unwrap();
        git(folder.path(), &["init", "--quiet", "--bare", "forge.git"]);
        git(folder.path(), &["clone", "--quiet", "forge.git", "clone"]);
        let clone = folder.path().join("clone");
        git(&clone, &["checkout", "--quiet", "-b", "develop"]);
        commit(&clone, "delivery.toml", DELIVERY);
        for branch in ["develop", "develop:staging", "develop:main"] {
            git(&clone, &["push", "--quiet", "origin", branch]);
        }
        let deleted = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&deleted);
        let versions = Mutex::new(versions);
        let accounts = if owner == "User" { "users" } else { "orgs" };
        let path = format!("/{accounts}/waybill/packages/container/waybill/versions");
        let forge = GitHub::start(move |request| {
            let target = request.target().to_owned();
            if target == "/repos/waybill/waybill" {
                let owner = json!({"login": "waybill", "id": 1, "type": owner});
                return (200, json!({"full_name": "waybill/waybill", "owner": owner}));
            }
            let Some(rest) = target.strip_prefix(path.as_str()) else {
                return not_found();
            };
            if request.method() == "DELETE" {
                if rest == "/13" {
                    return (400, json!({"message": "more than 5000 downloads"}));
                }
                seen.lock().unwrap().push(rest[1..].to_owned());
                return (204, Value::Null);
            }
            let all = versions.lock().unwrap();
            match rest.contains("&page=1") {
                true => (200, json!(*all)),
                false => (200, json!([])),
            }
        });
        Self {
            folder,
            owner,
            forge,
            deleted,
        }
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    /// Gives an environment an image, on a branch of the forge.
    fn deploy(&self, branch: &str, environment: &str, number: u32) {
        let clone = self.clone();
        let there = format!("origin/{branch}");
        git(&clone, &["checkout", "--quiet", "-B", branch, &there]);
        let text = format!(
            "image:\n  tag: develop-{number}\n  digest: {}\n",
            digest(number)
        );
        let file = format!("charts/waybill/values-{environment}.yaml");
        commit(&clone, &file, &text);
        git(&clone, &["push", "--quiet", "origin", branch]);
    }

    /// What the registry has under a digest.
    fn manifest(&self, number: u32, content: &Value) {
        let file = format!("manifests/{number:064x}");
        fs::write(self.folder.path().join(file), content.to_string()).unwrap();
    }

    fn prune(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let path = std::env::var_os("PATH").unwrap();
        let bin = self.folder.path().join("bin");
        let path = std::iter::once(bin).chain(std::env::split_paths(&path));
        pipeline(&self.clone(), &[&["prune"], args].concat())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("MANIFESTS", self.folder.path().join("manifests"))
            .env("GITHUB_REPOSITORY", "waybill/waybill")
            .env("GITHUB_API_URL", &self.forge.address)
            .env("GITHUB_TOKEN", "t0ken")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    /// The numbers of the versions that were deleted since the last time.
    fn deleted(&self) -> Vec<String> {
        std::mem::take(&mut *self.deleted.lock().unwrap())
    }

    /// Deletes what is not needed, and returns the numbers.
    fn pruned(&self, args: &[&str]) -> Vec<String> {
        succeeded(&self.prune(&[&["--delete"], args].concat(), &[]));
        self.deleted()
    }
}

#[test]
fn what_git_does_not_name_any_more_is_deleted_when_it_is_old() {
    for owner in ["Organization", "User"] {
        let now = jiff::Timestamp::now().to_string();
        let project = Project::new(
            owner,
            vec![
                version(6, &now, &["develop", "develop-6"]),
                version(5, OLD, &["develop-5"]),
                version(4, OLD, &["develop-4"]),
                version(3, OLD, &["develop-3"]),
                version(2, OLD, &["develop-2"]),
                version(1, OLD, &["develop-1"]),
            ],
        );
        for number in 1..=5 {
            project.deploy("develop", "dev", number);
        }
        // Staging and an open pull request to prod have images that dev has left.
        project.deploy("staging", "staging", 2);
        git(
            &project.clone(),
            &[
                "push",
                "--quiet",
                "origin",
                "origin/main:refs/heads/promote/prod",
            ],
        );
        git(&project.clone(), &["fetch", "--quiet", "origin"]);
        project.deploy("promote/prod", "prod", 3);

        let said = succeeded(&project.prune(&["--keep", "1"], &[]));
        assert!(
            said.contains("2 versions are not needed, 4 are"),
            "{owner}: {said}"
        );
        assert!(
            said.contains(&digest(4)) && said.contains("develop-1"),
            "{said}"
        );
        assert!(project.deleted().is_empty(), "it was only a list");
        // Enough history, and enough days, keep more.
        assert!(project.pruned(&["--keep", "5"]).is_empty());
        assert!(
            project
                .pruned(&["--keep", "1", "--older-than", "20000"])
                .is_empty()
        );
        assert_eq!(project.pruned(&["--keep", "2"]), ["1"]);
        assert_eq!(
            project.pruned(&["--keep", "1"]),
            ["4", "1"],
            "{}",
            project.owner
        );
    }
}

#[test]
fn releases_stay() {
    let project = Project::new(
        "User",
        vec![
            version(5, OLD, &["develop-5"]),
            version(4, OLD, &["develop-4", "v1.1.0-rc.1"]),
            version(3, OLD, &["develop-3", "latest"]),
            version(2, OLD, &["develop-2"]),
            version(1, OLD, &["develop-1"]),
        ],
    );
    project.deploy("staging", "staging", 1);
    git(
        &project.clone(),
        &["tag", "-m", "The first version", "v1.0.0"],
    );
    for number in [2, 5] {
        project.deploy("staging", "staging", number);
    }
    assert_eq!(project.pruned(&["--keep", "1"]), ["2"]);
}

#[test]
fn a_branch_whose_name_is_not_utf_8_keeps_its_image() {
    let versions = [2, 1].map(|number| version(number, OLD, &[&format!("develop-{number}")]));
    let project = Project::new("User", versions.to_vec());
    project.deploy("staging", "staging", 1);
    let made = testkit::git(&project.clone())
        .arg("update-ref")
        .arg(OsStr::from_bytes(b"refs/heads/caf\xe9"))
        .arg("HEAD")
        .status();
    assert!(made.unwrap().success());
    project.deploy("staging", "staging", 2);
    assert_eq!(project.pruned(&["--keep", "1"]), [""; 0]);
}

#[test]
fn signatures_and_platforms_share_the_fate_of_their_image() {
    let signatures = |number: u32| digest(number).replace(':', "-");
    let project = Project::new(
        "User",
        vec![
            version(1, OLD, &["develop-1"]),
            version(2, OLD, &["develop-2"]),
            version(11, OLD, &[]),
            version(12, OLD, &[]),
            version(21, OLD, &[]),
            version(22, OLD, &[]),
            version(31, OLD, &[&signatures(1)]),
            version(32, OLD, &[&signatures(2)]),
        ],
    );
    for number in [1, 2] {
        let part = json!({"digest": digest(10 + number)});
        project.manifest(number, &json!({ "manifests": [part] }));
        let subject = json!({"digest": digest(number)});
        project.manifest(20 + number, &json!({"layers": [], "subject": subject}));
        let referrer = json!({"digest": digest(20 + number)});
        project.manifest(30 + number, &json!({ "manifests": [referrer] }));
    }
    project.deploy("develop", "dev", 1);
    project.deploy("develop", "dev", 2);
    assert_eq!(project.pruned(&["--keep", "1"]), ["1", "31", "11", "21"]);
}

#[test]
fn in_doubt_nothing_is_deleted() {
    let versions = vec![version(1, OLD, &["develop-1"]), version(2, OLD, &[])];
    let project = Project::new("User", versions);
    project.deploy("develop", "dev", 2);
    let refused = |variables: &[(&str, &str)], reason: &str| {
        let said = failed(&project.prune(&["--delete"], variables));
        assert!(said.contains(reason), "{said}");
        assert!(project.deleted().is_empty());
    };
    refused(
        &[("GITOPS_REPOSITORY", "acme/manifests")],
        "the values are in a separate repository",
    );
    refused(
        &[("REGISTRY", "quay.io")],
        "the images are in quay.io, and this command deletes only those in ghcr.io",
    );
    // A manifest that cannot be read may be an index of what is needed.
    fs::write(
        project
            .folder
            .path()
            .join("manifests")
            .join(&digest(2)[7..]),
        "<html>",
    )
    .unwrap();
    refused(&[], "is not an OCI manifest; nothing was deleted");
    fs::remove_dir_all(project.folder.path().join("manifests")).unwrap();

    let clone = project.clone();
    git(&clone, &["update-ref", "-d", "refs/remotes/origin/main"]);
    refused(&[], "origin/main");
    let shallow = git(&clone, &["rev-parse", "HEAD"]);
    fs::write(clone.join(".git/shallow"), shallow + "\n").unwrap();
    refused(&[], "git fetch --unshallow --tags");
}

#[test]
fn what_github_does_not_delete_is_reported_and_the_rest_goes() {
    let versions = vec![version(13, OLD, &["develop-13"]), version(1, OLD, &[])];
    let project = Project::new("User", versions);
    let output = project.prune(&["--delete"], &[]);
    let said = failed(&output);
    assert!(said.contains("1 of 2 versions were not deleted"), "{said}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("more than 5000 downloads"), "{said}");
    assert_eq!(project.deleted(), ["1"]);
}

#[test]
fn an_image_that_was_never_pushed_needs_no_retention() {
    let project = Project::new("User", Vec::new());
    let said = succeeded(&project.prune(&["--delete"], &[]));
    assert_eq!(said, "all 0 versions are needed\n");
}
