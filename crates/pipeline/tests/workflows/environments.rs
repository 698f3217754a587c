//! Environments and the bot's key. GitHub gives the secrets of an environment only to jobs that name it
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/deployments-and-environments>).

use crate::finds;
use crate::model::{Job, Workflow, root};
use devkit::delivery::Delivery;

/// The secrets that an environment keeps.
const KEY: &str = "secrets.DELIVERY_BOT_";

/// The names that an environment may have in a workflow: an expression whose values are environments, or one of them.
fn is_environment(name: &str) -> bool {
    let expressions = [
        "${{ needs.plan.outputs.environment }}",
        "${{ inputs.environment }}",
    ];
    let delivery = Delivery::load(&root()).unwrap();
    expressions.contains(&name)
        || delivery
            .environments()
            .iter()
            .any(|environment| environment.name == name)
}

/// The bot's key is used in environments only, and only a job that deploys is recorded as a deployment.
fn environments(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        let uses_key = job.texts().any(|text| text.contains(KEY));
        let Some(environment) = &job.environment else {
            if uses_key {
                problems.push(format!("{id} uses the bot's key outside of an environment"));
            }
            continue;
        };
        if !is_environment(&environment.name) {
            problems.push(format!("{id}: {} is no environment", environment.name));
        }
        let deploys = calls(job, "deploy");
        if environment.deployment.unwrap_or(true) != deploys {
            problems.push(format!("{id}: a deployment is recorded or missing wrongly"));
        }
        // GitHub shows the URL with a deployment. Another job's output is the only way from delivery.toml to this key.
        let url = deploys.then_some("${{ needs.plan.outputs.url }}");
        if environment.url.as_deref() != url {
            problems.push(format!(
                "{id}: the URL is {:?}, not {url:?}",
                environment.url
            ));
        }
    }
    problems
}

fn calls(job: &Job, command: &str) -> bool {
    job.steps
        .iter()
        .any(|step| step.commands().contains(&command))
}

#[test]
fn the_key_of_the_bot_belongs_to_environments() {
    let (name, input) = (
        "    environment:\n      name: ${{ needs.plan.outputs.environment }}\n      url: ${{ needs.plan.outputs.url }}\n",
        "    environment:\n      name: ${{ inputs.environment }}\n      deployment: false\n",
    );
    let url = "      url: ${{ needs.plan.outputs.url }}\n";
    finds("ci.yaml", environments, &[(name, ""), (url, "")]);
    for file in ["promote.yaml", "rollback.yaml"] {
        let faults = [(input, ""), ("      deployment: false\n", "")];
        finds(file, environments, &faults);
    }
    let release = "    environment:\n      name: prod\n      deployment: false\n";
    let faults = [(release, ""), ("name: prod\n", "name: production\n")];
    finds("release.yaml", environments, &faults);
}

/// What the bot's token may do. GitHub refuses a push with changed workflows unless the token may write workflows
/// (<https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>).
fn tokens(workflow: &Workflow) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        let steps = job.steps.iter();
        for step in steps.filter(|s| s.action() == Some("actions/create-github-app-token")) {
            if step.with.contains_key("app-id") || !step.with.contains_key("client-id") {
                problems.push(format!("{id}: `app-id` is deprecated for `client-id`"));
            }
            // A token without such inputs has all permissions of the App.
            let mut asked: Vec<&str> = step.with.keys().map(String::as_str).collect();
            asked.retain(|input| input.starts_with("permission-"));
            let mut needed = vec!["permission-contents"];
            // These propose a pull request, and a promotion merges commits.
            if calls(job, "promote") || calls(job, "rollback") {
                needed.push("permission-pull-requests");
            }
            if calls(job, "promote") {
                needed.push("permission-workflows");
            }
            if asked != needed {
                problems.push(format!(
                    "{id}: the token has {asked:?}, and needs {needed:?}"
                ));
            }
        }
    }
    problems
}

#[test]
fn the_token_of_the_bot_may_do_what_the_job_needs() {
    let line = |name: &str| format!("          permission-{name}: write");
    let workflows = format!(
        "{} # the commits that it merges may change workflows\n",
        line("workflows")
    );
    for file in ["promote.yaml", "release.yaml"] {
        finds(file, tokens, &[(&workflows, ""), ("client-id:", "app-id:")]);
    }
    let contents = format!("{}\n", line("contents"));
    for file in ["ci.yaml", "rollback.yaml"] {
        let more = format!("{contents}{workflows}");
        finds(file, tokens, &[(&contents, ""), (&contents, &more)]);
    }
}
