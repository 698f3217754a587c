//! `cargo pipeline image` and `publish` from outside. The builders and skopeo are fakes here, so that a broken
//! image can be had for the asking; the scenario `deploy` uses the real ones.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{DELIVERY, commit, failed, git, pipeline, succeeded};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const TOKEN: &str = "s3cret-t0ken";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Writes the layout of an image with the labels that are in a file, the user, entrypoint and size of $FAKE_*, and a
/// program in its layer. The first image has the digest of a's, a second that of $FAKE_AGAIN, if that is set.
const LAYOUT: &str = r#"#!/bin/sh
set -eu
for target; do :; done
layout=${target#oci:}; layout=${layout%:*}; blobs=$layout/blobs/sha256
mkdir -p "$blobs"
manifest=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
if [ -e "$FAKE/before" ]; then manifest=${FAKE_AGAIN-$manifest}; fi
touch "$FAKE/before"
echo "{\"manifests\":[{\"digest\":\"sha256:$manifest\",\"size\":100}]}" > "$layout/index.json"
echo "{\"config\":{\"digest\":\"sha256:$(printf %064d 2)\",\"size\":50},\"layers\":[{\"digest\":\"sha256:$(printf %064d 1)\",\"size\":${FAKE_SIZE-1000}}]}" > "$blobs/$manifest"
architecture=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
echo "{\"os\":\"linux\",\"architecture\":\"${FAKE_ARCHITECTURE-$architecture}\",\"config\":{\"User\":\"${FAKE_USER-65532:65532}\",\"Entrypoint\":[\"/waybill\"],\"Labels\":{$(cat "$FAKE/labels")${FAKE_LABEL-}}}}" > "$blobs/$(printf %064d 2)"
echo "the image's program" > "$FAKE/${FAKE_PROGRAM-waybill}"
tar -czf "$blobs/$(printf %064d 1)" -C "$FAKE" "${FAKE_PROGRAM-waybill}"
"#;

/// Notes the labels it is given; `push` writes them into a layout.
const BUILDAH: &str = r#"#!/bin/sh
set -eu
echo "buildah $*" >> "$LOG"
echo "$TMPDIR" >> "$FAKE/temporary"
if [ "$1" = bud ]; then
  for arg; do case "$arg" in --label=*) label=${arg#--label=}; printf '%s"%s":"%s"' "${comma-}" "${label%%=*}" "${label#*=}"; comma=,; esac; done > "$FAKE/labels"
  exit
fi
exec layout "$@"
"#;

/// Notes its arguments. `build` gives a script, as the flake's image is one, and takes the labels from git.
const NIX: &str = r#"#!/bin/sh
set -eu
echo "nix $*" >> "$LOG"
case "$*" in *--rebuild*) exit "${FAKE_REBUILD-0}"; esac
show() { TZ=UTC git show --no-patch --date=format-local:%Y-%m-%dT%H:%M:%SZ "--format=$1"; }
name=org.opencontainers.image
printf '"%s":"%s",' $name.title waybill $name.version VERSION $name.revision "$(show %H)" > "$FAKE/labels"
printf '"%s":"%s"' $name.created "$(show %cd)" >> "$FAKE/labels"
printf '#!/bin/sh\necho "the image as a tar"; exit %s\n' "${FAKE_STREAM-0}" > "$FAKE/stream"
chmod +x "$FAKE/stream"
echo "$FAKE/stream"
"#;

/// Notes its arguments and the credentials it finds; `inspect` answers with the digest that was pushed, and a copy of
/// an archive is a layout.
const SKOPEO: &str = r#"#!/bin/sh
set -eu
echo "skopeo $*" >> "$LOG"
case "$*" in *docker-archive:/dev/stdin*) cat > "$FAKE/archive"; exec layout "$@"; esac
cat "$REGISTRY_AUTH_FILE" > "$FAKE/auth"
stat --format=%a "$REGISTRY_AUTH_FILE" > "$FAKE/mode"
case "$*" in *Labels*) cat "$FAKE/tagged"; exit;; esac
if [ "$1" = inspect ]; then echo "${FAKE_STORED-sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}"; fi
"#;

/// Notes its arguments, what it is to test with, and the program's bytes.
const CARGO: &str = r#"#!/bin/sh
set -eu
echo "cargo $* of $WAYBILL_COMMIT" >> "$LOG"
cat "$WAYBILL_TEST_BINARY" >> "$LOG"
exit "${FAKE_TESTS-0}"
"#;

/// An executable file.
fn program(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

struct Project {
    folder: TempDir,
    commit: String,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nix = NIX.replace("VERSION", env!("CARGO_PKG_VERSION"));
        for (name, text) in [
            ("layout", LAYOUT),
            ("buildah", BUILDAH),
            ("skopeo", SKOPEO),
            ("nix", &nix),
            ("cargo", CARGO),
        ] {
            program(&folder.path().join("bin").join(name), text);
        }
        fs::copy("tests/fakes/cosign", folder.path().join("bin/cosign")).unwrap();
        let clone = folder.path().join("clone");
        git(folder.path(), &["init", "--quiet", "clone"]);
        commit(&clone, "delivery.toml", DELIVERY);
        let commit = commit(&clone, "Dockerfile", "FROM scratch\n");
        Self { folder, commit }
    }

    fn run(&self, step: &str, environment: &[(&str, &str)]) -> Output {
        self.run_with(&[step], environment)
    }

    fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = self.command(args);
        command.envs(environment.iter().copied()).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let file = |name: &str| self.folder.path().join(name);
        let path = std::env::join_paths(
            std::iter::once(file("bin"))
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
        );
        let mut command = pipeline(&file("clone"), args);
        command
            .env("PATH", path.unwrap())
            .env("TMPDIR", self.folder.path())
            .env("FAKE", file(""))
            .env("LOG", file("log"))
            .env("GITHUB_OUTPUT", file("output"))
            .env("GITHUB_SERVER_URL", "https://forge.example.org/")
            .env("GITHUB_REPOSITORY", "Some/Body")
            .env("GITHUB_EVENT_NAME", "push")
            .env("GITHUB_REF", "refs/heads/develop")
            .env("GITHUB_SHA", &self.commit)
            .env("REGISTRY", "registry.example.org")
            .env("REGISTRY_USERNAME", "robot")
            .env("REGISTRY_TOKEN", TOKEN)
            .env("FAKE_COMMIT", &self.commit);
        command
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn description(&self) -> PathBuf {
        self.folder.path().join("clone/target/image/image.json")
    }

    /// With an image built.
    fn built() -> Self {
        let project = Self::new();
        succeeded(&project.run("image", &[]));
        fs::remove_file(project.folder.path().join("output")).unwrap();
        fs::remove_file(project.folder.path().join("log")).unwrap();
        project
    }
}

#[test]
fn an_image_says_which_commit_it_is() {
    let project = Project::new();
    let said = succeeded(&project.run(
        "image",
        &[("IMAGE_BUILD_ARGS", "RUST_IMAGE=localhost/rust  X=y=z")],
    ));
    assert!(said.contains(DIGEST) && said.contains("0.0 MB"), "{said}");
    assert_eq!(project.read("output"), format!("digest={DIGEST}\n"));

    let description = fs::read_to_string(project.description()).unwrap();
    for expected in [
        format!("\"digest\": \"{DIGEST}\""),
        "\"size\": 1150".into(),
        format!("\"revision\": \"{}\"", project.commit),
    ] {
        assert!(description.contains(&expected), "{description}");
    }
    let log = project.read("log");
    let clone = project.folder.path().join("clone");
    let time = git(&clone, &["show", "--no-patch", "--format=%ct"]);
    let created = git(
        &clone,
        &["show", "--no-patch", "--date=format:%Y", "--format=%cd"],
    );
    for expected in [
        format!("--timestamp={time} "),
        format!("--build-arg=WAYBILL_COMMIT={} ", project.commit),
        format!("--build-arg=WAYBILL_BUILT_AT={created}-"),
        "--build-arg=RUST_IMAGE=localhost/rust ".into(),
        "--build-arg=X=y=z ".into(),
        format!(
            "--label=org.opencontainers.image.revision={} ",
            project.commit
        ),
        "--label=org.opencontainers.image.source=https://forge.example.org/Some/Body ".into(),
    ] {
        assert!(log.contains(&expected), "{expected} is not in {log}");
    }
}

#[test]
fn an_image_that_is_not_as_promised_is_refused() {
    for (name, value, reason) in [
        ("FAKE_SIZE", "200000001", "more than the 200000000 allowed"),
        ("FAKE_USER", "root", "the image's User is \"root\""),
        (
            "FAKE_ARCHITECTURE",
            "s390x",
            "the image is for linux/s390x, which is not a platform",
        ),
        (
            "FAKE_LABEL",
            ",\"org.opencontainers.image.revision\":\"x\"",
            "the image's label org.opencontainers.image.revision is \"x\"",
        ),
        ("IMAGE_BUILD_ARGS", "RUST_IMAGE", "not KEY=VALUE"),
        ("IMAGE_BUILDER", "nixos", "neither `nix` nor `dockerfile`"),
    ] {
        let project = Project::new();
        let said = failed(&project.run("image", &[(name, value)]));
        assert!(said.contains(reason), "{name}: {said}");
        assert!(!project.description().exists(), "{name}");
        assert!(failed(&project.run("publish", &[])).contains("there is no built image"));
    }
}

#[test]
fn nix_builds_the_image_where_it_is_asked_to() {
    for (args, environment) in [
        (&["image", "--builder", "nix"][..], &[][..]),
        (&["image"], &[("IMAGE_BUILDER", "nix")]),
    ] {
        let project = Project::new();
        let said = succeeded(&project.run_with(args, environment));
        assert!(said.contains(DIGEST), "{said}");
        let log = project.read("log");
        assert!(!log.contains("buildah"), "{log}");
        assert!(log.contains("--print-out-paths .#image\n"), "{log}");
        assert_eq!(project.read("archive"), "the image as a tar\n");
        let description = fs::read_to_string(project.description()).unwrap();
        assert!(
            description.contains("\"builder\": \"nix\""),
            "{description}"
        );
    }
    let project = Project::new();
    let args = ["image", "--builder", "dockerfile"];
    succeeded(&project.run_with(&args, &[("IMAGE_BUILDER", "nix")]));
    assert!(!project.read("log").contains("nix "), "the option counts");
}

#[test]
fn half_an_image_from_nix_is_none() {
    let project = Project::new();
    let said = failed(&project.run_with(&["image", "--builder", "nix"], &[("FAKE_STREAM", "3")]));
    assert!(said.contains("/stream` failed"), "{said}");
    assert!(!project.description().exists());
}

#[test]
fn the_same_image_again_is_what_reproducing_means() {
    for builder in ["dockerfile", "nix"] {
        let project = Project::new();
        succeeded(&project.run_with(&["image", "--builder", builder], &[]));
        let description = fs::read_to_string(project.description()).unwrap();
        fs::remove_file(project.folder.path().join("log")).unwrap();
        let said = succeeded(&project.run_with(&["image", "--reproduce"], &[]));
        assert!(
            said.contains("built twice") && said.contains(DIGEST),
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(project.description()).unwrap(),
            description
        );

        // Nothing that the first build compiled is used.
        let log = project.read("log");
        if builder == "nix" {
            assert!(log.contains("--rebuild --keep-failed .#static\n"), "{log}");
        } else {
            assert!(log.contains(" --no-cache "), "{log}");
            let temporary = project.read("temporary");
            let folders: Vec<_> = temporary.lines().collect();
            assert_ne!(folders[0], folders[2], "a new place for cache mounts");
            assert!(!Path::new(folders[2]).exists(), "which is gone");
        }

        let other = "b".repeat(64);
        let said =
            failed(&project.run_with(&["image", "--reproduce"], &[("FAKE_AGAIN", other.as_str())]));
        let both = format!("gave sha256:{other}, not {DIGEST}");
        assert!(said.contains(&both), "{builder}: {said}");
    }
}

#[test]
fn a_binary_that_nix_builds_differently_is_an_error() {
    let project = Project::new();
    succeeded(&project.run_with(&["image", "--builder", "nix"], &[]));
    let said = failed(&project.run_with(&["image", "--reproduce"], &[("FAKE_REBUILD", "1")]));
    assert!(said.contains("--rebuild"), "{said}");
}

#[test]
fn another_commit_reproduces_nothing() {
    let project = Project::built();
    let newer = commit(&project.folder.path().join("clone"), "file", "text");
    let said = failed(&project.run_with(&["image", "--reproduce"], &[]));
    assert!(
        said.contains(&project.commit) && said.contains(&newer),
        "{said}"
    );
    assert_eq!(project.read("log"), "", "nothing was built");
}

#[test]
fn the_tests_run_on_the_images_own_program() {
    let project = Project::built();
    let said = succeeded(&project.run_with(&["image", "--test"], &[]));
    assert!(
        said.contains("the tests pass on") && said.contains(DIGEST),
        "{said}"
    );
    let expected = format!(
        "cargo test --package waybill --locked --test api of {}\nthe image's program\n",
        project.commit
    );
    assert_eq!(project.read("log"), expected);

    failed(&project.run_with(&["image", "--test"], &[("FAKE_TESTS", "101")]));
}

#[test]
fn an_image_without_the_program_has_nothing_to_test() {
    let project = Project::new();
    succeeded(&project.run_with(&["image"], &[("FAKE_PROGRAM", "wabyill")]));
    let said = failed(&project.run_with(&["image", "--test"], &[]));
    assert!(said.contains("the image has no /waybill"), "{said}");
    assert!(!project.read("log").contains("cargo"), "nothing was tested");
}

#[test]
fn without_an_image_there_is_nothing_to_reproduce_or_test() {
    for option in ["--reproduce", "--test"] {
        let said = failed(&Project::new().run_with(&["image", option], &[]));
        assert!(said.contains("there is no built image"), "{option}: {said}");
    }
}

#[test]
fn develop_is_published_under_its_tags() {
    let project = Project::built();
    succeeded(&project.run("publish", &[]));
    let short = &project.commit[..7];
    let output = format!(
        "image=registry.example.org/waybill/waybill\ndigest={DIGEST}\ntag=develop-{short}\n"
    );
    assert_eq!(project.read("output"), output);
    let log = project.read("log");
    for tag in [
        format!("sha-{short}"),
        "develop".into(),
        format!("develop-{short}"),
    ] {
        let target = format!("docker://registry.example.org/waybill/waybill:{tag}\n");
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.ends_with(target.trim_end()))
            .collect();
        let calls = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!(calls("skopeo copy"), 1, "{tag}: {log}");
        assert_eq!(calls("{{.Digest}}"), 1, "{tag}: {log}");
    }
}

/// Publishes the image of a commit while the tag `develop` names that of another. Returns whether the tag moved.
fn moves_develop(project: &Project, tagged: &str, created: &str) -> bool {
    let log = project.folder.path().join("log");
    fs::write(&log, "").unwrap();
    fs::write(
        project.folder.path().join("tagged"),
        format!("{tagged} {created}\n"),
    )
    .unwrap();
    let said = succeeded(&project.run("publish", &[]));
    let log = project.read("log");
    let short = &project.commit[..7];
    // The tags that belong to one commit are always published.
    assert!(log.contains(&format!("waybill:sha-{short}\n")), "{log}");
    assert!(log.contains(&format!("waybill:develop-{short}\n")), "{log}");
    let copied = log
        .lines()
        .any(|line| line.contains("copy") && line.ends_with(":develop"));
    assert_ne!(copied, said.contains("develop stays: it names"), "{said}");
    copied
}

#[test]
fn a_late_run_does_not_move_the_branchs_tag_back() {
    let project = Project::built();
    let clone = project.folder.path().join("clone");
    let before = git(&clone, &["rev-parse", "HEAD^"]);
    let newer = ["commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Newer"];
    let newer = git(&clone, &newer);
    let unknown = "1234567890123456789012345678901234567890";
    for (tagged, created, moves) in [
        (before.as_str(), "", true),
        (project.commit.as_str(), "", true),
        (newer.as_str(), "", false),
        // Commits that this clone lacks: pushed since, and lost by a rewrite long ago.
        (unknown, "2999-01-01T00:00:00Z", false),
        (unknown, "2001-01-01T00:00:00Z", true),
        (unknown, "", true),
        ("", "", true),
    ] {
        assert_eq!(
            moves_develop(&project, tagged, created),
            moves,
            "{tagged} {created}"
        );
    }
}

#[test]
fn an_image_without_a_platform_of_delivery_toml_is_not_published() {
    let mut project = Project::new();
    let platforms = "registry = \"ghcr.io\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]";
    let text = DELIVERY.replace("registry = \"ghcr.io\"", platforms);
    project.commit = commit(&project.folder.path().join("clone"), "delivery.toml", &text);
    succeeded(&project.run("image", &[]));
    let github = [("GITHUB_SERVER_URL", "https://github.com")];
    let said = failed(&project.run("publish", &github));
    assert!(said.contains("the image is not for linux/"), "{said}");
    assert!(!project.read("log").contains("skopeo copy"));
    // Only github.com has runners of all platforms.
    succeeded(&project.run("publish", &[]));
    let log = project.read("log");
    assert!(
        log.contains("skopeo copy --quiet --all --preserve-digests oci:"),
        "{log}"
    );
}

#[test]
fn the_registrys_token_is_only_in_a_private_file() {
    let project = Project::built();
    let output = project.run("publish", &[]);
    let said = succeeded(&output) + &String::from_utf8_lossy(&output.stderr) + &project.read("log");
    assert!(!said.contains(TOKEN), "{said}");
    // base64 of robot:s3cret-t0ken
    assert_eq!(
        project.read("auth"),
        r#"{"auths":{"registry.example.org":{"auth":"cm9ib3Q6czNjcmV0LXQwa2Vu"}}}"#
    );
    assert_eq!(project.read("mode"), "600\n");
}

#[test]
fn what_must_not_be_published_is_not() {
    for (environment, reason) in [
        (
            vec![("GITHUB_EVENT_NAME", "pull_request")],
            "a pull request publishes nothing",
        ),
        (
            vec![("GITHUB_EVENT_NAME", "pull_request_target")],
            "a pull request publishes nothing",
        ),
        (
            vec![("GITHUB_REF", "refs/heads/feature")],
            "refs/heads/feature publishes nothing",
        ),
        (vec![("GITHUB_REF", "refs/tags/v1")], "is not a release tag"),
        (
            vec![("GITHUB_SHA", "0123456789012345678901234567890123456789")],
            "but this run is for",
        ),
        (vec![("GITHUB_SHA", "HEAD")], "not a full commit ID"),
        (
            vec![("GITHUB_ACTIONS", "true"), ("REGISTRY_TOKEN", "")],
            "REGISTRY_TOKEN is not set",
        ),
    ] {
        let project = Project::built();
        let said = failed(&project.run("publish", &environment));
        assert!(said.contains(reason), "{environment:?}: {said}");
        assert_eq!(project.read("log"), "", "{environment:?}");
        assert_eq!(project.read("output"), "", "{environment:?}");
    }
}

#[test]
fn other_bytes_in_the_registry_are_an_error() {
    let project = Project::built();
    let said = failed(&project.run("publish", &[("FAKE_STORED", "sha256:bbbb")]));
    assert!(said.contains("the registry has sha256:bbbb"), "{said}");
    assert_eq!(project.read("output"), "");
}

#[test]
fn main_and_releases_add_tags_to_what_is_there() {
    let values = |digest: &str| format!("image:\n  tag: x\n  digest: {digest}\n");
    for (reference, env, tags) in [
        ("refs/heads/main", "prod", vec!["main", "sha-SHORT"]),
        (
            "refs/tags/v1.2.3",
            "staging",
            vec!["sha-SHORT", "latest", "v1.2.3"],
        ),
        (
            "refs/tags/v1.2.3-rc.1",
            "staging",
            vec!["sha-SHORT", "v1.2.3-rc.1"],
        ),
    ] {
        let mut project = Project::new();
        let clone = project.folder.path().join("clone");
        let file = format!("charts/waybill/values-{env}.yaml");
        project.commit = commit(&clone, &file, &values(DIGEST));
        git(
            &clone,
            &["update-ref", "refs/remotes/origin/staging", "HEAD"],
        );
        succeeded(&project.run("publish", &[("GITHUB_REF", reference)]));
        let image = "registry.example.org/waybill/waybill";
        let mut expected: Vec<String> = vec!["verify".into(), "verify-attestation".into()];
        expected.extend(tags.iter().map(|tag| {
            let tag = tag.replace("SHORT", &project.commit[..7]);
            format!("docker://{image}@{DIGEST} docker://{image}:{tag}")
        }));
        let log = project.read("log");
        let mut lines = log.lines().filter(|line| !line.contains("skopeo inspect"));
        for expected in &expected {
            let line = lines.next().unwrap_or_default();
            assert!(
                line.contains(expected.as_str()),
                "{expected} is not in {line}"
            );
        }
        assert_eq!(lines.next(), None);

        // Nobody vouches for it: nothing is tagged.
        let said = failed(&project.run(
            "publish",
            &[("GITHUB_REF", reference), ("FAKE_UNSIGNED", DIGEST)],
        ));
        assert!(said.contains("no signature that is trusted"), "{said}");
    }
}

#[test]
fn before_the_first_promotion_there_is_nothing_to_tag() {
    let mut project = Project::new();
    let clone = project.folder.path().join("clone");
    let said = succeeded(&project.run("publish", &[("GITHUB_REF", "refs/heads/main")]));
    assert_eq!(said, "prod has no image yet: nothing to tag\n");
    let none = format!("image:\n  digest: sha256:{}\n", "0".repeat(64));
    let before = project.commit.clone();
    project.commit = commit(&clone, "charts/waybill/values-staging.yaml", &none);
    let staging = |commit: &str| {
        git(
            &clone,
            &["update-ref", "refs/remotes/origin/staging", commit],
        )
    };
    staging(&before);
    let said = failed(&project.run("publish", &[("GITHUB_REF", "refs/tags/v1.0.0")]));
    assert!(said.contains("is not on staging"), "{said}");
    staging(&project.commit);
    let said = failed(&project.run("publish", &[("GITHUB_REF", "refs/tags/v1.0.0")]));
    assert!(
        said.contains("staging has no image yet that v1.0.0 could name"),
        "{said}"
    );
    assert_eq!(project.read("log"), "");
}

#[test]
fn an_image_is_signed_with_where_it_comes_from_and_what_is_in_it() {
    let project = Project::new();
    let sbom = project.folder.path().join("sbom.json");
    fs::write(&sbom, "{}").unwrap();
    let sign = |environment: &[(&str, &str)]| {
        let mut command =
            project.command(&["sign", "--digest", DIGEST, "--sbom", sbom.to_str().unwrap()]);
        command.envs(environment.iter().copied()).output().unwrap()
    };
    let image = format!("registry.example.org/waybill/waybill@{DIGEST}");

    succeeded(&sign(&[
        ("COSIGN_PRIVATE_KEY", "k3y"),
        ("COSIGN_PASSWORD", "passw0rd"),
    ]));
    let log = project.read("log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, expected) in
        lines
            .iter()
            .zip(["cosign sign", "--type slsaprovenance1", "--type cyclonedx"])
    {
        assert!(line.contains(expected) && line.ends_with(&image), "{line}");
        assert!(
            line.contains("--key=env://COSIGN_PRIVATE_KEY --signing-config="),
            "{line}"
        );
    }
    assert!(!log.contains("k3y") && !log.contains("passw0rd"), "{log}");

    fs::remove_file(project.folder.path().join("log")).unwrap();
    succeeded(&sign(&[(
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "https://forge.example.org/token",
    )]));
    assert!(
        project
            .read("log")
            .starts_with(&format!("cosign sign --yes {image}\n"))
    );

    fs::remove_file(project.folder.path().join("log")).unwrap();
    assert!(failed(&sign(&[])).contains("nothing to sign with"));
    let pull = [
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("COSIGN_PRIVATE_KEY", "k3y"),
    ];
    assert!(failed(&sign(&pull)).contains("a pull request must not sign images"));
    assert_eq!(project.read("log"), "");
}

/// <https://github.com/actions/buildtypes/tree/main/workflow/v1> requires these fields.
#[test]
fn provenance_has_what_its_build_type_requires() {
    let project = Project::new();
    let provenance = |environment: &[(&str, &str)]| -> Value {
        let file = project.folder.path().join("predicates");
        let mut command = project.command(&["sign", "--digest", DIGEST]);
        command
            .env("PREDICATES", &file)
            .env("COSIGN_PRIVATE_KEY", "k3y")
            .envs(environment.iter().copied());
        succeeded(&command.output().unwrap());
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        serde_json::from_str(text.lines().next().unwrap()).unwrap()
    };
    let fields = [
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY_ID", "1296269"),
        ("GITHUB_REPOSITORY_OWNER_ID", "583231"),
        ("RUNNER_ENVIRONMENT", "github-hosted"),
    ];
    let github = provenance(&fields);
    let build = &github["buildDefinition"];
    let build_type = "https://actions.github.io/buildtypes/workflow/v1";
    assert_eq!(build["buildType"], build_type);
    assert_eq!(
        build["internalParameters"]["github"],
        json!({
            "event_name": "push",
            "repository_id": "1296269",
            "repository_owner_id": "583231",
            "runner_environment": "github-hosted",
        })
    );
    let workflow = &build["externalParameters"]["workflow"];
    for field in ["ref", "repository", "path"] {
        assert!(workflow[field].is_string(), "{workflow}");
    }

    // Without one of the fields, or on another forge, it does not claim GitHub's build type.
    for missing in 1..fields.len() {
        let mut fields = fields;
        fields[missing].1 = "";
        let build = &provenance(&fields)["buildDefinition"];
        assert_ne!(build["buildType"], build_type, "{fields:?}");
    }
    let other = provenance(&[]);
    let build = &other["buildDefinition"];
    assert_ne!(build["buildType"], build_type);
    assert_eq!(
        build["internalParameters"]["github"],
        json!({"event_name": "push"})
    );
}

#[test]
fn tags_are_printed_one_a_line() {
    let project = Project::new();
    let short = &project.commit[..7];
    assert_eq!(
        succeeded(&project.run("tags", &[])),
        format!("sha-{short}\ndevelop\ndevelop-{short}\n")
    );
    assert_eq!(
        succeeded(&project.run("tags", &[("GITHUB_EVENT_NAME", "pull_request")])),
        ""
    );
}

#[test]
fn an_unknown_stage_is_named() {
    let project = Project::new();
    let clone = project.folder.path().join("clone");
    let said = failed(
        &pipeline(&clone, &["test", "--skip", "nonsense"])
            .output()
            .unwrap(),
    );
    assert!(
        said.contains("nonsense") && said.contains("possible values"),
        "{said}"
    );
}

#[test]
fn outside_a_repository_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let said = failed(&pipeline(folder.path(), &["lint"]).output().unwrap());
    assert!(said.contains("is not inside a Git repository"), "{said}");
}
