//! What the job's token may do. A job has exactly the permissions that its steps need: with fewer GitHub answers 403, and
//! more would help whoever takes over a step.

use crate::finds;
use crate::model::{Access, Permissions, Step, Workflow};

/// The permissions that an action needs, by its documentation. `upload-sarif` reads the run, which only private
/// repositories protect (github/codeql-action, README, "Workflow permissions").
const ACTIONS: [(&str, &[(&str, Access)]); 7] = [
    ("actions/checkout", &[("contents", Access::Read)]),
    (
        "actions/attest",
        &[("id-token", Access::Write), ("attestations", Access::Write)],
    ),
    (
        "actions/dependency-review-action",
        &[("contents", Access::Read)],
    ),
    (
        "github/codeql-action/init",
        &[("contents", Access::Read), ("actions", Access::Read)],
    ),
    (
        "github/codeql-action/analyze",
        &[
            ("security-events", Access::Write),
            ("actions", Access::Read),
        ],
    ),
    (
        "github/codeql-action/upload-sarif",
        &[
            ("security-events", Access::Write),
            ("actions", Access::Read),
        ],
    ),
    ("ossf/scorecard-action", &[("id-token", Access::Write)]),
];

/// The permissions that a command needs: of the REST API
/// (<https://docs.github.com/en/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens>), of the
/// registry, and of the workflow's identity. The bot has a token of its own.
const COMMANDS: [(&str, &[(&str, Access)]); 13] = [
    (
        "plan",
        &[("actions", Access::Read), ("pull-requests", Access::Read)],
    ),
    ("notify", &[("actions", Access::Read)]),
    ("publish", &[("packages", Access::Write)]),
    (
        "sign",
        &[("packages", Access::Write), ("id-token", Access::Write)],
    ),
    // It signs the chart.
    (
        "chart",
        &[("packages", Access::Write), ("id-token", Access::Write)],
    ),
    ("deploy", &[("packages", Access::Read)]),
    // The signature, and the reports of health.
    (
        "promote",
        &[("packages", Access::Read), ("statuses", Access::Read)],
    ),
    ("rollback", &[("packages", Access::Read)]),
    ("rescan", &[("packages", Access::Read)]),
    // GitHub lets a job delete what its repository has published.
    ("prune", &[("packages", Access::Write)]),
    ("release", &[("contents", Access::Write)]),
    ("comment", &[("statuses", Access::Write)]),
    // The signatures, and the reports of health.
    (
        "verify",
        &[("packages", Access::Read), ("statuses", Access::Read)],
    ),
];

fn needed(workflow: &Workflow, step: &Step) -> Permissions {
    let mut needed = Permissions::new();
    let mut add = |scopes: &[(&str, Access)]| {
        for (scope, access) in scopes {
            let known = needed.entry((*scope).to_owned()).or_insert(*access);
            *known = (*known).max(*access);
        }
    };
    for (action, scopes) in ACTIONS {
        if step.action() == Some(action) {
            add(scopes);
        }
    }
    for (command, scopes) in COMMANDS {
        if step.commands().contains(&command) {
            add(scopes);
        }
    }
    // The artifact of another run.
    if step.with.contains_key("run-id") {
        add(&[("actions", Access::Read)]);
    }
    // Beside a commit's status, the comment itself. On Gitea, comments belong to issues.
    if workflow.on.contains_key("workflow_run") && step.commands().contains(&"comment") {
        add(&[("pull-requests", Access::Write), ("issues", Access::Write)]);
    }
    needed
}

fn permissions(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        let mut needed_by_job = Permissions::new();
        for (scope, access) in job.steps.iter().flat_map(|step| needed(workflow, step)) {
            let known = needed_by_job.entry(scope).or_insert(access);
            *known = (*known).max(access);
        }
        if job.permissions != needed_by_job {
            problems.push(format!(
                "{id} has {:?}, and needs {needed_by_job:?}",
                job.permissions
            ));
        }
    }
    problems
}

/// Without a licence, a private repository has no code scanning: these actions would fail in each run. Scorecard runs in
/// public repositories only, which all have it.
fn code_scanning(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        let scans = |step: &Step| {
            let action = step.action().unwrap_or_default();
            action.starts_with("github/codeql-action/")
        };
        let condition = job.condition.as_ref().map_or("", |text| &text.0);
        let switch = match workflow.name.as_str() {
            "scorecard" => " && !github.event.repository.private",
            _ => " && vars.CODE_SCANNING != 'false'",
        };
        if job.steps.iter().any(scans) && !condition.ends_with(switch) {
            problems.push(format!("{id} fails where there is no code scanning"));
        }
    }
    problems
}

#[test]
fn a_variable_switches_code_scanning_off() {
    let faults = [
        (" && vars.CODE_SCANNING != 'false'", ""),
        (
            " && vars.CODE_SCANNING != 'false'",
            " || vars.CODE_SCANNING != 'false'",
        ),
    ];
    for file in ["ci.yaml", "codeql.yaml"] {
        finds(file, code_scanning, &faults);
    }
    let private = [(" && !github.event.repository.private", "")];
    finds("scorecard.yaml", code_scanning, &private);
    for (file, workflow) in crate::model::workflows() {
        assert_eq!(code_scanning(&workflow), [""; 0], "{file}");
    }
}

#[test]
fn each_job_has_the_permissions_that_its_steps_need() {
    for (file, lines) in [
        (
            "ci.yaml",
            &[
                "      pull-requests: read # whether a pushed branch has one\n",
                "      packages: write # the image\n",
                "      id-token: write # the workflow's identity, which signs\n",
                "      attestations: write # for `gh attestation verify`\n",
                "      statuses: write # the coverage of the commit\n",
                "      actions: read # a private repository's run, which the upload names\n",
                "      actions: read # the result of the previous run\n",
            ][..],
        ),
        (
            "codeql.yaml",
            &["      actions: read # a private repository's run, which the upload names\n"],
        ),
        (
            "coverage.yaml",
            &["      actions: read # the artifact of the other run\n"],
        ),
        (
            "nightly.yaml",
            &[
                "      packages: read # the images\n",
                "      packages: write # deleting images\n",
            ],
        ),
        (
            "promote.yaml",
            &["      packages: read # the image's signature\n"],
        ),
        (
            "rollback.yaml",
            &["      packages: read # the image's signature\n"],
        ),
        ("release.yaml", &["      packages: write # the tags\n"]),
        (
            "scorecard.yaml",
            &["      id-token: write # publishing the results\n"],
        ),
        ("dependency-review.yaml", &[]),
    ] {
        let more = (
            "    permissions:\n",
            "    permissions:\n      deployments: write\n",
        );
        let without = lines.iter().map(|line| (*line, ""));
        let faults: Vec<_> = without.chain([more]).collect();
        finds(file, permissions, &faults);
    }
}
