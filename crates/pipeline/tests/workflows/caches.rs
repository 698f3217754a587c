//! What a hosted runner keeps between runs: nothing but caches. A key that exists is never written again
//! (<https://docs.github.com/en/actions/reference/workflows-and-actions/dependency-caching>).

use crate::finds;
use crate::model::{Job, Workflow, read, root};
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

/// Each command of the Dockerfile that compiles keeps its results in cache mounts.
#[test]
fn whatever_the_dockerfile_compiles_is_cached() {
    let text = read(&root().join("Dockerfile")).replace("\\\n", " ");
    let mut count = 0;
    for line in text.lines().filter(|line| line.starts_with("RUN ")) {
        if line.contains("cargo install") || line.contains("build --release") {
            assert_eq!(line.matches("--mount=type=cache").count(), 2, "{line}");
            count += 1;
        }
    }
    assert_eq!(count, 2);
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
