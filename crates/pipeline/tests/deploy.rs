//! `cargo pipeline deploy` from outside, on real repositories.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{
    DELIVERY, commit, failed, git, pipeline, push_notes, succeeded, with_fakes, with_message,
};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use tempfile::TempDir;
use testkit::Template;
use testkit::server as http;

const FILE: &str = "charts/waybill/values-dev.yaml";

/// Comments, a note beside a value and an odd indent: all of it must survive.
const VALUES: &str = "\
# dev: the newest commit.

image:
  tag: unreleased   # by the bot
  digest: sha256:0000000000000000000000000000000000000000000000000000000000000000

replicas: 1
config:
    A: \"1\"
";

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// A forge's repository, and the folder that clones of it go to.
struct Forge {
    folder: TempDir,
}

impl Forge {
    /// With a `develop` that holds some values.
    fn new() -> Self {
        static TEMPLATE: LazyLock<Template> = LazyLock::new(|| Template::new(Forge::build));
        Self {
            folder: TEMPLATE.copy(),
        }
    }

    fn build(folder: &Path) {
        git(folder, &["init", "--quiet", "--bare", "forge.git"]);
        git(folder, &["clone", "--quiet", "forge.git", "first"]);
        let clone = folder.join("first");
        git(&clone, &["checkout", "--quiet", "-b", "develop"]);
        let file = clone.join(FILE);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, VALUES).unwrap();
        fs::write(clone.join("delivery.toml"), DELIVERY).unwrap();
        fs::write(clone.join("Cargo.toml"), "[workspace]\n").unwrap();
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", "Start"]);
        git(&clone, &["push", "--quiet", "origin", "develop"]);
        let head = ["symbolic-ref", "HEAD", "refs/heads/develop"];
        git(&folder.join("forge.git"), &head);
    }

    fn clone(&self, name: &str) -> PathBuf {
        git(self.folder.path(), &["clone", "--quiet", "forge.git", name]);
        self.folder.path().join(name)
    }

    fn read(&self, args: &[&str]) -> String {
        git(&self.folder.path().join("forge.git"), args)
    }

    fn values(&self) -> String {
        self.read(&["show", &format!("develop:{FILE}")]) + "\n"
    }

    /// Refuses every push, as a protected branch does.
    fn protect(&self) {
        let hooks = self.folder.path().join("forge.git/hooks");
        fs::create_dir(&hooks).unwrap();
        let hook = hooks.join("pre-receive");
        fs::write(&hook, "#!/bin/sh\necho protected branch >&2\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The command, with everything signed and built from the clone's HEAD.
fn command(clone: &Path, args: &[&str]) -> Command {
    let mut command = pipeline(clone, &[&["deploy"], args].concat());
    with_fakes(&mut command)
        .env("GITHUB_REPOSITORY", "some/body")
        // As a workflow has what nobody configured.
        .env("GITOPS_REPOSITORY", "")
        .env("GITOPS_BRANCH", "")
        .env("FAKE_COMMIT", git(clone, &["rev-parse", "HEAD"]));
    command
}

fn deploy(clone: &Path, args: &[&str]) -> Output {
    command(clone, args).output().unwrap()
}

/// What a run of the workflow would call for a commit.
fn write_back(clone: &Path, commit: &str, number: usize) -> Output {
    let (tag, digest) = (format!("develop-{}", &commit[..7]), digest(number));
    let values = ["--tag", &tag, "--digest", &digest, "--commit", commit];
    command(clone, &[&["--env", "dev"], &values[..]].concat())
        .env("FAKE_COMMIT", commit)
        .output()
        .unwrap()
}

#[test]
fn a_write_back_changes_two_values_and_no_other_byte() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let source = git(&clone, &["rev-parse", "HEAD"]);
    let arguments = [
        "--env",
        "dev",
        "--tag",
        "develop-0123abc",
        "--digest",
        &digest(7),
    ];

    succeeded(&deploy(&clone, &arguments));

    let expected = VALUES
        .replace("unreleased", "develop-0123abc")
        .replace(&digest(0), &digest(7));
    assert_eq!(forge.values(), expected);
    let message = forge.read(&["log", "-1", "--format=%B", "develop"]);
    assert!(
        message.starts_with("chore(deploy): dev develop-0123abc\n"),
        "{message}"
    );
    assert!(
        message.contains(&format!("Argocd-reference-commit-sha: {source}")),
        "{message}"
    );

    // Done again, it changes nothing.
    let tip = forge.read(&["rev-parse", "develop"]);
    succeeded(&deploy(&clone, &arguments));
    assert_eq!(forge.read(&["rev-parse", "develop"]), tip);
}

#[test]
fn a_dry_run_shows_the_change_and_makes_none() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let said = succeeded(&deploy(
        &clone,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-0123abc",
            "--digest",
            &digest(7),
            "--dry-run",
        ],
    ));
    assert!(said.contains("develop-0123abc"), "{said}");
    assert_eq!(forge.values(), VALUES);
}

#[test]
fn an_older_commit_does_not_replace_a_newer_one() {
    let forge = Forge::new();
    let older = forge.clone("older");
    let newer = forge.clone("newer");
    // A person's settings, with which Git would not find the deployment of the newer commit.
    for clone in [&older, &newer] {
        git(clone, &["config", "grep.patternType", "fixed"]);
        git(clone, &["config", "trailer.separators", "="]);
    }
    fs::write(newer.join("code"), "new").unwrap();
    git(&newer, &["add", "--all"]);
    git(
        &newer,
        &["commit", "--quiet", "--message", "Change the code"],
    );
    git(&newer, &["push", "--quiet", "origin", "develop"]);

    succeeded(&deploy(
        &newer,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-2222222",
            "--digest",
            &digest(2),
        ],
    ));
    let said = succeeded(&deploy(
        &older,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-1111111",
            "--digest",
            &digest(1),
        ],
    ));

    assert!(said.contains("newer"), "{said}");
    assert!(
        forge.values().contains("develop-2222222"),
        "{}",
        forge.values()
    );
}

/// A trailer of a person's commit would otherwise stop all later write-backs.
#[test]
fn a_trailer_that_is_not_utf_8_does_not_stop_a_write_back() {
    let forge = Forge::new();
    let clone = forge.clone("person");
    let source = commit(&clone, "code", "new");
    commit(&clone, FILE, &VALUES.replace("replicas: 1", "replicas: 2"));
    let message = b"Set replicas\n\nArgocd-reference-commit-sha: caf\xe9\n";
    let edited = with_message(&clone, message);
    let target = format!("{edited}:refs/heads/develop");
    git(&clone, &["push", "--quiet", "origin", &target]);
    succeeded(&write_back(&clone, &source, 1));
    assert!(forge.values().contains(&digest(1)), "{}", forge.values());
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let (good, zero) = (digest(7), digest(0));
    for (option, value, reason) in [
        (
            "--env",
            "qa",
            "no environment `qa` in delivery.toml; it has dev, staging, prod",
        ),
        ("--tag", "not a tag", "not a tag"),
        ("--digest", "sha256:12", "sha256:12"),
        ("--digest", &zero, "sha256:000"),
        ("--tag", "latest", "names no particular image"),
        ("--env", "prod", "prod changes only by pull request"),
        (
            "--env",
            "staging",
            "run `cargo pipeline promote --to staging`",
        ),
        ("--commit", "nonsense", "`nonsense` is not a commit"),
        ("--remote", "nowhere", "no remote `nowhere`"),
        ("--file", "no/such.yaml", "no/such.yaml"),
        ("--file", "Cargo.toml", "Cargo.toml"),
    ] {
        let mut options =
            BTreeMap::from([("--env", "dev"), ("--tag", "v1.0.0"), ("--digest", &good)]);
        options.insert(option, value);
        let arguments: Vec<&str> = options.into_iter().flat_map(<[&str; 2]>::from).collect();
        let output = deploy(&clone, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(said.contains(reason), "{arguments:?}: {said}");
        assert_eq!(forge.values(), VALUES, "{arguments:?}");
        assert_eq!(
            fs::read_to_string(clone.join(FILE)).unwrap(),
            VALUES,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_missing_key_is_an_error_and_is_not_added() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let file = clone.join("other.yaml");
    fs::write(&file, "image:\n  tag: a\n").unwrap();
    let path = file.to_str().unwrap();
    let output = deploy(
        &clone,
        &[
            "--env",
            "dev",
            "--tag",
            "develop-0123abc",
            "--digest",
            &digest(7),
            "--file",
            path,
            "--no-commit",
        ],
    );
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("image.digest"),
        "{output:?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "image:\n  tag: a\n");
}

/// Runs `deploy --no-commit` on a file with some text.
fn edit(file: &Path, limit: &str) -> Output {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let digest = digest(7);
    let path = file.to_str().unwrap();
    let image = ["--env", "dev", "--tag", "v2", "--digest", &digest];
    let edit = ["--file", path, "--no-commit"];
    let command = command(&clone, &[&image[..], &edit].concat());
    // A file must not grow beyond the limit, as on a full disk.
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"")]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(&clone).env_clear();
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    limited.output().unwrap()
}

#[test]
fn a_file_that_is_edited_by_hand_keeps_its_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    let held = format!("{VALUES}hold:\n  reason: fair\n");
    fs::write(&file, &held).unwrap();
    let output = edit(&file, "");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("dev is on hold and stays as it is: fair"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), held);
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    fs::write(&file, VALUES).unwrap();
    let said = failed(&edit(&file, "ulimit -f 0;"));
    assert!(said.contains("cannot write"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), VALUES);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_edited_file_keeps_its_permissions_and_link() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::write(&file, VALUES).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    succeeded(&edit(&link, ""));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().contains(&digest(7)));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

/// Each run deploys a commit of its own, all at once: whoever comes late must see that, and no update
/// of another file may get lost.
#[test]
fn ten_at_once_lose_nothing() {
    const RUNS: usize = 10;
    let forge = Forge::new();
    let seed = forge.clone("seed");
    for run in 0..RUNS {
        fs::write(
            seed.join(format!("charts/waybill/values-{run}.yaml")),
            VALUES,
        )
        .unwrap();
    }
    git(&seed, &["add", "--all"]);
    git(&seed, &["commit", "--quiet", "--message", "Many services"]);
    git(&seed, &["push", "--quiet", "origin", "develop"]);
    let clones: Vec<PathBuf> = (0..RUNS)
        .map(|run| forge.clone(&format!("run-{run}")))
        .collect();

    thread::scope(|scope| {
        for (run, clone) in clones.iter().enumerate() {
            scope.spawn(move || {
                let file = format!("charts/waybill/values-{run}.yaml");
                let tag = format!("develop-{run:07x}");
                succeeded(&deploy(
                    clone,
                    &[
                        "--env",
                        "dev",
                        "--tag",
                        &tag,
                        "--digest",
                        &digest(run + 1),
                        "--file",
                        &file,
                    ],
                ));
            });
        }
    });

    for run in 0..RUNS {
        let values = forge.read(&["show", &format!("develop:charts/waybill/values-{run}.yaml")]);
        let expected = VALUES
            .replace("unreleased", &format!("develop-{run:07x}"))
            .replace(&digest(0), &digest(run + 1));
        assert_eq!(values, expected.trim_end());
    }
    assert_eq!(forge.values(), VALUES);
}

/// Each run deploys a newer commit of the same service, all at once, while people push other things.
/// Whatever the order, dev ends on the newest and never steps back.
#[test]
fn in_a_race_for_one_file_the_newest_commit_wins() {
    const RUNS: usize = 8;
    let forge = Forge::new();
    let seed = forge.clone("seed");
    let commits: Vec<String> = (0..RUNS)
        .map(|run| commit(&seed, "code", &format!("{run}")))
        .collect();
    git(&seed, &["push", "--quiet", "origin", "develop"]);
    let clones: Vec<PathBuf> = (0..RUNS)
        .map(|run| forge.clone(&format!("run-{run}")))
        .collect();
    let person = forge.clone("person");

    thread::scope(|scope| {
        for (run, clone) in clones.iter().enumerate() {
            let commit = &commits[run];
            scope.spawn(move || succeeded(&write_back(clone, commit, run + 1)));
        }
        scope.spawn(|| push_notes(&person));
    });

    assert!(forge.values().contains(&digest(RUNS)), "{}", forge.values());
    for note in 0..3 {
        forge.read(&["cat-file", "-e", &format!("develop:notes/{note}")]);
    }
    let trailer = "--format=%(trailers:key=Argocd-reference-commit-sha,valueonly,separator=)";
    let deployed = forge.read(&["log", "--reverse", trailer, "develop", "--", FILE]);
    let order: Vec<usize> = deployed
        .lines()
        .filter_map(|sha| commits.iter().position(|commit| commit == sha))
        .collect();
    assert!(
        order.is_sorted() && order.last() == Some(&(RUNS - 1)),
        "{order:?}"
    );
}

#[test]
fn a_commit_that_is_not_on_the_branch_is_not_deployed() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let unpushed = commit(&clone, "code", "new");
    let said = failed(&write_back(&clone, &unpushed, 7));
    assert!(said.contains("is not on develop"), "{said}");
    assert_eq!(forge.values(), VALUES);
}

#[test]
fn a_shallow_clone_gets_the_history_it_needs() {
    let forge = Forge::new();
    let seed = forge.clone("seed");
    let older = git(&seed, &["rev-parse", "HEAD"]);
    let newer = commit(&seed, "code", "new");
    git(&seed, &["push", "--quiet", "origin", "develop"]);
    succeeded(&write_back(&seed, &newer, 2));

    let url = format!("file://{}", forge.folder.path().join("forge.git").display());
    git(
        forge.folder.path(),
        &["clone", "--quiet", "--depth=1", &url, "shallow"],
    );
    let shallow = forge.folder.path().join("shallow");
    git(
        &shallow,
        &["fetch", "--quiet", "--depth=1", "origin", &older],
    );
    let said = succeeded(&write_back(&shallow, &older, 1));
    assert!(said.contains("already has the newer commit"), "{said}");
    assert!(forge.values().contains(&digest(2)));
}

#[test]
fn a_write_back_touches_neither_the_work_tree_nor_the_index() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    fs::write(clone.join("code"), "not committed").unwrap();
    git(&clone, &["add", "code"]);
    fs::write(clone.join(FILE), "not: mine\n").unwrap();
    let before = git(&clone, &["status", "--porcelain"]);
    let head = git(&clone, &["rev-parse", "HEAD"]);
    succeeded(&write_back(&clone, &head, 7));
    assert_eq!(git(&clone, &["status", "--porcelain"]), before);
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), head);
    assert!(!forge.values().contains("mine"));
}

#[test]
fn a_branch_that_refuses_is_an_error_with_its_reason() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let head = git(&clone, &["rev-parse", "HEAD"]);
    forge.protect();
    let said = failed(&write_back(&clone, &head, 7));
    assert!(said.contains("develop refuses the push"), "{said}");
    assert!(said.contains("protected branch"), "{said}");
    assert_eq!(forge.values(), VALUES);
}

/// A server that takes one request, and answers that there is nothing.
#[test]
fn the_bots_token_goes_to_the_remote_and_into_no_message() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let server = http::serve(move |request| {
        seen.lock().unwrap().push(request);
        (404, String::new())
    });
    let url = format!("{server}/some/body");
    git(&clone, &["remote", "set-url", "origin", &url]);
    let args = ["--env", "dev", "--tag", "v1", "--digest", &digest(7)];
    let output = command(&clone, &args)
        .env("DELIVERY_BOT_TOKEN", "s3cret-t0ken")
        .output()
        .unwrap();
    let said = failed(&output);
    assert!(said.contains("cannot fetch develop"), "{said}");
    // base64 of x-access-token:s3cret-t0ken
    let encoded = "eC1hY2Nlc3MtdG9rZW46czNjcmV0LXQwa2Vu";
    let first = asked.lock().unwrap()[0].clone();
    assert_eq!(
        first.header("authorization"),
        Some(&*format!("Basic {encoded}")),
        "{first:?}"
    );
    assert!(
        !said.contains("s3cret") && !said.contains(encoded),
        "{said}"
    );

    let mut without = command(&clone, &args);
    let said = failed(&without.env("GITHUB_ACTIONS", "true").output().unwrap());
    assert!(said.contains("DELIVERY_BOT_TOKEN is not set"), "{said}");
}

#[test]
fn what_is_not_signed_or_is_of_another_commit_is_not_written() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let before = forge.read(&["rev-parse", "develop"]);
    let args = ["--env", "dev", "--tag", "v1", "--digest", &digest(7)];
    let other = "0123456789abcdef0123456789abcdef01234567";
    for (name, value, reason) in [
        (
            "FAKE_UNSIGNED",
            digest(7).as_str(),
            "no signature that is trusted",
        ),
        ("FAKE_COMMIT", other, "was built from 0123456"),
        ("FAKE_COMMIT", "HEAD", "names no commit"),
    ] {
        let said = failed(&command(&clone, &args).env(name, value).output().unwrap());
        assert!(said.contains(reason), "{said}");
        assert_eq!(forge.read(&["rev-parse", "develop"]), before);
    }
    // A person who only edits a file asks nobody.
    let edit = [&args[..], &["--no-commit"]].concat();
    succeeded(
        &command(&clone, &edit)
            .env("FAKE_UNSIGNED", digest(7))
            .output()
            .unwrap(),
    );
}

#[test]
fn a_signature_is_trusted_from_one_workflow_or_one_key() {
    let forge = Forge::new();
    let clone = forge.clone("run");
    let log = forge.folder.path().join("log");
    let args = [
        "--env",
        "dev",
        "--dry-run",
        "--tag",
        "v1",
        "--digest",
        &digest(7),
    ];
    let run = |key: &str| {
        let mut command = command(&clone, &args);
        succeeded(
            &command
                .env("LOG", &log)
                .env("COSIGN_PUBLIC_KEY", key)
                .output()
                .unwrap(),
        );
        let said = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        said
    };
    let image = format!("ghcr.io/waybill/waybill@{}", digest(7));
    let identity = "--certificate-identity=https://github.com/some/body/.github/workflows/ci.yaml@refs/heads/develop";
    let issuer = "--certificate-oidc-issuer=https://token.actions.githubusercontent.com";
    assert_eq!(
        run(""),
        format!(
            "cosign verify {identity} {issuer} {image}\n\
             cosign verify-attestation {identity} {issuer} --type slsaprovenance1 {image}\n"
        )
    );
    let key = "--key=env://COSIGN_PUBLIC_KEY --insecure-ignore-tlog=true";
    assert!(
        run("-----BEGIN PUBLIC KEY-----").starts_with(&format!("cosign verify {key} {image}\n"))
    );
}

#[test]
fn a_held_environment_stays_as_it_is() {
    let forge = Forge::new();
    let person = forge.clone("person");
    let held = format!("{VALUES}hold:\n  reason: it leaks\n  by: ann\n  since: 2026-11-25\n");
    let head = commit(&person, FILE, &held);
    git(&person, &["push", "--quiet", "origin", "develop"]);

    let clone = forge.clone("run");
    let output = write_back(&clone, &head, 7);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("dev is on hold and stays as it is: it leaks (by ann, since 2026-11-25)"),
        "{said}"
    );
    assert_eq!(forge.values(), held);

    let lifted = commit(&person, FILE, VALUES);
    git(&person, &["push", "--quiet", "origin", "develop"]);
    git(&clone, &["pull", "--quiet"]);
    succeeded(&write_back(&clone, &lifted, 7));
}

/// C15: the code in one repository, the manifests in another, whose histories have nothing in common.
#[test]
fn manifests_may_have_a_repository_of_their_own() {
    let (code, manifests) = (Forge::new(), Forge::new());
    let clone = code.clone("run");
    let older = git(&clone, &["rev-parse", "HEAD"]);
    let newer = commit(&clone, "code", "more");
    let url = manifests.folder.path().join("forge.git");
    let write = |commit: &str, number: usize| {
        let args = [
            "--env",
            "dev",
            "--repository",
            url.to_str().unwrap(),
            "--branch",
            "develop",
            "--tag",
            &format!("v{number}"),
            "--digest",
            &digest(number),
            "--commit",
            commit,
        ];
        succeeded(
            &command(&clone, &args)
                .env("FAKE_COMMIT", commit)
                .output()
                .unwrap(),
        )
    };
    let before = code.values();
    write(&newer, 2);
    let expected = VALUES
        .replace("unreleased", "v2")
        .replace(&digest(0), &digest(2));
    assert_eq!(manifests.values(), expected);
    assert!(manifests.read(&["log", "-1", "develop"]).contains(&newer));
    assert!(write(&older, 1).contains("already has the newer commit"));
    assert_eq!(manifests.values(), expected);
    assert_eq!(code.values(), before);
}
