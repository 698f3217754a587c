//! C2–C4, C7, C9, C11, C20. One pull request, as from a fork: at first it is green, gets the comment on its coverage
//! and publishes nothing. Then it goes wrong in five ways: each time the job that is there for it is red and says why. A
//! newer push ends the run before it, and renews the comment.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::World;
use crate::command::{Run as _, command};
use crate::delivery::environment::short;
use crate::delivery::ship::{self, CI_LIMIT, Proposal};
use crate::expect::{Verdict, eventually};
use crate::forge::random;
use crate::forge::runs::{PULL_REQUEST, Run};
use crate::sandbox::machine::Host;

/// Something that must not be merged.
struct Defect {
    name: &'static str,
    make: fn(&World, &Path) -> Result<()>,
    /// The job that must notice.
    job: &'static str,
    /// What its log must say.
    reason: &'static str,
}

/// Each slice is one push. Those that are pushed together are found apart: by another job, or by another check of it.
const PUSHES: [&[Defect]; 3] = [
    &[Defect {
        name: "a format that isn't ours",
        make: |world, clone| {
            let code = "src/main.rs";
            world.edit(clone, code, "fn main()", "fn  main()")
        },
        job: "lint",
        reason: "format: ",
    }],
    &[
        Defect {
            name: "a secret",
            make: |_, clone| {
                // Made here, so that it isn't one in this repository.
                let token: String = random()?.chars().take(36).collect();
                let text = format!("token = \"ghp_{token}\"\n");
                fs::write(clone.join("notes.txt"), text).context("could not write the notes")
            },
            job: "security",
            reason: "notes.txt",
        },
        Defect {
            name: "a dependency with a known hole",
            make: vulnerable,
            job: "security",
            reason: "RUSTSEC-",
        },
    ],
    &[
        Defect {
            name: "an integration test that fails",
            make: |world, clone| {
                let test = "tests/api/ready.rs";
                world.edit(clone, test, "\"status\": \"", "\"status\": \"not ")
            },
            job: "integration",
            reason: "test result: FAILED",
        },
        Defect {
            name: "code without tests",
            make: untested,
            job: "unit",
            reason: "floor",
        },
    ],
];

/// What marks the comment that is renewed instead of repeated.
const MARK: &str = "<!-- waybill:coverage -->";

pub(super) fn run(world: &World) -> Result<()> {
    let forge = &world.forge;
    let clone = world.clone("pull-request", "develop")?;
    let good = forge.head(&clone)?;
    let tags = forge.image_tags()?;
    let (number, first) = green(world, &clone)?;
    for defects in PUSHES {
        forge
            .git(&clone)
            .args(["reset", "--quiet", "--hard", &good])
            .run()?;
        red(world, &clone, defects)?;
    }
    the_last(world, number, &forge.head(&clone)?, &first)?;
    ensure!(
        forge.image_tags()? == tags,
        "the pull request changed the registry's tags"
    );
    let close = json!({"state": "closed"});
    forge.repository("PATCH", &format!("/pulls/{number}"), Some(&close))?;
    Ok(())
}

/// Commits everything in the clone, and opens or renews the pull request with it.
fn propose(world: &World, clone: &Path, name: &str) -> Result<Proposal> {
    world.forge.git(clone).args(["add", "--all"]).run()?;
    world.commit(clone, &format!("Add {name}"))?;
    ship::propose(&world.forge, clone, "develop", "scenario", "Try the checks")
}

/// Returns the pull request's number, and the comment.
fn green(world: &World, clone: &Path) -> Result<(i64, Value)> {
    // Given a pull request with nothing wrong in it,
    world.edit(clone, "src/main.rs", "fn main()", "// Green.\nfn main()")?;
    let pull = propose(world, clone, "a comment")?;

    // When its run ends, then all its checks have passed, nothing was delivered, and the comment comes.
    let run = Run::wait(&world.forge, PULL_REQUEST, &pull.commit, CI_LIMIT)?;
    run.ensure("deliver", "skipped")?;
    let comment = comment(world, pull.number, &pull.commit)?;
    Ok((pull.number, comment))
}

fn red(world: &World, clone: &Path, defects: &[Defect]) -> Result<()> {
    // When it has defects,
    let mut names = Vec::new();
    for defect in defects {
        eprintln!("   {}", defect.name);
        (defect.make)(world, clone).with_context(|| defect.name)?;
        names.push(defect.name);
    }
    let pull = propose(world, clone, &names.join(", and "))?;

    // Then the job for each is red, with the reason.
    let forge = &world.forge;
    for Defect { job, reason, .. } in defects {
        let log = Run::wait_red(forge, PULL_REQUEST, &pull.commit, job, CI_LIMIT)?;
        ensure!(
            log.contains(reason),
            "the log of {job} does not say {reason:?}:\n{log}"
        );
    }
    Ok(())
}

/// The comment is still the one it was, with the numbers of the last commit, and the aggregate check is red.
fn the_last(world: &World, number: i64, commit: &str, first: &Value) -> Result<()> {
    let last = comment(world, number, commit)?;
    let ended = Run::ended(&world.forge, PULL_REQUEST, commit, CI_LIMIT)?;
    ended.ensure("required", "failure")?;
    ensure!(
        last["id"] == first["id"],
        "there is a second comment: {last} beside {first}"
    );
    Ok(())
}

/// Waits for the comment on a pull request's commit; there must never be two.
fn comment(world: &World, number: i64, commit: &str) -> Result<Value> {
    let what = format!("the comment on {}", short(commit));
    eventually(&what, CI_LIMIT, || {
        let path = format!("/issues/{number}/comments");
        let comments = world.forge.repository("GET", &path, None)?;
        let says = |comment: &Value, text: &str| {
            let body = comment["body"].as_str();
            body.is_some_and(|body| body.contains(text))
        };
        let comments = comments.as_array().into_iter().flatten();
        let ours: Vec<&Value> = comments.filter(|comment| says(comment, MARK)).collect();
        Ok(match ours.as_slice() {
            [] => Verdict::Pending("there is none".into()),
            [one] if says(one, short(commit)) => Verdict::Met((*one).clone()),
            [one] => Verdict::Pending(format!("it is of another commit: {}", one["body"])),
            more => Verdict::Failed(format!("there are {}", more.len())),
        })
    })
}

/// A crate with a known hole: inside there is no network to get it from.
pub(super) fn prepare() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("waybill-{}", random()?));
    let fetched = fetch(&folder);
    let _ = fs::remove_dir_all(&folder);
    fetched
}

fn fetch(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    fs::write(
        folder.join("Cargo.toml"),
        format!("[package]\nname = \"hole\"\nedition = \"2024\"\n\n[dependencies]\n{VULNERABLE}\n"),
    )?;
    command("cargo", ["fetch", "--quiet"])
        .current_dir(folder)
        .run()
}

/// RUSTSEC-2019-0013, in a crate without dependencies.
const VULNERABLE: &str = "spin = \"=0.5.1\"";

fn vulnerable(world: &World, clone: &Path) -> Result<()> {
    let section = "[dependencies]\n";
    world.edit(
        clone,
        "Cargo.toml",
        section,
        &format!("{section}{VULNERABLE}\n"),
    )?;
    let host = Host::read(&world.layout)?;
    let mut update = command("cargo", ["update", "--workspace", "--offline", "--quiet"]);
    update
        .current_dir(clone)
        .env("CARGO_HOME", world.layout.state("cargo"));
    if let Some(rustup) = host.rustup_home {
        update.env("RUSTUP_HOME", rustup);
    }
    update.run()
}

/// Enough code without a test to bring the service under the floor.
fn untested(world: &World, clone: &Path) -> Result<()> {
    let function = |number: u32| {
        format!(
            "/// Not tested.\npub fn f{number}(n: u32) -> u32 {{\n    let n = n / 3;\n    let n = n ^ {number};\n    n / 7\n}}\n\n"
        )
    };
    let code: String = (0..200).map(function).collect();
    fs::write(
        clone.join("src/untested.rs"),
        format!("//! Not tested.\n\n{}\n", code.trim_end()),
    )
    .context("could not write src/untested.rs")?;
    world.edit(
        clone,
        "src/lib.rs",
        "pub mod app;",
        "pub mod app;\npub mod untested;",
    )
}
