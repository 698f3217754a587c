//! C2–C4, C7, C9, C11, C20. A pull request with a fork's rights. First its checks pass, it gets the coverage comment and
//! publishes nothing. A newer commit cancels the run of the one before. Then it gets five kinds of defects: for each, the
//! right job fails with the reason, and the comment is updated.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::forge::{Comment, Conclusion, Pull};
use devkit::git::short;
use devkit::process::{Run, command};

use super::world::World;
use crate::delivery::ship::CI_LIMIT;
use crate::expect::{Verdict, eventually};
use crate::forge::pull_request;
use crate::forge::runs::{PULL_REQUEST, WorkflowRun, wait_failed_job};
use crate::sandbox::credentials::random;
use crate::sandbox::host::Host;

/// A defect that must not be merged.
struct Defect {
    name: &'static str,
    make: fn(&World, &Path) -> Result<()>,
    /// The job that must fail.
    job: &'static str,
    /// A text that the job's log must contain.
    reason: &'static str,
}

/// Defects that are pushed together and found separately: by different jobs, or by different checks of one job.
const DEFECTS: [Defect; 5] = [
    Defect {
        name: "unformatted code",
        make: |world, clone| {
            let code = "src/main.rs";
            world.edit(clone, code, "fn main()", "fn  main()")
        },
        job: "lint",
        reason: "format: ",
    },
    Defect {
        name: "a secret",
        make: |_, clone| {
            // Generated here, so that this repository does not contain it.
            let token: String = random()?.chars().take(36).collect();
            let text = format!("token = \"ghp_{token}\"\n");
            fs::write(clone.join("notes.txt"), text).context("cannot write the notes")
        },
        job: "security",
        reason: "notes.txt",
    },
    Defect {
        name: "a dependency with a known vulnerability",
        make: vulnerable,
        job: "security",
        reason: "RUSTSEC-",
    },
    Defect {
        name: "a failing integration test",
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
];

/// The end of the mark of the comment that is updated instead of repeated.
const MARK: &str = ":coverage -->";

pub(super) fn run(world: &World) -> Result<()> {
    let forge = &world.forge;
    let clone = world.clone("pull-request", world.trunk())?;
    let git = forge.git(&clone);
    let good = git.head()?;
    let tags = forge.image_tags()?;
    let (number, first) = passes(world, &clone)?;
    is_cancelled_by_the_next(world, &clone)?;
    git.read(&["reset", "--quiet", "--hard", &good])?;
    fails(world, &clone)?;
    comment_is_updated(world, number, &git.head()?, &first)?;
    ensure!(
        forge.image_tags()? == tags,
        "the pull request changed the registry's tags"
    );
    forge.close_pull(number)?;
    Ok(())
}

/// Commits everything in the clone, and opens or updates the pull request with it.
fn push(world: &World, clone: &Path, name: &str) -> Result<Pull> {
    world.forge.git(clone).read(&["add", "--all"])?;
    world.commit(clone, &format!("Add {name}"))?;
    let base = world.trunk();
    pull_request::open(&world.forge, clone, base, "scenario", "Try the checks")
}

/// Opens a pull request without defects. Returns its number and the comment.
fn passes(world: &World, clone: &Path) -> Result<(u64, Comment)> {
    // Given a pull request without defects,
    world.edit(
        clone,
        "src/main.rs",
        "fn main()",
        "// No defect.\nfn main()",
    )?;
    let pull = push(world, clone, "a comment")?;

    // When its run completes, then all checks have passed, nothing was delivered, and there is a comment.
    let run = WorkflowRun::wait(&world.forge, &PULL_REQUEST, &pull.head.sha, CI_LIMIT)?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    let comment = comment(world, pull.number, &pull.head.sha)?;
    Ok((pull.number, comment))
}

/// Updates the pull request twice. The second update cancels the run of the first.
fn is_cancelled_by_the_next(world: &World, clone: &Path) -> Result<()> {
    let update = |text: &str| {
        fs::write(clone.join("notes.txt"), text).context("cannot write the notes")?;
        push(world, clone, text)
    };
    // Given a run that has started,
    let first = update("a first note")?.head.sha;
    WorkflowRun::wait_started(&world.forge, &PULL_REQUEST, &first, CI_LIMIT)?;
    // when the pull request gets another commit, then the run is cancelled.
    update("a second note")?;
    let run = WorkflowRun::wait_completed(&world.forge, &PULL_REQUEST, &first, CI_LIMIT)?;
    ensure!(
        run.has_job(Conclusion::Cancelled),
        "a newer commit did not cancel the run of {}",
        short(&first)
    );
    Ok(())
}

fn fails(world: &World, clone: &Path) -> Result<()> {
    // When it has defects,
    let mut names = Vec::new();
    for defect in DEFECTS {
        eprintln!("   {}", defect.name);
        (defect.make)(world, clone).with_context(|| defect.name)?;
        names.push(defect.name);
    }
    let pull = push(world, clone, &names.join(", and "))?;

    // Then the job for each fails, with the reason.
    let forge = &world.forge;
    for Defect { job, reason, .. } in DEFECTS {
        let log = wait_failed_job(forge, &PULL_REQUEST, &pull.head.sha, job, CI_LIMIT)?;
        ensure!(
            log.contains(reason),
            "the log of {job} lacks {reason:?}:\n{log}"
        );
    }
    Ok(())
}

/// Checks that the comment is still the same one, with the last commit's numbers, and that the aggregate check failed.
fn comment_is_updated(world: &World, number: u64, commit: &str, first: &Comment) -> Result<()> {
    let last = comment(world, number, commit)?;
    let run = WorkflowRun::wait_completed(&world.forge, &PULL_REQUEST, commit, CI_LIMIT)?;
    run.ensure_conclusion("required", Conclusion::Failure)?;
    ensure!(
        last.id == first.id,
        "there is a second comment: {last:?} beside {first:?}"
    );
    Ok(())
}

/// Waits for the coverage comment on a pull request's commit. There must never be two.
///
/// # Errors
/// When there is none in time, or a second one.
pub(super) fn comment(world: &World, number: u64, commit: &str) -> Result<Comment> {
    let what = format!("the comment on {}", short(commit));
    eventually(&what, CI_LIMIT, || {
        let mut ours = world.forge.comments(number)?;
        ours.retain(|comment| comment.body.contains(MARK));
        Ok(match ours.as_slice() {
            [] => Verdict::Pending("there is none".into()),
            [one] if one.body.contains(short(commit)) => Verdict::Met(one.clone()),
            [one] => Verdict::Pending(format!("it is for another commit: {}", one.body)),
            more => Verdict::Failed(format!("there are {}", more.len())),
        })
    })
}

/// A crate with a known vulnerability (RUSTSEC-2019-0013), and without dependencies.
pub(super) const VULNERABLE_CRATE: &str = "spin = \"=0.5.1\"";

fn vulnerable(world: &World, clone: &Path) -> Result<()> {
    let section = "[dependencies]\n";
    world.edit(
        clone,
        "Cargo.toml",
        section,
        &format!("{section}{VULNERABLE_CRATE}\n"),
    )?;
    let host = Host::read(&world.layout)?;
    let mut update = command("cargo", ["update", "--workspace", "--offline", "--quiet"]);
    update
        .current_dir(clone)
        .env("CARGO_HOME", &host.cargo_home);
    if let Some(rustup) = host.rustup_home {
        update.env("RUSTUP_HOME", rustup);
    }
    update.run_quietly()?;
    Ok(())
}

/// Adds so much untested code that the service's coverage falls below the floor.
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
    .context("cannot write src/untested.rs")?;
    world.edit(
        clone,
        "src/lib.rs",
        "pub mod app;",
        "pub mod app;\npub mod untested;",
    )
}
