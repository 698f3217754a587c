//! Which events start a workflow, and which checks a commit gets.

use crate::finds;
use crate::model::{Job, Workflow, files, read, root, text};

/// The events that GitHub reports a check for on the head of a pull request.
const GATED: [&str; 2] = ["pull_request", "merge_group"];

/// The name of a job's check for an event. The expression of the one name that has one is understood.
fn check_name(id: &str, job: &Job, event: &str) -> String {
    let Some(name) = &job.name else {
        return id.to_owned();
    };
    let matrix = job.strategy.as_ref().map(|strategy| &strategy.matrix);
    let check = matrix.and_then(|matrix| matrix.get("check"));
    match name.as_str() {
        "${{ github.event_name == 'push' && 'required (push)' || matrix.check }}" => match event {
            "push" => "required (push)".to_owned(),
            // Gitea evaluates an expression in the name of a job only if the job has a matrix.
            _ => check.map_or_else(|| name.clone(), |values| values[0].clone()),
        },
        name => name.to_owned(),
    }
}

/// C1: every push and every pull request starts the workflow, and the check that protection requires has one meaning.
fn triggers(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    let pushes = workflow.filter("push").map(|filter| &filter.branches);
    // A merge queue pushes its branches too, and `merge_group` checks these.
    if pushes.is_none_or(|branches| branches != &["**", "!gh-readonly-queue/**"]) {
        problems.push("not every push to a branch is checked, or a merge queue's twice".to_owned());
    }
    for event in GATED {
        if !workflow.on.contains_key(event) {
            problems.push(format!("no check of {event}"));
        }
        let names: Vec<String> = checks(workflow, event);
        if names.iter().filter(|name| *name == "required").count() != 1 {
            problems.push(format!("{event} has no check `required`, or two"));
        }
    }
    // A pushed commit may be the head of a pull request. The run of the push may have planned nothing.
    if checks(workflow, "push").contains(&"required".to_owned()) {
        problems.push("a push reports the check that a pull request must pass".to_owned());
    }
    problems
}

fn checks(workflow: &Workflow, event: &str) -> Vec<String> {
    let jobs = workflow.jobs.iter();
    jobs.map(|(id, job)| check_name(id, job, event)).collect()
}

/// The jobs that `required` judges.
const REQUIRED: [&str; 9] = [
    "plan",
    "lint",
    "security",
    "unit",
    "integration",
    "image",
    "image-arm64",
    "deliver",
    "retag",
];

/// No required job is left out of the check, and no optional one, such as the slow `nix`, is in it.
fn required_jobs(workflow: &Workflow) -> Vec<String> {
    let needs = &workflow.jobs["required"].needs;
    let missing = REQUIRED
        .iter()
        .filter(|job| !needs.iter().any(|it| it == *job));
    let missing = missing.map(|job| format!("`required` does not judge {job}"));
    let more = needs.iter().filter(|job| !REQUIRED.contains(&job.as_str()));
    let more = more.map(|job| format!("`required` waits for {job}"));
    missing.chain(more).collect()
}

/// A job that judges the jobs before it, and is itself planned, names itself: it cannot need itself.
fn judges(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        let own = match id.as_str() {
            "required" => String::new(),
            id => format!(" --job {id}"),
        };
        let calls = job.steps.iter().filter_map(|step| step.run.as_deref());
        let mut calls = calls.filter(|run| run.starts_with("cargo pipeline required"));
        if calls.any(|run| run != format!("cargo pipeline required{own}")) {
            problems.push(format!("{id} judges other jobs than those before it"));
        }
    }
    problems
}

#[test]
fn a_job_does_not_wait_for_itself() {
    let faults = [
        ("required --job deliver", "required"),
        (
            "run: cargo pipeline required\n",
            "run: cargo pipeline required --job lint\n",
        ),
    ];
    finds("ci.yaml", judges, &faults);
}

#[test]
fn the_required_check_judges_exactly_the_required_jobs() {
    let list = format!("needs: [{}]", REQUIRED.join(", "));
    let optional = ["nix", "sarif", "notify"].map(|job| list.replace(']', &format!(", {job}]")));
    let missing = REQUIRED.map(|job| {
        let others = REQUIRED.iter().filter(|other| **other != job);
        let others: Vec<&str> = others.copied().collect();
        format!("needs: [{}]", others.join(", "))
    });
    let lists = optional.iter().chain(&missing);
    let faults: Vec<_> = lists.map(|wrong| (list.as_str(), wrong.as_str())).collect();
    finds("ci.yaml", required_jobs, &faults);
}

/// A write-back changes one values file.
fn ignores_write_backs(workflow: &Workflow) -> Vec<String> {
    let filter = workflow.filter("push");
    let ignored = filter.is_some_and(|filter| filter.paths_ignore == ["charts/*/values-*.yaml"]);
    let problem = "each write-back is analysed".to_owned();
    Vec::from_iter((!ignored).then_some(problem))
}

#[test]
fn codeql_leaves_out_write_backs() {
    let line = r#"    paths-ignore: ["charts/*/values-*.yaml"]"#;
    finds("codeql.yaml", ignores_write_backs, &[(line, "")]);
}

/// Inside a forked repository, `head.repo.fork` is true for every pull request.
#[test]
fn forks_are_told_by_their_full_names() {
    for file in files() {
        assert!(!text(&file).contains(".fork"), "{file}");
    }
}

/// Gitea gives a job to a runner before it looks at the condition. A job whose label no runner has would wait for ever.
const ARM64: &str =
    "${{ github.server_url == 'https://github.com' && 'ubuntu-24.04-arm' || 'ubuntu-24.04' }}";

/// `ubuntu-latest` moves to another release of Ubuntu, and with it Buildah and PostgreSQL.
fn runner_images(workflow: &Workflow) -> Vec<String> {
    let jobs = workflow.jobs.iter();
    let expected = |id: &str| match id {
        "image-arm64" => ARM64,
        _ => "ubuntu-24.04",
    };
    jobs.filter(|(id, job)| job.runs_on != expected(id))
        .map(|(id, job)| format!("{id} runs on {}", job.runs_on))
        .collect()
}

#[test]
fn each_job_names_the_release_of_its_runner_image() {
    for file in files() {
        let faults = [("runs-on: ubuntu-24.04", "runs-on: ubuntu-latest")];
        finds(&file, runner_images, &faults);
    }
    let emulated = (ARM64, "ubuntu-24.04");
    let never_on_gitea = (ARM64, "ubuntu-24.04-arm");
    finds("ci.yaml", runner_images, &[emulated, never_on_gitea]);
}

/// Programs that a runner image brings in its own version must not hide the pinned ones.
#[test]
fn on_github_the_pinned_tools_are_installed() {
    let action = root().join(".github/actions/setup/action.yml");
    let action = read(&action);
    let pinned = "${{ github.server_url == 'https://github.com' && '--pinned' || '' }}";
    assert!(action.contains(&format!("PINNED: {pinned}")));
    assert!(action.contains(r#"echo "$PINNED $STEPS" | xargs cargo pipeline tools"#));
}

#[test]
fn each_commit_is_checked_and_has_one_check_called_required() {
    finds(
        "ci.yaml",
        triggers,
        &[
            (r#"["**", "!gh"#, r#"["develop", "!gh"#),
            (r#", "!gh-readonly-queue/**""#, ""),
            ("  pull_request:\n", ""),
            ("  merge_group:\n", ""),
            (
                "    name: ${{ github.event_name == 'push' && 'required (push)' || matrix.check }}\n",
                "",
            ),
            ("        check: [required]\n", "        other: [required]\n"),
        ],
    );
}

/// A pull request that adds a dependency with a severe vulnerability fails.
fn reviews(workflow: &Workflow) -> Vec<String> {
    let mut steps = workflow.jobs.values().flat_map(|job| &job.steps);
    let reviews = steps.any(|step| {
        let severity = step.with.get("fail-on-severity");
        step.action() == Some("actions/dependency-review-action")
            && severity.is_some_and(|severity| severity.0 == "high")
    });
    let always = workflow.on.contains_key("pull_request") && reviews;
    Vec::from_iter((!always).then(|| "no dependency is reviewed".to_owned()))
}

#[test]
fn the_dependencies_of_a_pull_request_are_reviewed() {
    let faults = [
        ("  pull_request:\n", "  push:\n"),
        ("actions/dependency-review-action@", "actions/checkout@"),
        ("severity: high", "severity: critical"),
    ];
    finds("dependency-review.yaml", reviews, &faults);
}
