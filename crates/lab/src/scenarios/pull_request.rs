//! C2–C4, C7, C9, C11, C20. A pull request with a fork's rights and five kinds of defects: for each, the right job fails
//! with the reason. A newer commit cancels the run of the one before. The pull request gets one coverage comment, which
//! later runs update, and publishes nothing. `feature-to-production` shows a pull request whose checks pass.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devkit::forge::{Comment, Conclusion, Pull};
use devkit::git::short;
use devkit::process::{Run, command};
use serde_json::json;

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

/// A defect that is found before the tests end. It changes Cargo.lock, so everything is tested.
const DEPENDENCY: Defect = Defect {
    name: "a dependency with a known vulnerability",
    make: vulnerable,
    job: "security",
    reason: "RUSTSEC-",
};

/// Defects that are pushed together and found separately: by different jobs, or by different checks of one job.
const DEFECTS: [Defect; 4] = [
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
            fs::write(clone.join(NOTES), text).context("cannot write the notes")
        },
        job: "security",
        reason: NOTES,
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

/// A file with a secret. It is in a folder of the service, because a file of no package lets everything be tested, and not
/// in `src`, because the image is built from that.
const NOTES: &str = "tests/notes.txt";

/// What a job prints twice a second while it waits for another job's target folder, and how often it may do so: the next job
/// ends what a cancelled one left running.
const WAITING: &str = "waiting for the job in /";
const FEW: usize = 20;

/// What cargo prints while another build works in the same folder.
const LOCKED: &str = "waiting for file lock on artifact directory";

/// The end of the mark of the comment that is updated instead of repeated.
const MARK: &str = ":coverage -->";

pub(super) fn run(world: &World) -> Result<()> {
    let forge = &world.forge;
    let clone = world.clone("pull-request", world.trunk())?;
    let git = forge.git(&clone);
    let good = git.head()?;
    let tags = forge.image_tags()?;

    // When a pull request has a defect, then the job that finds it fails.
    let first = push(world, &clone, &[DEPENDENCY])?;
    is_found(world, &first, &[DEPENDENCY])?;

    // When it gets another commit, then the run that still tests is cancelled,
    git.read(&["reset", "--quiet", "--hard", &good])?;
    let pull = push(world, &clone, &DEFECTS)?;
    is_cancelled(world, &first)?;
    // the job for each defect fails,
    is_found(world, &pull, &DEFECTS)?;
    let head = &pull.head.sha;
    wait_failed_job(forge, &PULL_REQUEST, head, "required", CI_LIMIT)?;
    let run = WorkflowRun::wait_completed(forge, &PULL_REQUEST, head, CI_LIMIT)?;
    run.ensure_conclusion("deliver", Conclusion::Skipped)?;
    ensure!(
        !run.log(forge, "image")?.contains(LOCKED),
        "image waited for what a cancelled job had left running"
    );
    // and there is one comment, which a later run updates.
    comment_is_updated(world, &pull, &run)?;
    ensure!(
        forge.image_tags()? == tags,
        "the pull request changed the registry's tags"
    );
    forge.close_pull(pull.number)?;
    Ok(())
}

/// Commits defects in the clone, and opens or updates the pull request with them.
fn push(world: &World, clone: &Path, defects: &[Defect]) -> Result<Pull> {
    let mut names = Vec::new();
    for defect in defects {
        eprintln!("   {}", defect.name);
        (defect.make)(world, clone).with_context(|| defect.name)?;
        names.push(defect.name);
    }
    world.forge.git(clone).read(&["add", "--all"])?;
    world.commit(clone, &format!("Add {}", names.join(", and ")))?;
    let base = world.trunk();
    pull_request::open(&world.forge, clone, base, "scenario", "Try the checks")
}

/// Waits until the job for each defect has failed with the reason.
fn is_found(world: &World, pull: &Pull, defects: &[Defect]) -> Result<()> {
    let forge = &world.forge;
    for Defect { job, reason, .. } in defects {
        let log = wait_failed_job(forge, &PULL_REQUEST, &pull.head.sha, job, CI_LIMIT)?;
        ensure!(
            log.contains(reason),
            "the log of {job} lacks {reason:?}:\n{log}"
        );
        ensure!(
            log.matches(WAITING).count() < FEW,
            "{job} waited for what a cancelled job had left running"
        );
    }
    Ok(())
}

/// Waits until the run of a pull request is cancelled.
fn is_cancelled(world: &World, pull: &Pull) -> Result<()> {
    let head = &pull.head.sha;
    let run = WorkflowRun::wait_completed(&world.forge, &PULL_REQUEST, head, CI_LIMIT)?;
    ensure!(
        run.has_job(Conclusion::Cancelled),
        "a newer commit did not cancel the run of {}",
        short(head)
    );
    Ok(())
}

/// Checks that a second report restores the comment after a person has edited it, and adds no other.
fn comment_is_updated(world: &World, pull: &Pull, run: &WorkflowRun) -> Result<()> {
    let (forge, head) = (&world.forge, &pull.head.sha);
    let first = comment(world, pull.number, head)?;
    let edited = first.body.replace(short(head), "another commit");
    let path = format!("/issues/comments/{}", first.id);
    forge.execute("PATCH", &path, &json!({ "body": edited }))?;
    run.rerun_job(forge, "required", CI_LIMIT)?;
    let last = comment(world, pull.number, head)?;
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

/// Adds so much untested code that the service's coverage falls below the floor. It is in the program, which only the
/// service's tests read. The library is not compiled again.
fn untested(world: &World, clone: &Path) -> Result<()> {
    let function = |number: u32| {
        format!(
            "/// Not tested.\n#[allow(dead_code)]\nfn f{number}(n: u32) -> u32 {{\n    let n = n / 3;\n    let n = n ^ {number};\n    n / 7\n}}\n\n"
        )
    };
    let code: String = (0..200).map(function).collect();
    let before = "/// The commands.\n";
    world.edit(clone, "src/main.rs", before, &format!("{code}{before}"))
}
