//! Names that a workflow gives: `cargo pipeline` refuses wrong ones, and says what is right.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded};

/// The error of a command in a repository, with some variables.
fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    commit(folder.path(), "delivery.toml", DELIVERY);
    let mut command = pipeline(folder.path(), arguments);
    failed(&command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn a_commit_that_does_not_exist_gives_no_tags() {
    let zero = "0".repeat(40);
    let upper = "A".repeat(40);
    for sha in [zero.as_str(), upper.as_str(), "HEAD", "0123456"] {
        let push = [
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_REF", "refs/heads/develop"),
            ("GITHUB_SHA", sha),
        ];
        let said = refused(&["tags"], &push);
        assert!(said.contains("not a full commit ID"), "{sha}: {said}");
    }
}

#[test]
fn sha256_object_names_are_refused_in_one_sentence() {
    let sha = "a".repeat(64);
    let push = [
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_REF", "refs/heads/develop"),
        ("GITHUB_SHA", sha.as_str()),
    ];
    let said = refused(&["tags"], &push);
    assert!(
        said.contains("SHA-256 object names are not supported"),
        "{said}"
    );
}

#[test]
fn a_repository_with_sha256_object_names_is_neither_built_nor_measured() {
    let folder = tempfile::tempdir().unwrap();
    git(
        folder.path(),
        &["init", "--quiet", "--object-format=sha256"],
    );
    commit(folder.path(), "delivery.toml", DELIVERY);
    for step in ["image", "coverage"] {
        let said = failed(&pipeline(folder.path(), &[step]).output().unwrap());
        let named = "SHA-256 object names are not supported";
        assert!(said.contains(named), "{step}: {said}");
    }
}

#[test]
fn another_repository_of_the_environment_is_not_adopted() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (folder, file) in [
        (folder.path(), "delivery.toml"),
        (other.path(), "other.toml"),
    ] {
        git(folder, &["init", "--quiet"]);
        commit(folder, file, DELIVERY);
    }
    let adopt = |arguments: &[&str]| {
        let adopt = ["adopt", "--owner", "acme", "--name", "shop"];
        let mut command = pipeline(folder.path(), &[&adopt, arguments].concat());
        command
            .env("GIT_DIR", other.path().join(".git"))
            .output()
            .unwrap()
    };
    let said = succeeded(&adopt(&["--dry-run"]));
    assert!(said.contains("change  delivery.toml"), "{said}");
    assert!(!said.contains("other.toml"), "{said}");
    std::fs::write(folder.path().join("Cargo.toml"), "[workspace]\n").unwrap();
    let said = failed(&adopt(&[]));
    assert!(said.contains("1 files have uncommitted changes"), "{said}");
}

#[test]
fn a_registry_is_a_host() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let verify = ["verify", "--digest", &digest];
    for registry in ["https://ghcr.io", "ghcr.io/", "ghcr.io/acme", "ghcr io"] {
        let said = refused(&verify, &[("REGISTRY", registry)]);
        assert!(
            said.contains("the variable REGISTRY has a wrong value"),
            "{said}"
        );
        assert!(said.contains("write it without scheme and path"), "{said}");
    }
}

#[test]
fn a_repository_of_the_forge_is_an_owner_and_a_name() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for repository in [
        "https://github.com/acme/shop",
        "git@github.com:acme/shop.git",
        "acme",
        "acme/shop/",
        "/acme/shop",
        "acme/shop?x=1",
        "../shop",
        "acme/..",
        "acme/shöp",
    ] {
        let verify = ["verify", "--digest", &digest];
        let said = refused(&verify, &[("GITHUB_REPOSITORY", repository)]);
        let expected = format!(
            "the variable GITHUB_REPOSITORY is `{repository}`: write the owner and the name, such as `acme/shop`"
        );
        assert!(said.contains(&expected), "{said}");
    }
}
