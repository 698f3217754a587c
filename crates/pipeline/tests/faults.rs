//! What the delivery does while something that it needs is away or full. docs/faults.md names these tests.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{failed, git, succeeded};
use project::{DEV, Project, digest, values};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use testkit::server as http;

/// A promotion fails for a reason, and no branch has changed.
fn refused(project: &Project, command: &mut Command, reasons: &[&str]) {
    let branches = project.branches();
    let said = failed(&command.output().unwrap());
    for reason in reasons {
        assert!(said.contains(reason), "{reason} is not in: {said}");
    }
    assert!(!said.contains("t0ken"), "{said}");
    assert_eq!(project.branches(), branches, "{reasons:?}");
}

/// The write-back of an image of the newest commit.
fn write_back(project: &Project, number: u32) -> Command {
    let (tag, digest) = (format!("develop-{number}"), digest(number));
    let image = ["--tag", &tag, "--digest", &digest];
    let commit = ["--commit", &project.built];
    project.command(&[&["deploy", "--env", "dev"], &image[..], &commit].concat())
}

#[test]
fn a_forge_that_does_not_answer_changes_nothing() {
    let project = Project::new();
    let mut promote = project.command(&["promote", "--to", "staging"]);
    let api = promote.env("GITHUB_API_URL", "http://127.0.0.1:1");
    refused(
        &project,
        api,
        &["cannot reach the server for GET http://127.0.0.1:1/"],
    );
    succeeded(&project.promote(&["--to", "staging"]));
}

#[test]
fn a_forge_that_refuses_changes_nothing() {
    for (status, message) in [
        (401, "Bad credentials"),
        (403, "You have exceeded a secondary rate limit"),
        (429, "API rate limit exceeded for installation"),
        (502, "Bad Gateway"),
    ] {
        let project = Project::new();
        let api = http::serve(move |_| (status, format!("{{\"message\": \"{message}\"}}")));
        let mut promote = project.command(&["promote", "--to", "staging"]);
        let answered = format!("answered {status}: {message}");
        refused(&project, promote.env("GITHUB_API_URL", api), &[&answered]);
        succeeded(&project.promote(&["--to", "staging"]));
    }
}

#[test]
fn a_pull_request_that_the_forge_refuses_is_opened_by_the_next_run() {
    let project = Project::new();
    let before = project.branches();
    let api = http::serve(|request| match request.method() {
        "GET" => (200, "[]".to_owned()),
        _ => (403, "{\"message\": \"Resource not accessible\"}".to_owned()),
    });
    let mut promote = project.command(&["promote", "--to", "staging"]);
    let said = failed(&promote.env("GITHUB_API_URL", api).output().unwrap());
    assert!(
        said.contains("answered 403: Resource not accessible"),
        "{said}"
    );
    let after = project.branches();
    let new: Vec<&str> = after
        .lines()
        .filter(|line| !before.contains(line))
        .collect();
    assert!(
        matches!(new[..], [branch] if branch.starts_with("promote/staging ")),
        "{after}"
    );
    succeeded(&project.promote(&["--to", "staging"]));
    let changed = project.changed();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].method(), "POST");
    assert_eq!(changed[0].json()["head"], "promote/staging");
}

#[test]
fn a_token_that_git_refuses_is_not_shown() {
    let mut project = Project::new();
    project.built = project.change("src/main.rs", "two");
    let server = http::serve(|_| (401, String::new()));
    let url = format!("{server}/forge.git");
    git(&project.clone(), &["remote", "set-url", "origin", &url]);
    let cannot = "cannot fetch develop from origin";
    refused(&project, &mut write_back(&project, 2), &[cannot]);
}

#[test]
fn a_line_break_at_the_end_of_a_token_does_not_count() {
    let project = Project::new();
    let (send, sent) = std::sync::mpsc::channel();
    let api = http::serve(move |request| {
        send.send(request.header("authorization").map(str::to_owned))
            .unwrap();
        (401, "{\"message\": \"Bad credentials\"}".to_owned())
    });
    let mut promote = project.command(&["promote", "--to", "staging"]);
    promote.env("GITHUB_API_URL", format!("{api}\n"));
    promote.env("DELIVERY_BOT_TOKEN", "t0ken\r\n");
    refused(&project, &mut promote, &["answered 401: Bad credentials"]);
    assert_eq!(sent.recv().unwrap().as_deref(), Some("Bearer t0ken"));

    promote.env("DELIVERY_BOT_TOKEN", "t0ken\nt0ken");
    let named = "the variable DELIVERY_BOT_TOKEN contains a line break";
    refused(&project, &mut promote, &[named]);
    let mut deploy = write_back(&project, 2);
    deploy
        .env("REGISTRY_USERNAME", "ann")
        .env("REGISTRY_TOKEN", "t0\u{1b}ken");
    refused(
        &project,
        &mut deploy,
        &["the variable REGISTRY_TOKEN contains"],
    );
}

#[test]
fn a_git_server_that_does_not_answer_changes_nothing() {
    let mut project = Project::new();
    project.built = project.change("src/main.rs", "two");
    let away = "http://127.0.0.1:1/forge.git";
    git(&project.clone(), &["remote", "set-url", "origin", away]);
    refused(
        &project,
        &mut write_back(&project, 2),
        &["cannot fetch develop from origin"],
    );
    let forge = project.folder.path().join("forge.git");
    git(
        &project.clone(),
        &["remote", "set-url", "origin", forge.to_str().unwrap()],
    );
    succeeded(&write_back(&project, 2).output().unwrap());
}

#[test]
fn a_registry_that_does_not_answer_is_named_as_the_reason() {
    for reason in [
        "Get \"https://ghcr.io/v2/\": dial tcp 127.0.0.1:443: connect: connection refused",
        "Get \"https://ghcr.io/v2/\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
        "GET https://ghcr.io/token: TOOMANYREQUESTS: retry later",
        "GET https://ghcr.io/token: UNAUTHORIZED: authentication required",
    ] {
        let mut project = Project::new();
        project.built = project.change("src/main.rs", "two");
        let fakes = project.folder.path().join("fakes");
        fs::create_dir(&fakes).unwrap();
        let script = format!("#!/bin/sh\necho 'Error: {reason}' >&2\nexit 1\n");
        fs::write(fakes.join("cosign"), script).unwrap();
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(fakes.join("cosign"), mode).unwrap();
        let mut command = write_back(&project, 2);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", fakes.display()));
        let cannot = "cannot read the signature of";
        refused(
            &project,
            &mut command,
            &[cannot, "nothing was changed", reason],
        );
        succeeded(&write_back(&project, 2).output().unwrap());
    }
}

#[test]
fn a_full_disk_pushes_nothing() {
    let mut project = Project::new();
    project.built = project.change("src/main.rs", "two");
    let command = write_back(&project, 2);
    // No file may grow, as on a full disk.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
    limited.arg(command.get_program()).args(command.get_args());
    limited.current_dir(project.clone()).env_clear();
    let variables = command.get_envs();
    limited.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    refused(&project, &mut limited, &["error:"]);
    succeeded(&write_back(&project, 2).output().unwrap());
}

#[test]
fn a_clock_that_was_set_back_does_not_decide_what_is_newer() {
    let mut project = Project::new();
    // The newer commit has the older date.
    let date = |file: &str, date: &str| {
        project.change(file, date);
        let clone = project.clone();
        let amend = ["commit", "--quiet", "--amend", "--no-edit", "--date", date];
        let output = testkit::git(&clone)
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
            .args(amend)
            .env("GIT_COMMITTER_DATE", date)
            .output();
        assert!(output.unwrap().status.success());
        git(&clone, &["push", "--quiet", "--force", "origin", "develop"]);
        git(&clone, &["rev-parse", "HEAD"])
    };
    let older = date("src/a.rs", "2040-01-01T00:00:00Z");
    let newer = date("src/b.rs", "2001-01-01T00:00:00Z");
    project.built = newer;
    succeeded(&write_back(&project, 3).output().unwrap());
    let after = project.branches();
    project.built = older;
    let said = succeeded(&write_back(&project, 2).output().unwrap());
    assert!(said.contains("already has the newer commit"), "{said}");
    assert_eq!(project.branches(), after);
    let shown = project.read(&["show", &format!("develop:{DEV}")]);
    assert_eq!(shown + "\n", values("develop-3", &digest(3), ""));
}

/// A pipe that nothing reads, as after `| head` has ended.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A file on a full disk.
fn full() -> Stdio {
    fs::File::create("/dev/full").unwrap().into()
}

#[test]
fn a_reader_of_the_output_that_ends_early_stops_nothing() {
    let project = Project::new();
    let result = project.folder.path().join("result");
    for stream in [Command::stdout, Command::stderr] {
        let mut audit = project.command(&["audit", "--json"]);
        let output = stream(&mut audit, closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let mut refused = project.command(&["promote", "--to", "dev"]);
        let output = stream(&mut refused, closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let mut deploy = write_back(&project, 2);
    deploy.env("GITHUB_ACTIONS", "true");
    deploy.env("GITHUB_OUTPUT", &result).stdout(closed());
    let output = deploy.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
    let result = fs::read_to_string(result).unwrap();
    assert!(result.contains("result=written"), "{result}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let project = Project::new();
    let mut audit = project.command(&["audit", "--json"]);
    let said = failed(&audit.stdout(full()).output().unwrap());
    let reason = "error: cannot write to standard output: No space left on device";
    assert!(said.contains(reason), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let mut deploy = write_back(&project, 2);
    let output = deploy.stdout(full()).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = project.read(&["show", &format!("develop:{DEV}")]);
    assert!(shown.contains(&digest(2)), "{shown}");
}
