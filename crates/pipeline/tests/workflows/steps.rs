//! The steps that decide what a job proves or publishes. Without one of them, the job would still be green.

use crate::finds;
use crate::model::{Step, Workflow};

/// What the steps of some jobs do, in this order.
const STEPS: [(&str, &str, &[&str]); 11] = [
    (
        "ci",
        "lint",
        &[
            "cargo pipeline lint",
            "cargo pipeline quality",
            // The gate: an image that a person writes into a values file is refused.
            "cargo pipeline verify --changed",
        ],
    ),
    ("ci", "security", &["cargo pipeline security"]),
    ("ci", "unit", &["cargo pipeline coverage"]),
    (
        "ci",
        "integration",
        &["cargo pipeline test --only integration"],
    ),
    (
        "ci",
        "image",
        &["cargo pipeline image", "cargo pipeline scan"],
    ),
    (
        "ci",
        "image-arm64",
        &["cargo pipeline image", "cargo pipeline scan"],
    ),
    (
        "ci",
        "deliver",
        &[
            "cargo pipeline publish",
            "cargo pipeline sign",
            "actions/attest",
            "cargo pipeline deploy",
        ],
    ),
    ("ci", "retag", &["cargo pipeline publish"]),
    (
        "release",
        "release",
        &[
            "cargo pipeline release --dry-run",
            "cargo pipeline publish",
            "cargo pipeline chart push",
            "cargo pipeline release",
            "cargo pipeline promote --version",
        ],
    ),
    ("nightly", "running", &["cargo pipeline rescan"]),
    // The arguments of the command come from standard input.
    ("nightly", "prune", &["xargs cargo pipeline prune"]),
];

/// Steps with a condition: what GitHub offers, and that a prerelease does not go to production.
const CONDITIONAL: [&str; 2] = ["actions/attest", "cargo pipeline promote --version"];

/// Whether a step does something in every run, and the job fails with it.
fn does(step: &Step, what: &str) -> bool {
    let always = step.condition.is_none() || CONDITIONAL.contains(&what);
    let calls = step.run.as_deref().is_some_and(|run| run.contains(what));
    always && !step.continue_on_error && (calls || step.action() == Some(what))
}

fn steps(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (_, job, wanted) in STEPS.iter().filter(|(name, ..)| *name == workflow.name) {
        let mut steps = workflow.jobs[*job].steps.iter();
        for what in *wanted {
            if !steps.any(|step| does(step, what)) {
                problems.push(format!(
                    "{job} does not call `{what}` in its place, or may go on without it"
                ));
                break;
            }
        }
    }
    problems
}

#[test]
fn each_job_does_what_it_is_required_for() {
    let gate = "      - run: cargo pipeline verify --changed\n";
    let tolerant = format!("{gate}        continue-on-error: true\n");
    let conditional = gate.replace("- run", "- if: github.event_name == 'push'\n        run");
    let faults = [
        // One image instead of those of the change.
        ("verify --changed", "verify"),
        (gate, tolerant.as_str()),
        (gate, &conditional),
        ("run: cargo pipeline quality ", "run: cargo pipeline lint "),
        ("run: cargo pipeline scan\n", "run: cargo pipeline tags\n"),
        ("run: cargo pipeline sign ", "run: echo "),
        ("uses: actions/attest@", "uses: actions/checkout@"),
    ];
    finds("ci.yaml", steps, &faults);
    let faults = [
        (
            "run: cargo pipeline release --dry-run\n",
            "run: cargo pipeline tags\n",
        ),
        (
            "run: cargo pipeline chart push\n",
            "run: cargo pipeline tags\n",
        ),
    ];
    finds("release.yaml", steps, &faults);
    let faults = [
        ("run: cargo pipeline rescan\n", "run: cargo pipeline tags\n"),
        (" | xargs cargo pipeline prune", ""),
    ];
    finds("nightly.yaml", steps, &faults);
}
