//! Whether a failure is found and reported: notifications, and the checks that no pull request needs.

use crate::finds;
use crate::model::{Job, Workflow};

/// The job `notify` knows how all other jobs ended, also those that failed. In `ci`, only `required` counts.
fn notifies(workflow: &Workflow) -> Vec<String> {
    let Some(notify) = workflow.jobs.get("notify") else {
        return vec!["nobody is told how a run ended".to_owned()];
    };
    let mut problems = Vec::new();
    let condition = notify.condition.as_ref().map_or("", |text| &text.0);
    if !condition.starts_with("always() && ") {
        problems.push("a failure skips the notification".to_owned());
    }
    let command = calls(notify).find(|run| run.starts_with("cargo pipeline notify"));
    let result = "--result \"$RESULT\"";
    let (needed, expected): (Vec<&str>, _) = match workflow.name.as_str() {
        "ci" => (
            vec!["required"],
            format!("cargo pipeline notify --job required {result}"),
        ),
        _ => (
            workflow.jobs.keys().map(String::as_str).collect(),
            format!("cargo pipeline notify {result}"),
        ),
    };
    if command != Some(expected.as_str()) {
        problems.push(format!("{command:?} compares other results"));
    }
    for job in needed.into_iter().filter(|job| *job != "notify") {
        if !notify.needs.iter().any(|need| need == job) {
            problems.push(format!("a failure of {job} is not reported"));
        }
    }
    problems
}

fn calls(job: &Job) -> impl Iterator<Item = &str> {
    job.steps.iter().filter_map(|step| step.run.as_deref())
}

#[test]
fn each_failure_is_reported() {
    let always = ("always() && vars.NOTIFICATIONS", "vars.NOTIFICATIONS");
    let missing = ("fuzz, ", "");
    finds("nightly.yaml", notifies, &[always, missing]);
    for (file, needs) in [
        ("release.yaml", "    needs: release\n"),
        ("promote.yaml", "    needs: promote\n"),
    ] {
        finds(file, notifies, &[always, (needs, "")]);
    }
    let faults = [
        ("needs: [plan, required]", "needs: [plan]"),
        (
            "if: always() && contains(fromJSON(needs.plan.outputs.jobs || '[]'), 'notify')",
            "if: contains(fromJSON(needs.plan.outputs.jobs || '[]'), 'notify')",
        ),
        ("notify --job required", "notify"),
    ];
    finds("ci.yaml", notifies, &faults);
}

/// The flake's checks, and the images of both builders. In `ci`, `plan` starts them only when a file changes that Nix reads.
fn nix(workflow: &Workflow) -> Vec<String> {
    let Some(job) = workflow.jobs.get("nix") else {
        return vec!["no job checks the flake".to_owned()];
    };
    let expected = [
        "cargo pipeline test --only nix",
        "nix flake check --print-build-logs",
        "cargo pipeline image --builder nix",
        "cargo pipeline image --reproduce",
        "cargo pipeline image --test",
        "cargo pipeline image --builder dockerfile",
        "cargo pipeline image --reproduce",
        "cargo pipeline image --test",
    ];
    let missing = !calls(job).eq(expected);
    Vec::from_iter(missing.then(|| "a check of Nix is missing".to_owned()))
}

#[test]
fn the_flake_is_checked_after_a_change_and_each_night() {
    let faults = [
        ("      - run: nix flake check --print-build-logs\n", ""),
        ("      - run: cargo pipeline image --builder nix\n", ""),
    ];
    for file in ["ci.yaml", "nightly.yaml"] {
        finds(file, nix, &faults);
    }
}
