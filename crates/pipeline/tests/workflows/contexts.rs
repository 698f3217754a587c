//! Which contexts an expression may use depends on its key
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#context-availability>).

use crate::finds;
use crate::model::Workflow;
use regex::Regex;
use std::sync::LazyLock;

const RUN: &[&str] = &["github", "inputs", "vars"];
const JOB: &[&str] = &["github", "needs", "strategy", "matrix", "vars", "inputs"];
const JOB_IF: &[&str] = &["github", "needs", "vars", "inputs"];
const JOB_ENV: &[&str] = &[
    "github", "needs", "strategy", "matrix", "vars", "secrets", "inputs",
];
/// Of a step's condition and the URL of an environment, which are shown: secrets are missing.
const STEP_IF: &[&str] = &[
    "github", "needs", "strategy", "matrix", "job", "runner", "env", "vars", "steps", "inputs",
];
const STEP: &[&str] = &[
    "github", "needs", "strategy", "matrix", "job", "runner", "env", "vars", "secrets", "steps",
    "inputs",
];

/// The contexts in a text: in all of a condition, otherwise in `${{ … }}`.
fn contexts(text: &str, is_condition: bool) -> Vec<String> {
    static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$\{\{(.*?)\}\}").unwrap());
    static STRING: LazyLock<Regex> = LazyLock::new(|| Regex::new("'[^']*'").unwrap());
    static CONTEXT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[^.\w])([a-z]+)[.\[]").unwrap());
    let found = EXPRESSION
        .captures_iter(text)
        .map(|found| found[1].to_owned());
    let mut expressions: Vec<String> = found.collect();
    if is_condition && expressions.is_empty() {
        expressions.push(text.to_owned());
    }
    let mut found = Vec::new();
    for expression in expressions {
        let expression = STRING.replace_all(&expression, "''").into_owned();
        found.extend(
            CONTEXT
                .captures_iter(&expression)
                .map(|found| found[1].to_owned()),
        );
    }
    found
}

fn availability(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |place: &str, text: &str, allowed: &[&str], is_condition: bool| {
        for context in contexts(text, is_condition) {
            if !allowed.contains(&context.as_str()) {
                problems.push(format!("{place} cannot use {context}"));
            }
        }
    };
    if let Some(concurrency) = &workflow.concurrency {
        check("concurrency", &concurrency.group, RUN, false);
        check("concurrency", &concurrency.cancel_in_progress.0, RUN, false);
    }
    for (id, job) in &workflow.jobs {
        for text in job
            .name
            .iter()
            .chain([&job.runs_on])
            .chain(job.environment.iter().map(|it| &it.name))
        {
            check(id, text, JOB, false);
        }
        for url in job.environment.iter().filter_map(|it| it.url.as_ref()) {
            check(id, url, STEP_IF, false);
        }
        for value in job.env.values() {
            check(id, &value.0, JOB_ENV, false);
        }
        if let Some(condition) = &job.condition {
            check(id, &condition.0, JOB_IF, true);
        }
        for step in &job.steps {
            if let Some(condition) = &step.condition {
                check(id, &condition.0, STEP_IF, true);
            }
            for text in step.texts().skip(step.condition.iter().count()) {
                check(id, text, STEP, false);
            }
        }
    }
    problems
}

#[test]
fn expressions_use_contexts_that_their_keys_have() {
    finds(
        "ci.yaml",
        availability,
        &[
            (
                "vars.NOTIFICATIONS == 'true'",
                "secrets.NOTIFY_SLACK_URL != ''",
            ),
            (
                "if: vars.DELIVERY_BOT_CLIENT_ID != ''",
                "if: secrets.DELIVERY_BOT_PRIVATE_KEY != ''",
            ),
            (
                "IMAGE_BUILDER: ${{ vars.IMAGE_BUILDER }}",
                "IMAGE_BUILDER: ${{ runner.os }}",
            ),
            (
                "group: ci-${{ github.ref }}",
                "group: ci-${{ needs.plan.outputs.jobs }}",
            ),
            (
                "name: ${{ needs.plan.outputs.environment }}",
                "name: ${{ env.ENVIRONMENT }}",
            ),
            (
                "url: ${{ needs.plan.outputs.url }}",
                "url: ${{ secrets.URL }}",
            ),
        ],
    );
    for (file, workflow) in crate::model::workflows() {
        assert_eq!(availability(&workflow), [""; 0], "{file}");
    }
}
