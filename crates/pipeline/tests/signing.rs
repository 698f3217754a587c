//! GitHub signs the delivery bot's commits, with a forge that makes commits as GitHub does.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{failed, git, succeeded};
use project::{BOT_EMAIL, DEV, Project, STAGING, digest, values};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// A project whose remote is below the address of the forge, as on GitHub.
fn on_github() -> Project {
    let project = Project::new();
    let owner = project.folder.path().join("some");
    fs::create_dir(&owner).unwrap();
    symlink(
        project.folder.path().join("forge.git"),
        owner.join("body.git"),
    )
    .unwrap();
    let url = format!("{}/some/body.git", server(&project));
    git(&project.clone(), &["remote", "set-url", "origin", &url]);
    project
}

fn server(project: &Project) -> String {
    format!("file://{}", project.folder.path().display())
}

fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command.env("GITHUB_SERVER_URL", server(project));
    command
}

fn show(project: &Project, format: &str, commit: &str) -> String {
    project.read(&["show", "--no-patch", &format!("--format={format}"), commit])
}

/// Whether a commit has a signature, and whose it is.
fn signed_by(project: &Project, commit: &str) -> (bool, String) {
    let content = project.read(&["cat-file", "commit", commit]);
    (content.contains("\ngpgsig "), show(project, "%ae", commit))
}

#[test]
fn a_promotion_with_its_merge_is_signed() {
    let project = on_github();
    // Only the other branch has this, so that the promotion needs a merge.
    project.change_on("staging", "notes", "of staging");
    succeeded(
        &command(&project, &["promote", "--to", "staging"])
            .output()
            .unwrap(),
    );
    let bot = (true, BOT_EMAIL.to_owned());
    let tip = project.read(&["rev-parse", "promote/staging"]);
    assert_eq!(signed_by(&project, &tip), bot);
    assert_eq!(signed_by(&project, &format!("{tip}^")), bot);
    assert_eq!(
        show(&project, "%P", &format!("{tip}^")).split(' ').count(),
        2
    );
    assert_eq!(
        project.read(&["show", &format!("{tip}:{STAGING}")]),
        values("develop-1", &digest(1), "").trim_end()
    );
    // What people committed stays as it is.
    assert!(!signed_by(&project, "develop").0);
    assert!(
        !project.branches().contains("signing"),
        "{}",
        project.branches()
    );
    let requests = project.changed();
    let commits = requests
        .iter()
        .filter(|r| r.target().ends_with("/git/commits"));
    assert_eq!(commits.count(), 2);
}

#[test]
fn a_commit_to_a_branch_is_signed_and_reported_by_its_name() {
    let project = on_github();
    let hold = ["hold", "--env", "dev", "--reason", "tests"];
    let said = succeeded(&command(&project, &hold).output().unwrap());
    let tip = project.read(&["rev-parse", "develop"]);
    assert_eq!(signed_by(&project, &tip), (true, BOT_EMAIL.to_owned()));
    assert!(said.contains(&format!("commit {}", &tip[..7])), "{said}");
    assert!(
        project
            .read(&["show", &format!("{tip}:{DEV}")])
            .contains("hold:")
    );
}

#[test]
fn without_a_signature_the_commit_is_pushed_with_a_warning() {
    let project = on_github();
    *project.signs.lock().unwrap() = false;
    let hold = ["hold", "--env", "dev", "--reason", "tests"];
    let mut hold = command(&project, &hold);
    let said = succeeded(&hold.env("GITHUB_ACTIONS", "true").output().unwrap());
    assert!(
        said.contains("::warning::the commit is not signed: GitHub signs only what an App makes"),
        "{said}"
    );
    // The default address belongs to nobody: an account on GitHub could have one below users.noreply.github.com.
    let bot = (false, "delivery-bot@delivery-bot.invalid".to_owned());
    assert_eq!(signed_by(&project, "develop"), bot);
    for format in ["%an", "%cn"] {
        assert_eq!(show(&project, format, "develop"), "delivery-bot");
    }
}

#[test]
fn the_variables_name_the_author_of_an_unsigned_commit() {
    let project = on_github();
    *project.signs.lock().unwrap() = false;
    let hold = ["hold", "--env", "dev", "--reason", "tests"];
    let mut hold = command(&project, &hold);
    hold.env("DELIVERY_BOT_NAME", "shop-bot")
        .env("DELIVERY_BOT_EMAIL", "bot@shop.example.org");
    succeeded(&hold.output().unwrap());
    assert_eq!(
        show(&project, "%an <%ae> %cn <%ce>", "develop"),
        "shop-bot <bot@shop.example.org> shop-bot <bot@shop.example.org>"
    );
}

#[test]
fn a_person_without_the_token_of_the_bot_pushes_their_own_commits() {
    let project = on_github();
    let hold = ["hold", "--env", "dev", "--reason", "tests"];
    succeeded(
        &command(&project, &hold)
            .env("DELIVERY_BOT_TOKEN", "")
            .output()
            .unwrap(),
    );
    assert!(!signed_by(&project, "develop").0);
    assert_eq!(project.changed().len(), 0);
    let again = ["hold", "--env", "nowhere", "--reason", "tests"];
    failed(&command(&project, &again).output().unwrap());
}
