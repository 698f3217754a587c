//! `cargo pipeline rollback`, `hold` and `release-hold` from outside, on real repositories and with a forge that keeps
//! pull requests in memory.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;
#[path = "common/project.rs"]
mod project;

use common::{commit, failed, git, push_notes, succeeded};
use project::{DEV, NONE, Project, STAGING, digest, values};
use std::process::{Command, Output};
use std::thread;

/// The block that a hold is, as the commands write it, with `DATE` for the date.
fn hold(reason: &str) -> String {
    format!("hold:\n  reason: {reason}\n  by: ann\n  since: \"DATE\"\n")
}

/// The values with `DATE` for the date of their hold, which must be one.
fn undated(values: &str) -> String {
    let Some((before, date)) = values.split_once("since: \"") else {
        return values.to_owned();
    };
    let (date, after) = date.split_once('"').unwrap();
    date.parse::<jiff::civil::Date>().unwrap();
    format!("{before}since: \"DATE\"{after}")
}

/// A project whose dev has had the images 1, 2 and 3.
fn dev_with_three_images() -> Project {
    let project = Project::new();
    for number in [2, 3] {
        let tag = format!("develop-{number}");
        project.change(DEV, &values(&tag, &digest(number), ""));
    }
    project
}

/// A project whose staging has had the images 1 and 2, by promotions that were merged.
fn staging_with_two_images() -> Project {
    let mut project = Project::new();
    merge(&project, "promote");
    project.built = project.change("src/main.rs", "two");
    project.change(DEV, &values("develop-2", &digest(2), ""));
    merge(&project, "promote");
    project.changed();
    project
}

/// Opens the pull request of a command to staging, if it is `promote`, and merges it as a forge does.
fn merge(project: &Project, command: &str) {
    if command == "promote" {
        succeeded(&project.promote(&["--to", "staging"]));
    }
    let clone = project.clone();
    let proposed = format!("origin/{command}/staging");
    git(&clone, &["fetch", "--quiet", "origin"]);
    git(
        &clone,
        &["checkout", "--quiet", "-B", "staging", "origin/staging"],
    );
    let message = format!("Merge {command}");
    git(
        &clone,
        &[
            "merge",
            "--quiet",
            "--no-ff",
            "--message",
            &message,
            &proposed,
        ],
    );
    git(&clone, &["push", "--quiet", "origin", "staging"]);
    git(&clone, &["checkout", "--quiet", "develop"]);
    project.pulls.lock().unwrap().clear();
}

fn run(project: &Project, arguments: &[&str]) -> Output {
    project.command(arguments).output().unwrap()
}

/// The write-back of an image to dev, of the commit that the tests' images were built from.
fn deploy(project: &Project, number: u32) -> Output {
    let (tag, digest) = (format!("develop-{number}"), digest(number));
    let image = ["--tag", &tag, "--digest", &digest];
    let source = ["--commit", &project.built];
    let arguments = [&["deploy", "--env", "dev"], &image[..], &source].concat();
    run(project, &arguments)
}

fn dev(project: &Project) -> String {
    undated(&(project.read(&["show", &format!("develop:{DEV}")]) + "\n"))
}

fn on_branch(project: &Project, branch: &str) -> String {
    undated(&(project.read(&["show", &format!("{branch}:{STAGING}")]) + "\n"))
}

/// It fails for a reason, and changes nothing.
fn refused(project: &Project, command: &mut Command, reason: &str) {
    let branches = project.branches();
    let said = failed(&command.output().unwrap());
    assert!(said.contains(reason), "{reason}: {said}");
    assert_eq!(project.branches(), branches, "{reason}");
    assert!(project.changed().is_empty(), "{reason}");
}

#[test]
fn dev_goes_back_by_a_commit_of_the_bot_and_is_held() {
    let project = dev_with_three_images();
    let before = project.read(&["rev-parse", "develop"]);

    let said = succeeded(&run(&project, &["rollback", "--env", "dev"]));

    assert!(said.contains("Roll dev back to develop-2"), "{said}");
    let held = hold("\"rolled back from develop-3\"");
    assert_eq!(dev(&project), values("develop-2", &digest(2), &held));
    assert_eq!(project.read(&["rev-parse", "develop^"]), before);
    let changed = project.read(&["diff", "--name-only", "develop^", "develop"]);
    assert_eq!(changed, DEV);
    let message = project.read(&["log", "-1", "--format=%an%n%B", "develop"]);
    for text in [
        "delivery-bot\nchore(deploy): roll dev back to develop-2\n",
        &format!("Argocd-reference-commit-sha: {}", project.built),
        &format!("Rollback-from: {}", digest(3)),
    ] {
        assert!(message.contains(text), "{text}: {message}");
    }
    assert!(project.changed().is_empty(), "a pull request");
}

#[test]
fn a_second_rollback_changes_nothing() {
    let project = dev_with_three_images();
    let to = project.read(&["rev-parse", "develop^"]);
    succeeded(&run(&project, &["rollback", "--env", "dev"]));
    let branches = project.branches();
    for arguments in [
        &["rollback", "--env", "dev"][..],
        &["rollback", "--env", "dev", "--to", &to],
        &["rollback", "--env", "dev", "--by", "bob"],
    ] {
        let said = succeeded(&run(&project, arguments));
        let expected = "dev is back at develop-2 already and on hold: rolled back from develop-3";
        assert!(said.contains(expected), "{said}");
        assert_eq!(project.branches(), branches);
    }

    // Without the hold, the image before would be the one that was left.
    succeeded(&run(&project, &["release-hold", "--env", "dev"]));
    let again = &mut project.command(&["rollback", "--env", "dev"]);
    refused(&project, again, "dev has develop-2 already: name a commit");
}

#[test]
fn a_commit_of_the_branch_may_name_the_image() {
    let project = dev_with_three_images();
    let to = project.read(&["rev-parse", "develop~2"]);
    let arguments = [
        "rollback",
        "--env",
        "dev",
        "--to",
        &to[..9],
        "--reason",
        "it leaks: \"all\"",
    ];
    succeeded(&run(&project, &arguments));
    let held = hold("\"it leaks: \\\"all\\\"\"");
    assert_eq!(dev(&project), values("develop-1", &digest(1), &held));

    // One may go back further, under the same person's hold, which stays as it is.
    let project = dev_with_three_images();
    let to = project.read(&["rev-parse", "develop~2"]);
    succeeded(&run(&project, &["rollback", "--env", "dev"]));
    succeeded(&run(&project, &["rollback", "--env", "dev", "--to", &to]));
    let held = hold("\"rolled back from develop-3\"");
    assert_eq!(dev(&project), values("develop-1", &digest(1), &held));
}

#[test]
fn the_hold_survives_write_backs_until_it_is_released() {
    let mut project = dev_with_three_images();
    succeeded(&run(&project, &["rollback", "--env", "dev"]));
    project.built = project.change("src/main.rs", "four");
    let held = dev(&project);

    // The image that was left, an image of a newer commit, and once more.
    for number in [3, 4, 4] {
        let output = deploy(&project, number);
        assert_eq!(output.status.code(), Some(3));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("rolled back from develop-3"), "{said}");
        assert_eq!(dev(&project), held);
    }

    succeeded(&run(&project, &["release-hold", "--env", "dev"]));
    assert_eq!(dev(&project), values("develop-2", &digest(2), ""));
    let said = succeeded(&run(&project, &["release-hold", "--env", "dev"]));
    assert!(said.contains("dev is not on hold"), "{said}");
    succeeded(&deploy(&project, 4));
    assert_eq!(dev(&project), values("develop-4", &digest(4), ""));

    // The image before is the one that the rollback restored.
    succeeded(&run(&project, &["rollback", "--env", "dev"]));
    let held = hold("\"rolled back from develop-4\"");
    assert_eq!(dev(&project), values("develop-2", &digest(2), &held));
}

#[test]
fn staging_goes_back_by_a_pull_request() {
    let project = staging_with_two_images();
    let before = project.branches();

    let said = succeeded(&run(&project, &["rollback", "--env", "staging"]));

    assert!(said.contains("pull request 7"), "{said}");
    let changed = project.changed();
    let [request] = &changed[..] else {
        panic!("one pull request: {changed:?}")
    };
    let asked = request.json();
    assert_eq!(request.target(), "/repos/some/body/pulls");
    assert_eq!(asked["head"], "rollback/staging");
    assert_eq!(asked["base"], "staging");
    assert_eq!(asked["title"], "Roll staging back to develop-1");
    let body = asked["body"].as_str().unwrap();
    for text in [
        &digest(1),
        "`develop-2` goes back to `develop-1`",
        "argocd app sync",
    ] {
        assert!(body.contains(text), "{text}: {body}");
    }
    let held = hold("\"rolled back from develop-2\"");
    let proposed = on_branch(&project, "rollback/staging");
    assert_eq!(proposed, values("develop-1", &digest(1), &held));
    let parent = project.read(&["rev-parse", "rollback/staging^"]);
    assert_eq!(parent, project.read(&["rev-parse", "staging"]));
    // No other branch has moved.
    let after = project.branches();
    let others: Vec<&str> = after
        .lines()
        .filter(|line| !line.starts_with("rollback/"))
        .collect();
    assert_eq!(others.join("\n"), before);
}

#[test]
fn an_open_rollback_changes_only_when_asked() {
    let project = staging_with_two_images();
    succeeded(&run(&project, &["rollback", "--env", "staging"]));
    project.changed();

    // On another day too.
    let clone = project.clone();
    let text = project.read(&["show", &format!("rollback/staging:{STAGING}")]);
    git(&clone, &["fetch", "--quiet", "origin"]);
    git(&clone, &["checkout", "--quiet", "origin/rollback/staging"]);
    let (before, _) = text.split_once("since:").unwrap();
    commit(&clone, STAGING, &format!("{before}since: \"2026-01-02\"\n"));
    git(
        &clone,
        &["push", "--quiet", "origin", "HEAD:rollback/staging"],
    );
    let branches = project.branches();
    let said = succeeded(&run(&project, &["rollback", "--env", "staging"]));
    assert!(said.contains("is open and proposes this"), "{said}");
    let other = ["rollback", "--env", "staging", "--reason", "it leaks"];
    let said = succeeded(&run(&project, &other));
    assert!(said.contains("something else; `--refresh`"), "{said}");
    assert_eq!(project.branches(), branches);
    assert!(project.changed().is_empty());

    succeeded(&run(&project, &[&other[..], &["--refresh"]].concat()));
    let proposed = on_branch(&project, "rollback/staging");
    let held = hold("\"it leaks\"");
    assert_eq!(proposed, values("develop-1", &digest(1), &held));
    assert_eq!(project.changed()[0].method(), "PATCH");
}

#[test]
fn a_merged_rollback_stops_promotions_until_the_hold_is_released() {
    let mut project = staging_with_two_images();
    succeeded(&run(&project, &["rollback", "--env", "staging"]));
    merge(&project, "rollback");
    let held = on_branch(&project, "staging");

    let said = succeeded(&run(&project, &["rollback", "--env", "staging"]));
    assert!(said.contains("staging is back at develop-1"), "{said}");
    project.built = project.change("src/main.rs", "three");
    project.change(DEV, &values("develop-3", &digest(3), ""));
    project.changed();
    let output = project.promote(&["--to", "staging"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(project.changed().is_empty());
    assert_eq!(on_branch(&project, "staging"), held);

    succeeded(&run(&project, &["release-hold", "--env", "staging"]));
    let proposed = on_branch(&project, "release-hold/staging");
    assert_eq!(proposed, values("develop-1", &digest(1), ""));
    merge(&project, "release-hold");
    merge(&project, "promote");
    let promoted = on_branch(&project, "staging");
    assert_eq!(promoted, values("develop-3", &digest(3), ""));
}

/// The values of staging on develop never were on the branch of staging.
#[test]
fn only_images_of_the_environments_own_branch_count() {
    let project = Project::new();
    project.change(STAGING, &values("develop-8", &digest(8), ""));
    merge(&project, "promote");
    let rollback = &mut project.command(&["rollback", "--env", "staging"]);
    project.changed();
    refused(
        &project,
        rollback,
        "develop-1 is the first image of staging",
    );
}

#[test]
fn a_hold_is_added_and_nothing_else() {
    let project = Project::new();
    let before = dev(&project);
    let arguments = ["hold", "--env", "dev", "--reason", "fair"];
    succeeded(&run(&project, &arguments));
    assert_eq!(dev(&project), format!("{before}{}", hold("fair")));
    assert_eq!(deploy(&project, 2).status.code(), Some(3));

    let branches = project.branches();
    let said = succeeded(&run(&project, &arguments));
    assert!(said.contains("dev is on hold already: fair"), "{said}");
    assert_eq!(project.branches(), branches);
    for other in [
        &["hold", "--env", "dev", "--reason", "audit"][..],
        &["hold", "--env", "dev", "--reason", "fair", "--by", "bob"],
    ] {
        let reason = "run `cargo pipeline release-hold --env dev` first";
        refused(&project, &mut project.command(other), reason);
    }

    succeeded(&run(&project, &["release-hold", "--env", "dev"]));
    assert_eq!(dev(&project), before);

    succeeded(&run(
        &project,
        &["hold", "--env", "staging", "--reason", "fair"],
    ));
    let proposed = on_branch(&project, "hold/staging");
    assert_eq!(proposed, values("unreleased", NONE, &hold("fair")));
    let asked = project.changed()[0].json();
    assert_eq!(asked["base"], "staging");
    // A hold changes nothing in the cluster.
    let body = asked["body"].as_str().unwrap();
    assert!(body.contains("fair") && !body.contains("sync"), "{body}");
}

#[test]
fn a_reason_has_no_effect_in_a_pull_request_and_its_commit() {
    let project = Project::new();
    let reason = "fixes #12, ask @ann: <b> ##[add-mask]x";
    let by = "bob @all";
    let hold = ["hold", "--env", "staging", "--reason", reason, "--by", by];
    succeeded(&run(&project, &hold));
    // The values have the text as it was given.
    assert!(on_branch(&project, "hold/staging").contains(reason));
    let asked = project.changed()[0].json();
    let body = asked["body"].as_str().unwrap();
    let message = project.read(&["log", "-1", "--format=%B", "hold/staging"]);
    for text in ["fixes #12", "@ann", "@all", "##[add"] {
        assert!(!body.contains(text), "{text}: {body}");
        assert!(!message.contains(text), "{text}: {message}");
    }
    assert!(body.contains("\\<b\\>"), "{body}");
}

#[test]
fn a_hold_gives_no_command_to_a_workflow() {
    let project = Project::new();
    let hold = "hold:\n  reason: \"x\\n::add-mask::y\\r::stop-commands::z\"\n";
    project.change(DEV, &values("develop-1", &digest(1), hold));
    let output = run(&project, &["hold", "--env", "dev", "--reason", "fair"]);
    let said = failed(&output);
    assert!(
        said.contains("x ::add-mask::y ::stop-commands::z"),
        "{said}"
    );
    let said = String::from_utf8_lossy(&deploy(&project, 2).stdout).into_owned();
    assert!(
        said.contains("x ::add-mask::y ::stop-commands::z"),
        "{said}"
    );
}

#[test]
fn a_dry_run_shows_the_change_and_makes_none() {
    let project = dev_with_three_images();
    let branches = project.branches();
    let said = succeeded(&run(&project, &["rollback", "--env", "dev", "--dry-run"]));
    assert!(said.contains("+  tag: develop-2 # too"), "{said}");
    let hold = ["hold", "--env", "staging", "--reason", "fair", "--dry-run"];
    let said = succeeded(&run(&project, &hold));
    assert!(said.contains("+  reason: fair"), "{said}");
    assert_eq!(project.branches(), branches);
    assert!(project.seen.lock().unwrap().is_empty());
}

/// Others push while a rollback runs, and several rollbacks run at once: there is one rollback and nothing is lost.
#[test]
fn a_race_loses_nothing() {
    let project = dev_with_three_images();
    let clone = |name: &str| {
        let folder = project.folder.path();
        git(folder, &["clone", "--quiet", "forge.git", name]);
        let clone = folder.join(name);
        git(
            &clone,
            &["checkout", "--quiet", "-B", "develop", "origin/develop"],
        );
        clone
    };
    let clones = ["a", "b", "c"].map(clone);
    let person = clone("person");

    thread::scope(|scope| {
        for clone in &clones {
            let mut command = project.command(&["rollback", "--env", "dev"]);
            command.current_dir(clone);
            scope.spawn(move || succeeded(&command.output().unwrap()));
        }
        scope.spawn(|| push_notes(&person));
    });

    let held = hold("\"rolled back from develop-3\"");
    assert_eq!(dev(&project), values("develop-2", &digest(2), &held));
    for note in 0..3 {
        project.read(&["cat-file", "-e", &format!("develop:notes/{note}")]);
    }
    let rollbacks = project.read(&["log", "--format=%h", "--grep=^Rollback-from: ", "develop"]);
    assert_eq!(rollbacks.lines().count(), 1);
}

#[test]
fn a_rollback_that_makes_no_sense_changes_nothing() {
    let project = dev_with_three_images();
    let elsewhere = project.change_on("qa", "src/lib.rs", "x");
    let first = project.read(&["rev-list", "--max-parents=0", "develop"]);
    let unreleased = project.read(&["rev-parse", "main"]);
    git(
        &project.clone(),
        &["checkout", "--quiet", "-B", "develop", "origin/develop"],
    );
    for (arguments, reason) in [
        (
            &["rollback", "--env", "qa"][..],
            "no environment `qa` in delivery.toml; it has dev, staging, prod",
        ),
        (&["rollback"], "--env <NAME>"),
        (
            &["rollback", "--env", "prod"],
            "prod has no image yet: nothing to roll back",
        ),
        (
            &["rollback", "--env", "dev", "--to", "develop"],
            "dev has develop-3 already: name a commit with another image by `--to`",
        ),
        (
            &["rollback", "--env", "dev", "--to", "nonsense"],
            "`nonsense` is not a commit",
        ),
        (
            &["rollback", "--env", "dev", "--to", &elsewhere],
            "is not on develop: name a commit of that branch",
        ),
        (
            &["rollback", "--env", "dev", "--to", &first],
            "there is no file",
        ),
        (
            &["rollback", "--env", "dev", "--to", &unreleased],
            "dev had no image at",
        ),
        (
            &["rollback", "--env", "dev", "--reason", "a\nb"],
            "`a\\nb` must be one line of text",
        ),
        (
            &["rollback", "--env", "dev", "--remote", "nowhere"],
            "no remote `nowhere`",
        ),
        (&["hold", "--env", "dev"], "--reason <TEXT>"),
        (
            &["hold", "--env", "dev", "--reason", " "],
            "must be one line of text",
        ),
        (
            &["release-hold", "--env", "qa"],
            "no environment `qa` in delivery.toml",
        ),
    ] {
        refused(&project, &mut project.command(arguments), reason);
    }
}

#[test]
fn what_may_not_run_is_not_restored() {
    let project = dev_with_three_images();
    let rollback = || project.command(&["rollback", "--env", "dev"]);
    let elsewhere = project.change_on("qa", "src/lib.rs", "x");
    for (name, value, reason) in [
        (
            "FAKE_UNSIGNED",
            &*digest(2),
            "no signature that is trusted here",
        ),
        ("FAKE_COMMIT", &elsewhere, "which is not part of develop"),
        (
            "GITOPS_REPOSITORY",
            "https://forge.example.org/some/manifests",
            "the values are in a separate repository",
        ),
    ] {
        refused(&project, rollback().env(name, value), reason);
    }

    let held = "hold:\n  reason: audit\n  by: bob\n  since: 2026-11-26\n";
    project.change(DEV, &values("develop-3", &digest(3), held));
    refused(
        &project,
        &mut rollback(),
        "dev is on hold by another person: audit (by bob",
    );
    let nobody = &mut rollback();
    nobody.env_remove("GITHUB_ACTOR");
    refused(&project, nobody, "add `--by NAME`");
}
