//! `cargo pipeline plan` from outside: which events build, on real repositories.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../common/mod.rs"]
mod common;
mod pull;
mod tested;

use common::{commit, git, pipeline, succeeded};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;
use testkit::Template;

const VALUES: &str = "charts/waybill/values-dev.yaml";
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A service at the root, the pipeline and the lab, which share a crate.
const WORKSPACE: [(&str, &str); 11] = [
    (
        "Cargo.toml",
        r#"
        [package]
        name = "parcel"
        version = "0.1.0"
        [package.metadata.delivery]
        sources = ["migrations/"]
        reads = ["docs/service.md"]
        [workspace]
        members = ["crates/*"]
        "#,
    ),
    ("src/lib.rs", ""),
    ("tests/api/main.rs", ""),
    (
        "crates/devkit/Cargo.toml",
        r#"package = { name = "devkit", version = "0.1.0" }"#,
    ),
    ("crates/devkit/src/lib.rs", ""),
    (
        "crates/pipeline/Cargo.toml",
        r#"
        package = { name = "pipeline", version = "0.1.0", metadata.delivery.reads = ["charts/"] }
        dependencies = { devkit.path = "../devkit" }
        "#,
    ),
    ("crates/pipeline/src/main.rs", ""),
    ("crates/pipeline/tests/plan.rs", ""),
    (
        "crates/lab/Cargo.toml",
        r#"
        package = { name = "lab", version = "0.1.0" }
        dependencies = { devkit.path = "../devkit" }
        "#,
    ),
    ("crates/lab/src/main.rs", ""),
    ("README.md", ""),
];

/// What `plan` sets and prints.
struct Planned {
    jobs: Vec<String>,
    packages: String,
    environment: String,
    url: String,
    said: String,
}

impl Planned {
    fn has(&self, job: &str) -> bool {
        self.jobs.iter().any(|planned| planned == job)
    }
}

fn build(folder: &Path) {
    git(folder, &["init", "--quiet", "--bare", "forge.git"]);
    git(folder, &["clone", "--quiet", "forge.git", "clone"]);
    let clone = folder.join("clone");
    git(&clone, &["checkout", "--quiet", "-b", "develop"]);
    for (file, text) in WORKSPACE {
        let file = clone.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    git(&clone, &["add", "--all"]);
    commit(&clone, "delivery.toml", common::DELIVERY);
    commit(&clone, VALUES, "a: 1\n");
    let code = commit(&clone, "src/main.rs", "one");
    deliver(&clone, &code);
    git(&clone, &["push", "--quiet", "origin", "develop"]);
}

fn deliver(clone: &Path, source: &str) -> String {
    let values = format!("image:\n  tag: \"{source}\"\n  digest: sha256:{source:0>64}\n");
    fs::write(clone.join(VALUES), values).unwrap();
    let message = format!("chore(deploy): dev\n\nArgocd-reference-commit-sha: {source}");
    git(clone, &["commit", "--quiet", "--all", "-m", &message]);
    git(clone, &["rev-parse", "HEAD"])
}

/// A clone of a repository that has code and values on `develop`.
struct Clone {
    folder: TempDir,
}

impl Clone {
    fn new() -> Self {
        static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template::new(build));
        Self {
            folder: TEMPLATE.copy(),
        }
    }

    /// Writes the image of a commit back, as `cargo pipeline deploy` does.
    fn deliver(&self, source: &str) -> String {
        deliver(&self.path(), source)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn commit(&self, file: &str, text: &str) -> String {
        commit(&self.path(), file, text)
    }

    fn head(&self) -> String {
        git(&self.path(), &["rev-parse", "HEAD"])
    }

    /// Whether `plan` tests code, and what it prints.
    fn plan(&self, event: &str, reference: &str, payload: &str) -> (bool, String) {
        let planned = self.planned(event, reference, payload, &[]);
        (planned.has("unit"), planned.said)
    }

    /// What `plan` decides in a job with these variables.
    fn planned(
        &self,
        event: &str,
        reference: &str,
        payload: &str,
        variables: &[(&str, &str)],
    ) -> Planned {
        let output = self.folder.path().join("output");
        let event_file = self.folder.path().join("event.json");
        fs::write(&output, "").unwrap();
        fs::write(&event_file, payload).unwrap();
        let mut plan = pipeline(&self.path(), &["plan"]);
        common::with_cargo(&mut plan)
            .env("GITHUB_EVENT_NAME", event)
            .env("GITHUB_REF", reference)
            .env("GITHUB_SHA", self.head())
            .env("GITHUB_EVENT_PATH", event_file)
            .env("GITHUB_SERVER_URL", "https://forge.example")
            .env("GITHUB_REPOSITORY", "acme/shop")
            // No forge answers there, so that no test asks a real one.
            .env("GITHUB_API_URL", "http://127.0.0.1:1")
            .env("GITHUB_OUTPUT", &output)
            .envs(variables.iter().copied());
        let said = succeeded(&plan.output().unwrap());
        let outputs = fs::read_to_string(output).unwrap();
        let output = |name: &str| {
            let mut lines = outputs.lines();
            let line = lines.find_map(|line| line.strip_prefix(&format!("{name}=")));
            line.unwrap().to_owned()
        };
        let jobs: Vec<String> = serde_json::from_str(&output("jobs")).unwrap();
        let start = match jobs.as_slice() {
            [] => "no jobs: ".to_owned(),
            jobs => format!("{}: ", jobs.join(" ")),
        };
        assert!(said.starts_with(&start), "{said}");
        Planned {
            jobs,
            packages: output("packages"),
            environment: output("environment"),
            url: output("url"),
            said,
        }
    }

    fn push(&self, branch: &str, before: &str) -> (bool, String) {
        let payload = format!(r#"{{"before": "{before}"}}"#);
        self.plan("push", &format!("refs/heads/{branch}"), &payload)
    }

    fn pull_request(&self, base: &str) -> (bool, String) {
        let payload = format!(r#"{{"pull_request": {{"base": {{"ref": "{base}"}}}}}}"#);
        self.plan("pull_request", "refs/pull/1/head", &payload)
    }
}

#[test]
fn a_push_of_nothing_but_values_builds_nothing() {
    let clone = Clone::new();
    let before = clone.head();
    clone.commit(VALUES, "a: 2\n");
    clone.commit("charts/waybill/values-prod.yaml", "a: 3\n");
    let (build, said) = clone.push("develop", &before);
    assert!(!build, "{said}");
    assert!(said.contains("only environment values changed"), "{said}");
}

#[test]
fn any_other_file_in_the_push_builds() {
    for file in [
        "src/main.rs",
        "charts/waybill/values.yaml",
        "charts/waybill/values-dev.yaml.orig",
        "ä b",
    ] {
        let clone = Clone::new();
        let before = clone.head();
        clone.commit(file, "two");
        clone.commit(VALUES, "a: 2\n");
        assert!(clone.push("develop", &before).0, "{file}");
    }
}

/// `ignore = all` keeps a submodule out of what Git shows people.
#[test]
fn a_submodule_builds_even_if_git_is_to_ignore_it() {
    let clone = Clone::new();
    let inner = clone.path().join("sub");
    fs::create_dir(&inner).unwrap();
    git(&inner, &["init", "--quiet"]);
    commit(&inner, "a", "1");
    let modules = "[submodule \"sub\"]\n\tpath = sub\n\turl = ../sub.git\n\tignore = all\n";
    clone.commit(".gitmodules", modules);
    let before = clone.head();
    clone.commit(VALUES, "a: 2\n");
    commit(&inner, "a", "2");
    git(&clone.path(), &["add", "--force", "sub"]);
    let update = ["commit", "--quiet", "--message", "Update the submodule"];
    git(&clone.path(), &update);
    git(&clone.path(), &["config", "diff.ignoreSubmodules", "all"]);
    assert!(clone.push("develop", &before).0);
    let read = |name: &str| git(&clone.path(), &["rev-parse", name]);
    assert_ne!(read("HEAD:sub"), read("HEAD~:sub"));
}

#[test]
fn values_renamed_from_code_or_to_code_build() {
    let clone = Clone::new();
    let before = clone.head();
    git(
        &clone.path(),
        &["mv", "src/main.rs", "charts/waybill/values-new.yaml"],
    );
    git(&clone.path(), &["commit", "--quiet", "--message", "Move"]);
    assert!(clone.push("develop", &before).0);
}

#[test]
fn in_doubt_it_builds() {
    let clone = Clone::new();
    let code = clone.head();
    let values = clone.commit(VALUES, "a: 2\n");
    // A new branch, a commit that isn't here, an event without one.
    for before in [
        NOTHING,
        "1234567890123456789012345678901234567890",
        "--all",
        "",
    ] {
        assert!(clone.push("develop", before).0, "{before}");
    }
    assert!(clone.plan("push", "refs/heads/develop", "{}").0);
    // An empty commit asks for a run.
    git(
        &clone.path(),
        &["commit", "--quiet", "--allow-empty", "--message", "Run"],
    );
    assert!(clone.push("develop", &values).0);
    // A rewritten branch: the old tip is here, but not in the new history.
    git(&clone.path(), &["reset", "--quiet", "--hard", &code]);
    clone.commit(VALUES, "a: 3\n");
    let (build, said) = clone.push("develop", &values);
    assert!(build && said.contains("rewritten"), "{said}");
}

#[test]
fn a_push_includes_what_an_earlier_one_did_not_deliver() {
    let clone = Clone::new();
    // The run of this push fails, so nothing is written back.
    let missed = clone.commit("src/main.rs", "two");
    let before = clone.head();
    clone.commit("README.md", "two");
    let push = |before: &str| {
        let payload = format!(r#"{{"before": "{before}"}}"#);
        clone.planned("push", "refs/heads/develop", &payload, &[])
    };
    let planned = push(&before);
    for job in ["unit", "integration", "image", "deliver"] {
        assert!(planned.has(job), "{job}: {}", planned.said);
    }
    assert!(planned.said.contains("has only the image of"));
    // Its write-back needs no build, and the push after it has nothing to catch up.
    let before = clone.head();
    let delivered = clone.deliver(&missed);
    assert!(!push(&before).has("image"));
    clone.commit("README.md", "three");
    let planned = push(&delivered);
    assert!(
        !planned.has("image") && planned.has("unit"),
        "{}",
        planned.said
    );
    // A hold keeps an earlier image on purpose.
    clone.commit("src/main.rs", "three");
    let values = fs::read_to_string(clone.path().join(VALUES)).unwrap();
    let before = clone.commit(VALUES, &format!("{values}hold:\n  reason: it failed\n"));
    clone.commit("README.md", "four");
    assert!(!push(&before).has("image"));
}

#[test]
fn the_first_image_is_built_by_any_push() {
    let clone = Clone::new();
    let before = clone.commit(VALUES, "image:\n  tag: \"\"\n  digest: \"\"\n");
    clone.commit("README.md", "two");
    let payload = format!(r#"{{"before": "{before}"}}"#);
    let planned = clone.planned("push", "refs/heads/develop", &payload, &[]);
    assert!(planned.has("image"), "{}", planned.said);
    assert!(
        planned.said.contains("has no image yet"),
        "{}",
        planned.said
    );
}

#[test]
fn a_feature_branch_counts_as_a_whole() {
    let clone = Clone::new();
    git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
    clone.commit(VALUES, "a: 2\n");
    assert!(!clone.push("feature", NOTHING).0);
    // Its code must be tested with its last commit too, though that one changes values alone.
    let before = clone.commit("src/main.rs", "two");
    clone.commit(VALUES, "a: 3\n");
    assert!(clone.push("feature", &before).0);
}

#[test]
fn a_pull_request_is_compared_with_its_merge_base() {
    let clone = Clone::new();
    git(&clone.path(), &["checkout", "--quiet", "-b", "feature"]);
    clone.commit(VALUES, "a: 2\n");
    // What others merged meanwhile is not part of it.
    git(&clone.path(), &["checkout", "--quiet", "develop"]);
    clone.commit("src/main.rs", "others");
    git(&clone.path(), &["push", "--quiet", "origin", "develop"]);
    git(&clone.path(), &["checkout", "--quiet", "feature"]);
    assert!(!clone.pull_request("develop").0);
    clone.commit("README.md", "two");
    assert!(clone.pull_request("develop").0);
    git(
        &clone.path(),
        &["update-ref", "-d", "refs/remotes/origin/develop"],
    );
    let (code, said) = clone.pull_request("develop");
    assert!(code && said.contains("does not have the branch"), "{said}");
}

#[test]
fn what_develop_has_tested_is_neither_tested_nor_built_again() {
    let clone = Clone::new();
    git(&clone.path(), &["branch", "staging"]);
    clone.commit("src/main.rs", "two");
    git(&clone.path(), &["push", "--quiet", "origin", "develop"]);
    git(&clone.path(), &["checkout", "--quiet", "staging"]);
    let before = clone.head();
    git(
        &clone.path(),
        &["merge", "--quiet", "--no-ff", "-m", "Merge", "develop"],
    );
    clone.commit("charts/waybill/values-staging.yaml", "a: 1\n");
    for branch in ["promote/staging", "staging", "main"] {
        let (code, said) = clone.push(branch, &before);
        assert!(!code, "{branch}: {said}");
    }
    assert!(!clone.pull_request("staging").0);
}

#[test]
fn code_that_never_was_on_develop_is_tested_and_not_built() {
    for branch in ["staging", "main"] {
        let clone = Clone::new();
        let before = clone.head();
        clone.commit("src/main.rs", "two");
        let (code, said) = clone.push(branch, &before);
        assert!(code && !said.starts_with("image"), "{said}");
        assert!(!said.contains(" image"), "{said}");
    }
}

/// What is planned for an event after which a file differs.
fn planned_for(event: &str, reference: &str, file: &str, variables: &[(&str, &str)]) -> Planned {
    let clone = Clone::new();
    let before = clone.head();
    clone.commit(file, "# two");
    let payload = format!(
        r#"{{"before": "{before}", "pull_request": {{"head": {{"repo": {{"full_name": "acme/shop"}}}}}}}}"#
    );
    clone.planned(event, reference, &payload, variables)
}

const GITHUB: [(&str, &str); 1] = [("GITHUB_SERVER_URL", "https://github.com")];

#[test]
fn each_event_has_its_jobs() {
    let tests = ["lint", "security", "unit", "integration"];
    for (event, reference, more, environment) in [
        (
            "push",
            "refs/heads/develop",
            &["image", "deliver", "notify"][..],
            "dev",
        ),
        ("push", "refs/heads/staging", &["notify"], ""),
        ("push", "refs/heads/main", &["retag", "notify"], ""),
        ("push", "refs/heads/feature/x", &["image"], ""),
        ("pull_request", "refs/pull/1/merge", &["image"], ""),
        (
            "merge_group",
            "refs/heads/gh-readonly-queue/develop/pr-1-4f2a91c",
            &["image"],
            "",
        ),
        ("workflow_dispatch", "refs/heads/develop", &["image"], ""),
    ] {
        let expected = [&tests[..], more].concat();
        let planned = planned_for(event, reference, "src/main.rs", &[]);
        assert_eq!(planned.jobs, expected, "{event} {reference}");
        let found = (planned.environment.as_str(), planned.url.as_str());
        assert_eq!(found, (environment, ""), "{event} {reference}");
    }
}

#[test]
fn the_environment_has_the_url_of_delivery_toml() {
    let clone = Clone::new();
    let url = "https://dev.example.org";
    let text = common::DELIVERY.replacen(
        "approvals = 0",
        &format!("approvals = 0\nurl = \"{url}\""),
        1,
    );
    clone.commit("delivery.toml", &text);
    let planned = |branch: &str| {
        let reference = format!("refs/heads/{branch}");
        let planned = clone.planned("push", &reference, "{}", &[]);
        (planned.environment, planned.url)
    };
    assert_eq!(planned("develop"), ("dev".to_owned(), url.to_owned()));
    // Nothing is deployed from there.
    assert_eq!(planned("feature/x"), (String::new(), String::new()));
}

#[test]
fn github_builds_the_image_for_each_platform_of_delivery_toml() {
    let clone = Clone::new();
    let platforms = "registry = \"ghcr.io\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]";
    let text = common::DELIVERY.replace("registry = \"ghcr.io\"", platforms);
    clone.commit("delivery.toml", &text);
    let planned = |branch: &str, variables: &[(&str, &str)]| {
        let reference = format!("refs/heads/{branch}");
        let planned = clone.planned("push", &reference, "{}", variables);
        (planned.has("image"), planned.has("image-arm64"))
    };
    assert_eq!(planned("develop", &GITHUB), (true, true));
    assert_eq!(planned("develop", &[]), (true, false));
    assert_eq!(planned("staging", &GITHUB), (false, false));
    let planned = planned_for("push", "refs/heads/develop", "src/main.rs", &GITHUB);
    assert!(planned.has("image") && !planned.has("image-arm64"));
}

#[test]
fn only_github_has_code_scanning_and_nix() {
    let on_github = |file| planned_for("pull_request", "refs/pull/1/merge", file, &GITHUB);
    let planned = on_github("src/main.rs");
    assert!(planned.has("sarif") && !planned.has("nix"));
    for file in ["flake.lock", "nix/rust.nix", "nixos-vm/default.nix"] {
        assert!(on_github(file).has("nix"), "{file}");
    }
    let planned = planned_for("pull_request", "refs/pull/1/merge", "flake.lock", &[]);
    assert!(!planned.has("sarif") && !planned.has("nix"));
}

/// The jobs beside `lint`, `security` and `unit`, which every change of code needs, and the packages to test.
fn affected(file: &str) -> (Vec<String>, String) {
    let planned = planned_for("pull_request", "refs/pull/1/merge", file, &[]);
    let (always, others) = planned.jobs.split_at(3);
    assert_eq!(always, ["lint", "security", "unit"], "{file}");
    (others.to_vec(), planned.packages)
}

#[test]
fn a_change_needs_what_it_can_affect() {
    let everything = "devkit lab parcel pipeline";
    for (file, jobs, packages) in [
        ("src/lib.rs", &["integration", "image"][..], "parcel"),
        ("migrations/1/up.sql", &["integration", "image"], "parcel"),
        ("tests/api/main.rs", &["integration"], "parcel"),
        ("crates/pipeline/src/main.rs", &["image"], "pipeline"),
        ("crates/pipeline/tests/plan.rs", &[], "pipeline"),
        ("crates/lab/src/main.rs", &[], "lab"),
        ("crates/lab/README.md", &[], "lab"),
        (
            "crates/devkit/src/lib.rs",
            &["image"],
            "devkit lab pipeline",
        ),
        ("charts/parcel/templates/service.yaml", &[], "pipeline"),
        ("docs/service.md", &[], "parcel"),
        ("docs/adopt.md", &[], ""),
        ("README.md", &[], ""),
        ("LICENSE", &[], ""),
        ("nix/rust.nix", &[], ""),
        // What nothing claims can affect everything.
        ("Cargo.toml.orig", &["integration", "image"], everything),
        ("Cargo.lock", &["integration", "image"], everything),
        ("build.rs", &["integration", "image"], everything),
        ("Dockerfile", &["integration", "image"], everything),
        (".cargo/config.toml", &["integration", "image"], everything),
        (
            ".github/workflows/ci.yaml",
            &["integration", "image"],
            everything,
        ),
        ("quality.toml", &["integration", "image"], everything),
        ("srcs/lib.rs", &["integration", "image"], everything),
        ("unknown", &["integration", "image"], everything),
    ] {
        let expected: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        assert_eq!(affected(file), (expected, packages.to_owned()), "{file}");
    }
}

#[test]
fn the_files_of_a_change_add_up() {
    let clone = Clone::new();
    clone.commit("docs/adopt.md", "two");
    clone.commit("crates/lab/src/main.rs", "//");
    clone.commit("tests/api/main.rs", "//");
    let planned = clone.planned("pull_request", "refs/pull/1/merge", "{}", &[]);
    assert_eq!(planned.packages, "lab parcel");
    assert!(planned.has("integration") && !planned.has("image"));
}

#[test]
fn a_file_whose_name_is_not_utf_8_counts_by_its_folder() {
    let clone = Clone::new();
    let docs = clone.path().join("docs");
    fs::create_dir_all(&docs).unwrap();
    fs::write(docs.join(OsStr::from_bytes(b"caf\xe9.txt")), "two").unwrap();
    clone.commit("docs/adopt.md", "two");
    let planned = clone.planned("pull_request", "refs/pull/1/merge", "{}", &[]);
    assert_eq!(planned.packages, "", "{}", planned.said);
}

#[test]
fn what_a_package_declares_must_be_understood() {
    let clone = Clone::new();
    let manifest = r#"
        package = { name = "lab", version = "0.1.0", metadata.delivery.read = ["x"] }
    "#;
    clone.commit("crates/lab/Cargo.toml", manifest);
    let mut plan = pipeline(&clone.path(), &["plan"]);
    common::with_cargo(&mut plan)
        .env("GITHUB_EVENT_NAME", "push")
        .env("GITHUB_REF", "refs/heads/x")
        .env("GITHUB_SHA", clone.head());
    let said = common::failed(&plan.output().unwrap());
    assert!(
        said.contains("[package.metadata.delivery] of the package lab"),
        "{said}"
    );
}

#[test]
fn a_fork_sends_no_findings() {
    let clone = Clone::new();
    clone.commit("src/main.rs", "two");
    for repository in [r#"{"full_name": "mallory/shop"}"#, "null"] {
        let payload = format!(r#"{{"pull_request": {{"head": {{"repo": {repository}}}}}}}"#);
        let planned = clone.planned("pull_request", "refs/pull/1/merge", &payload, &GITHUB);
        assert!(!planned.has("sarif"), "{repository}");
    }
}

#[test]
fn it_says_which_variable_is_missing() {
    let clone = Clone::new();
    let output = pipeline(&clone.path(), &["plan"]).output().unwrap();
    let said = common::failed(&output);
    assert!(said.contains("GITHUB_EVENT_NAME is not set"), "{said}");
}
