//! The policy of this project: rules that no general linter knows.

use crate::project::tracked;
use anyhow::{Context, Result};
use devkit::yaml::Node;
use std::path::{Path, PathBuf};

/// The longest allowed script. Longer programs must be written in Rust.
const SCRIPT_LINES: usize = 20;

/// The violations of the policy, one sentence each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for file in tracked(root, &[".github/workflows/*"])? {
        let text = read(root, &file)?;
        violations.extend(
            workflow(&text)
                .with_context(|| file.display().to_string())?
                .into_iter()
                .map(|rule| format!("{}: {rule}", file.display())),
        );
    }
    for file in tracked(root, &[".github/*.yaml", ".github/*.yml"])? {
        let text = read(root, &file)?;
        violations.extend(
            pins(&text)
                .into_iter()
                .map(|rule| format!("{}: {rule}", file.display())),
        );
        let tree = Node::parse(&text).with_context(|| file.display().to_string())?;
        for (action, inputs) in used_actions(&tree) {
            let replacement = format!("crates/lab/actions/{action}/action.yml");
            let problem = match std::fs::read_to_string(root.join(&replacement)) {
                Err(_) => Some(format!(
                    "{action} has no replacement for the lab: add {replacement}"
                )),
                Ok(text) => missing_input(&text, &inputs)?
                    .map(|input| format!("{replacement} has no input `{input}`")),
            };
            violations.extend(problem.map(|problem| format!("{}: {problem}", file.display())));
        }
    }
    for file in scripts(root)? {
        let text = std::fs::read(root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let rule = length(&String::from_utf8_lossy(&text));
        violations.extend(rule.map(|rule| format!("{}: {rule}", file.display())));
    }
    for (place, script) in action_scripts(root)? {
        violations.extend(length(&script).map(|rule| format!("{place}: {rule}")));
    }
    Ok(violations)
}

fn read(root: &Path, file: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(file))
        .with_context(|| format!("cannot read {}", file.display()))
}

/// Jobs must name their permissions and have a timeout.
fn workflow(text: &str) -> Result<Vec<String>> {
    let tree = Node::parse(text)?;
    let mut violations = Vec::new();
    if tree.get("permissions") != Some(&Node::Map(Vec::new())) {
        violations.push("the top level must have `permissions: {}`".to_owned());
    }
    for (name, job) in tree.get("jobs").map(Node::entries).unwrap_or_default() {
        for key in ["timeout-minutes", "permissions"] {
            if job.get(key).is_none() {
                violations.push(format!("the job `{name}` has no `{key}`"));
            }
        }
    }
    if let Some(required) = tree.at("jobs.required")
        && !judges_all(required)
    {
        violations.push(format!(
            "the job `required` must run `cargo pipeline required` with NEEDS set to `{NEEDS}`"
        ));
    }
    Ok(violations)
}

/// The results of all needed jobs. `needs.*.result` is empty on Gitea and would hide failures.
const NEEDS: &str = "${{ toJSON(needs) }}";

/// Whether a job hands the results of all jobs that it needs to `cargo pipeline required`.
fn judges_all(job: &Node) -> bool {
    let steps = job.get("steps").map(Node::items).unwrap_or_default();
    steps.iter().any(|step| {
        step.get("run").and_then(Node::text) == Some("cargo pipeline required")
            && step.at("env.NEEDS").and_then(Node::text) == Some(NEEDS)
    })
}

/// Third-party actions must be pinned to a commit, with the version in a comment.
fn pins(text: &str) -> Vec<String> {
    let uses = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        Some(line.strip_prefix("uses:")?.trim().to_owned())
    };
    let pinned = |value: &String| {
        let (reference, comment) = value.split_once(" # ").unwrap_or((value, ""));
        let commit = reference
            .split_once('@')
            .is_some_and(|(_, commit)| devkit::git::is_commit(commit));
        let version = comment
            .strip_prefix('v')
            .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()));
        reference.starts_with("./") || (commit && version)
    };
    let loose = text.lines().filter_map(uses).filter(|value| !pinned(value));
    loose
        .map(|value| format!("`uses: {value}` must be `OWNER/NAME@<40-digit commit> # vVERSION`"))
        .collect()
}

/// The third-party actions that a workflow or an action uses, with the inputs that they get.
fn used_actions(tree: &Node) -> Vec<(String, Vec<String>)> {
    let jobs = tree.get("jobs").map(Node::entries).unwrap_or_default();
    let steps = jobs
        .iter()
        .filter_map(|(_, job)| job.get("steps"))
        .chain(tree.at("runs.steps"));
    let action = |step: &Node| {
        let (name, _) = step.get("uses")?.text()?.split_once('@')?;
        let inputs = step.get("with").map(Node::entries).unwrap_or_default();
        Some((
            name.to_owned(),
            inputs.iter().map(|(input, _)| input.clone()).collect(),
        ))
    };
    steps.flat_map(Node::items).filter_map(action).collect()
}

fn missing_input(action: &str, inputs: &[String]) -> Result<Option<String>> {
    let tree = Node::parse(action)?;
    let known = |input: &&String| {
        tree.get("inputs")
            .and_then(|inputs| inputs.get(input))
            .is_some()
    };
    Ok(inputs.iter().find(|input| !known(input)).cloned())
}

/// The scripts in git, by their names or by their first lines.
pub(crate) fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let is_script = |file: &PathBuf| {
        let start = || std::fs::read(root.join(file)).unwrap_or_default();
        let name = file.to_string_lossy();
        name.ends_with(".sh")
            || (!name.contains('.') || name.starts_with('.')) && is_shell(&start())
    };
    Ok(tracked(root, &["."])?
        .into_iter()
        .filter(is_script)
        .collect())
}

fn is_shell(file: &[u8]) -> bool {
    let first = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    first.starts_with("#!")
        && first
            .split(['/', ' '])
            .any(|word| matches!(word, "sh" | "bash" | "dash"))
}

/// The scripts in our own composite actions, each with its place.
pub(crate) fn action_scripts(root: &Path) -> Result<Vec<(String, String)>> {
    let mut scripts = Vec::new();
    for file in tracked(root, &["*/action.yml", "*/action.yaml"])? {
        let tree = Node::parse(&read(root, &file)?).with_context(|| file.display().to_string())?;
        for (number, step) in tree
            .at("runs.steps")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            if let Some(script) = step.get("run").and_then(Node::text) {
                scripts.push((
                    format!("{}, step {}", file.display(), number + 1),
                    script.to_owned(),
                ));
            }
        }
    }
    Ok(scripts)
}

fn length(script: &str) -> Option<String> {
    let lines = script.lines().count();
    (lines > SCRIPT_LINES).then(|| {
        format!("{lines} lines of shell, more than the {SCRIPT_LINES} allowed: write it in Rust")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn an_action_must_be_pinned_with_its_version() {
        for good in [
            format!("      - uses: a/b@{COMMIT} # v1.2.3"),
            format!("    uses: a/b@{COMMIT} # v1"),
            "- uses: ./.github/actions/setup".to_owned(),
            "run: echo uses: a/b@v1".to_owned(),
        ] {
            assert!(pins(&good).is_empty(), "{good}");
        }
        for bad in [
            "- uses: a/b@v1".to_owned(),
            "- uses: a/b".to_owned(),
            format!("- uses: a/b@{COMMIT}"),
            format!("- uses: a/b@{COMMIT} # latest"),
            "- uses: a/b@0123456 # v1".to_owned(),
        ] {
            assert_eq!(pins(&bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_workflow_has_few_permissions_and_a_timeout() {
        let good = "permissions: {}\njobs:\n  a:\n    permissions: {}\n    timeout-minutes: 5\n";
        assert!(workflow(good).unwrap().is_empty());
        let bad = "permissions: write-all\njobs:\n  a:\n    steps: []\n";
        assert_eq!(workflow(bad).unwrap().len(), 3);
    }

    #[test]
    fn the_required_job_judges_all_jobs_that_it_needs() {
        let workflow = |step: &str| {
            let text = format!(
                "permissions: {{}}\njobs:\n  required:\n    permissions: {{}}\n    timeout-minutes: 5\n    needs: [a, b]\n    steps:\n      - {step}\n"
            );
            super::workflow(&text).unwrap().len()
        };
        let env = "env: { NEEDS: '${{ toJSON(needs) }}' }";
        assert_eq!(
            workflow(&format!("run: cargo pipeline required\n        {env}")),
            0
        );
        assert_eq!(workflow("run: cargo pipeline required"), 1);
        assert_eq!(workflow(&format!("run: 'true'\n        {env}")), 1);
    }

    #[test]
    fn the_inputs_of_an_action_are_found_in_workflows_and_actions() {
        let step =
            format!("- uses: a/b@{COMMIT}\n  with:\n    x: 1\n    y: 2\n- run: z\n- uses: ./c\n");
        let workflow = format!(
            "jobs:\n  one:\n    steps:\n{}",
            step.replace("- ", "    - ")
                .replace("  with", "      with")
                .replace("    x", "        x")
                .replace("    y", "        y")
        );
        let expected = vec![("a/b".to_owned(), vec!["x".to_owned(), "y".to_owned()])];
        assert_eq!(used_actions(&Node::parse(&workflow).unwrap()), expected);
        let replacement = "inputs:\n  x:\n    default: 1\n";
        let inputs = ["x".to_owned(), "y".to_owned()];
        assert_eq!(missing_input(replacement, &inputs[..1]).unwrap(), None);
        assert_eq!(
            missing_input(replacement, &inputs).unwrap(),
            Some("y".to_owned())
        );
    }

    #[test]
    fn a_script_is_known_by_its_first_line() {
        for yes in ["#!/bin/sh\n", "#!/usr/bin/env bash\nx", "#!/bin/bash -eu\n"] {
            assert!(is_shell(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "sh\n",
            "#!/usr/bin/python3\n",
            "#!/usr/bin/fish\n",
            "x\n#!/bin/sh",
        ] {
            assert!(!is_shell(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn a_long_script_is_noticed() {
        assert!(length(&"x\n".repeat(20)).is_none());
        assert!(length(&"x\n".repeat(21)).is_some());
    }
}
