//! Artifacts belong to one run, and a name is written once
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax>, actions/upload-artifact, README).

use crate::finds;
use crate::model::{Job, Step, Workflow, workflow};
use std::collections::BTreeSet;

/// The names of an artifact in a step of these actions, one for each value of the matrix.
fn names(job: &Job, step: &Step) -> Vec<String> {
    let name = step.with["name"].0.as_str();
    let matrix = job.strategy.iter().flat_map(|strategy| &strategy.matrix);
    for (key, values) in matrix {
        let expression = format!("${{{{ matrix.{key} }}}}");
        if name.contains(&expression) {
            return values
                .iter()
                .map(|value| name.replace(&expression, value))
                .collect();
        }
    }
    vec![name.to_owned()]
}

fn steps<'a>(workflow: &'a Workflow, action: &str) -> Vec<(&'a str, &'a Job, &'a Step)> {
    let jobs = workflow.jobs.iter();
    let steps =
        jobs.flat_map(|(id, job)| job.steps.iter().map(move |step| (id.as_str(), job, step)));
    steps
        .filter(|(_, _, step)| step.action() == Some(action))
        .collect()
}

/// The artifacts of a run, with the jobs that upload them.
fn uploads(workflow: &Workflow) -> Vec<(String, &str)> {
    let uploads = steps(workflow, "actions/upload-artifact").into_iter();
    uploads
        .flat_map(|(id, job, step)| names(job, step).into_iter().map(move |name| (name, id)))
        .collect()
}

fn artifacts(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    let uploads = uploads(workflow);
    let mut seen = BTreeSet::new();
    for (name, id) in &uploads {
        if !seen.insert(name) {
            problems.push(format!("{id} uploads {name}, which exists already"));
        }
    }
    for (id, job, step) in steps(workflow, "actions/download-artifact") {
        let before = workflow.before(id);
        for name in names(job, step) {
            let here = uploads
                .iter()
                .any(|(known, by)| *known == name && before.contains(by));
            if !step.with.contains_key("run-id") && !here {
                problems.push(format!(
                    "{id} downloads {name}, which no job before it uploads"
                ));
            }
        }
    }
    problems
}

#[test]
fn an_artifact_is_uploaded_by_an_earlier_job_of_the_run() {
    finds(
        "ci.yaml",
        artifacts,
        &[
            ("name: sarif-image\n", "name: sarif-source\n"),
            ("name: sarif-source\n", "name: sarif-code\n"),
            (
                "needs: [plan, lint, unit, integration, security, image, image-arm64]",
                "needs: [plan, unit]",
            ),
            ("security, image, image-arm64]", "security, image]"),
            ("name: image-arm64\n", "name: image\n"),
            ("needs: [plan, security, image]", "needs: [plan, image]"),
        ],
    );
}

/// The image of the other platform is added to the first one before anything is published.
fn platforms(workflow: &Workflow) -> Vec<String> {
    let steps = &workflow.jobs["deliver"].steps;
    let position = |is: &dyn Fn(&Step) -> bool| steps.iter().position(is);
    let downloads = position(&|step| {
        step.action() == Some("actions/download-artifact")
            && step.with["name"].0 == "image-arm64"
            && step.with["path"].0 == "target/image-arm64"
    });
    let adds = position(&|step| {
        step.run.as_deref() == Some("cargo pipeline image --add target/image-arm64")
    });
    let publishes = position(&|step| step.commands().contains(&"publish"));
    let (Some(downloads), Some(adds), Some(publishes)) = (downloads, adds, publishes) else {
        return vec!["the image of the other platform is not published".to_owned()];
    };
    let mut problems = Vec::new();
    if !(downloads < adds && adds < publishes) {
        problems.push("the index is made too early or too late".to_owned());
    }
    let planned = "contains(fromJSON(needs.plan.outputs.jobs), 'image-arm64')";
    for step in [&steps[downloads], &steps[adds]] {
        if step.condition.as_ref().is_none_or(|text| text.0 != planned) {
            problems.push("there may be no image of the other platform".to_owned());
        }
    }
    problems
}

#[test]
fn the_images_of_all_platforms_are_published_as_one() {
    let planned = "      - if: contains(fromJSON(needs.plan.outputs.jobs), 'image-arm64')\n";
    let add = "        run: cargo pipeline image --add target/image-arm64\n";
    let step = format!("{planned}{add}");
    let publish = "      - id: publish\n        run: cargo pipeline publish\n";
    let late = format!("{publish}{step}");
    let in_order = format!("{step}{publish}");
    let always = add.replacen("        ", "      - ", 1);
    let faults = [
        (step.as_str(), ""),
        (&in_order, &late),
        (&step, &always),
        (
            "          path: target/image-arm64\n",
            "          path: target/image\n",
        ),
    ];
    finds("ci.yaml", platforms, &faults);
}

/// The artifact of another run needs that run's number and a token. The other workflow is known by its name.
fn foreign(of: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    let ci = workflow("ci.yaml");
    let watched = of
        .filter("workflow_run")
        .map(|filter| filter.workflows.clone());
    if watched.is_some_and(|names| names != [ci.name.as_str()]) {
        problems.push("it waits for a workflow that does not exist".to_owned());
    }
    let known: Vec<String> = uploads(&ci).into_iter().map(|(name, _)| name).collect();
    for (id, job, step) in steps(of, "actions/download-artifact") {
        let has = |input: &str| step.with.contains_key(input);
        if !has("run-id") || !has("github-token") {
            problems.push(format!("{id} looks for the artifact in its own run"));
        }
        for name in names(job, step).iter().filter(|name| !known.contains(name)) {
            problems.push(format!("{id}: ci uploads no {name}"));
        }
    }
    problems
}

#[test]
fn the_comment_takes_the_coverage_from_the_run_of_ci() {
    finds(
        "coverage.yaml",
        foreign,
        &[
            ("workflows: [ci]", "workflows: [ci.yaml]"),
            (
                "          run-id: ${{ github.event.workflow_run.id }}\n",
                "",
            ),
            ("          github-token: ${{ github.token }}\n", ""),
            (
                "name: coverage\n          path",
                "name: report\n          path",
            ),
        ],
    );
}

/// A group has one running and one waiting run; a newer one replaces the one that waits
/// (<https://docs.github.com/en/actions/how-tos/write-workflows/choose-when-workflows-run/control-workflow-concurrency>).
fn concurrency(workflow: &Workflow) -> Vec<String> {
    let Some(concurrency) = &workflow.concurrency else {
        return vec!["two runs may overlap".to_owned()];
    };
    let group = &concurrency.group;
    let mut problems = Vec::new();
    let cancels = concurrency.cancel_in_progress.0 != "false";
    if cancels && !group.contains("${{ github.ref }}") {
        problems.push("a run cancels those of other branches".to_owned());
    }
    let delivers = workflow.jobs.contains_key("deliver");
    if delivers && !group.contains("&& github.sha ||") {
        problems
            .push("a commit that waits is replaced by the next, and never delivered".to_owned());
    }
    let proposes = ["promote", "rollback", "release"];
    if proposes.iter().any(|job| workflow.jobs.contains_key(*job)) && cancels {
        problems.push("a run is cancelled in the middle of its pushes".to_owned());
    }
    problems
}

#[test]
fn no_run_cancels_or_replaces_one_that_must_end() {
    let cancel = ("cancel-in-progress: false", "cancel-in-progress: true");
    let faults = [
        ("&& github.sha ||", "&& 'all' ||"),
        (
            "group: ci-${{ github.ref }}",
            "group: ci-${{ github.event_name }}",
        ),
    ];
    finds("ci.yaml", concurrency, &faults);
    for file in ["promote.yaml", "rollback.yaml", "release.yaml"] {
        finds(file, concurrency, &[cancel]);
    }
    let review = ("dependency-review-${{ github.ref }}", "dependency-review");
    finds("dependency-review.yaml", concurrency, &[review]);
}
