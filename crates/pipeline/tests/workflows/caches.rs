//! What a hosted runner keeps between runs: nothing but caches. A key that exists is never written again
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching>).

use crate::finds;
use crate::model::{Action, Job, Step, Workflow, read, root};
use std::collections::BTreeSet;

/// Where Buildah keeps the contents of `--mount=type=cache`: containers/buildah, `CacheParent` in
/// internal/volumes/volumes.go.
const CACHE_MOUNTS: &str = "/var/tmp/buildah-cache-*";

/// What decides about the dependencies in the image.
const INPUTS: [&str; 3] = ["Cargo.lock", "Dockerfile", "rust-toolchain.toml"];

/// The jobs that build the image, each on runners of its platform.
const IMAGES: [&str; 2] = ["image", "image-arm64"];

/// A job that builds the image with the Dockerfile restores what earlier builds compiled, for the same platform.
fn image_caches(workflow: &Workflow) -> Vec<String> {
    IMAGES
        .iter()
        .flat_map(|job| image_cache(&workflow.jobs[*job]))
        .collect()
}

fn image_cache(job: &Job) -> Vec<String> {
    let mut problems = Vec::new();
    let steps = &job.steps;
    let build = steps
        .iter()
        .position(|step| step.commands().contains(&"image"));
    let cache = steps.iter().position(|step| {
        let path = step.with.get("path");
        step.action() == Some("actions/cache") && path.is_some_and(|path| path.0 == CACHE_MOUNTS)
    });
    let Some(cache) = cache.filter(|cache| Some(*cache) < build) else {
        return vec!["the build finds no cache".to_owned()];
    };
    let key = &steps[cache].with["key"].0;
    for input in INPUTS {
        if !key.contains(&format!("'{input}'")) {
            problems.push(format!("a change of {input} is not saved"));
        }
    }
    for input in ["key", "restore-keys"] {
        if !steps[cache].with[input].0.contains("${{ runner.arch }}") {
            problems.push(format!("the {input} is the same on all platforms"));
        }
    }
    problems
}

#[test]
fn the_image_build_finds_what_earlier_builds_compiled() {
    let faults = [
        ("path: /var/tmp/buildah-cache-*", "path: /tmp"),
        ("hashFiles('Cargo.lock', ", "hashFiles("),
        ("'Dockerfile', ", ""),
        (", 'rust-toolchain.toml')", ")"),
        ("image-${{ runner.os }}-${{ runner.arch }}-", "image-"),
    ];
    finds("ci.yaml", image_caches, &faults);
}

/// What decides which tools are installed, below crates/devkit.
const PINS: [&str; 4] = ["tools", "npm", "python", "src/tools/table.rs"];

/// Tools are built from source. Each job restores those of its own steps, as long as their pins do not change.
fn tool_cache(action: &Action) -> Vec<String> {
    let steps = &action.runs.steps;
    let run = |step: &Step, text: &str| step.run.as_ref().is_some_and(|run| run.contains(text));
    let install = steps
        .iter()
        .position(|step| run(step, "xargs cargo pipeline tools"));
    let cache = steps.iter().position(|step| {
        let path = step.with.get("path");
        let tools = path.is_some_and(|path| path.0 == "~/.cache/delivery/tools");
        step.action() == Some("actions/cache") && tools
    });
    let pins = steps
        .iter()
        .position(|step| step.id.as_deref() == Some("pins"));
    let (Some(install), Some(cache), Some(pins)) = (install, cache, pins) else {
        return vec!["every run builds all tools".to_owned()];
    };
    let mut problems = Vec::new();
    if !(pins < cache && cache < install) {
        problems.push("the steps are in the wrong order".to_owned());
    }
    let key = &steps[cache].with["key"].0;
    for (expression, lost) in [
        ("runner.arch", "programs of another platform are restored"),
        (
            "inputs.steps",
            "the tools of the job that ends first are kept",
        ),
        ("steps.pins.outputs.trees", "a new version is not saved"),
    ] {
        if !key.contains(&format!("${{{{ {expression} }}}}")) {
            problems.push(lost.to_owned());
        }
    }
    let listed = format!("HEAD:crates/devkit/{{{}}}", PINS.join(","));
    if !run(&steps[pins], &listed) {
        problems.push("a pin does not change the key".to_owned());
    }
    problems
}

#[test]
fn each_job_finds_the_tools_that_earlier_runs_built() {
    let text = read(&root().join(".github/actions/setup/action.yml"));
    let found = |text: &str| tool_cache(&serde_saphyr::from_str(text).unwrap());
    assert_eq!(found(&text), [""; 0]);
    let start = text
        .find("    - if: inputs.steps != ''\n      uses: actions/cache@")
        .unwrap();
    let end = start + 1 + text[start + 1..].find("    - if:").unwrap();
    let step = &text[start..end];
    let last = format!("{}{step}", text.replace(step, ""));
    for (right, wrong) in [
        (step, ""),
        (&text, last.as_str()),
        ("~/.cache/delivery/tools", "~/.cache/delivery"),
        (
            "key: tools-${{ runner.os }}-${{ runner.arch }}-",
            "key: tools-${{ runner.os }}-",
        ),
        ("-${{ inputs.steps }}-${{ steps", "-${{ steps"),
        ("-${{ steps.pins.outputs.trees }}", ""),
        ("{tools,", "{"),
        (",npm", ""),
        (",python", ""),
        (",src/tools/table.rs", ""),
    ] {
        assert!(
            text.contains(right),
            "the action does not contain {right:?}"
        );
        assert_ne!(found(&text.replace(right, wrong)), [""; 0], "{wrong:?}");
    }
    for pin in PINS {
        let path = root().join("crates/devkit").join(pin);
        assert!(path.exists(), "{}", path.display());
    }
}

/// Jobs that compile different things and share a key would find the results of the one that ended first.
fn rust_caches(workflow: &Workflow) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for (id, job) in &workflow.jobs {
        for step in &job.steps {
            if step.action() != Some("./.github/actions/setup") {
                continue;
            }
            let compiles = step.with.get("steps").is_some_and(|steps| {
                let steps = steps.0.split(' ');
                steps
                    .into_iter()
                    .any(|s| ["lint", "test", "coverage"].contains(&s))
            });
            let key = step.with.get("cache");
            if compiles && !key.is_some_and(|key| seen.insert(key.0.clone())) {
                problems.push(format!("{id} compiles tests and has no cache of its own"));
            }
        }
    }
    problems
}

#[test]
fn jobs_that_compile_tests_have_caches_of_their_own() {
    let faults = [
        ("          cache: unit\n", ""),
        ("cache: integration\n", "cache: unit\n"),
    ];
    finds("ci.yaml", rust_caches, &faults);
    let faults = [("          cache: reproduce\n", "")];
    finds("nightly.yaml", rust_caches, &faults);
}
