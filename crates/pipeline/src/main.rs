//! `cargo pipeline …`: every step of the delivery pipeline is one subcommand, so that a workflow,
//! a laptop and the lab all run the same thing.
#![forbid(unsafe_code)]

mod api;
mod auth;
mod build;
mod check;
mod checks;
mod deliver;
mod git;
mod project;
mod protect;
mod report;
mod tools;
mod trivy;
mod workflow;
mod yaml;

use anyhow::Result;
use build::{image, scan};
use checks::{coverage, lint, quality, security, test};
use clap::{Parser, Subcommand};
use deliver::{deploy, plan, promote, publish, release, sign, tags};
use report::{comment, notify};
use std::process::ExitCode;

/// The delivery pipeline, one step at a time.
#[derive(Parser)]
#[command(name = "cargo pipeline", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Run every static check and report all failures
    Lint(lint::Lint),
    /// Measure the code against the thresholds in quality.toml
    Quality(quality::Quality),
    /// Run the checks of the whole project, the lab's scenarios included
    Test(test::Test),
    /// Measure the lines that the tests run
    Coverage(coverage::Coverage),
    /// Tell the forge the coverage that `coverage` measured
    Comment(comment::Comment),
    /// Install what the checks need
    Tools(tools::Tools),
    /// Decide from the event whether an image has to be built
    Plan(plan::Plan),
    /// Look for known vulnerabilities, secrets and unsafe configuration in the project
    Security(security::Security),
    /// Build the OCI image of a commit
    Image(image::Image),
    /// Scan the built image, and write down what is in it
    Scan(scan::Scan),
    /// Print the tags that an image of this event carries, one a line
    Tags(tags::Tags),
    /// Push the built image to the registry
    Publish(publish::Publish),
    /// Write the release of a version tag on the forge
    Release(release::Release),
    /// Sign a published image, and attest where it comes from
    Sign(sign::Sign),
    /// Verify an image's signature and provenance
    Verify(sign::Verify),
    /// Write an image's tag and digest back to an environment's values
    Deploy(deploy::Deploy),
    /// Propose to an environment the image that the one before it runs
    Promote(promote::Promote),
    /// Tell chats and webhooks how a run ended, where that is news
    Notify(notify::Notify),
    /// Make the forge protect branches, tags and environments as the rules file says
    Protect(protect::Protect),
}

fn main() -> ExitCode {
    let result = match Cli::parse().step {
        // These can also be held.
        Step::Deploy(step) => return step.run().unwrap_or_else(|error| fail(&error)),
        Step::Promote(step) => return step.run().unwrap_or_else(|error| fail(&error)),
        Step::Lint(step) => step.run(),
        Step::Quality(step) => step.run(),
        Step::Test(step) => step.run(),
        Step::Coverage(step) => step.run(),
        Step::Comment(step) => step.run(),
        Step::Tools(step) => step.run(),
        Step::Plan(step) => step.run(),
        Step::Security(step) => step.run(),
        Step::Image(step) => step.run(),
        Step::Scan(step) => step.run(),
        Step::Tags(step) => step.run(),
        Step::Publish(step) => step.run(),
        Step::Release(step) => step.run(),
        Step::Sign(step) => step.run(),
        Step::Verify(step) => step.run(),
        Step::Notify(step) => step.run(),
        Step::Protect(step) => step.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Prints the whole chain of causes; in a workflow also as an annotation on the run.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    workflow::annotate_error(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// What a step returns.
type Outcome = Result<()>;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::Path;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// A slip in a job that the lab leaves out would otherwise show on GitHub first.
    #[test]
    fn the_workflows_call_what_there_is() {
        let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.github/workflows");
        let mut calls = 0;
        for file in std::fs::read_dir(workflows).unwrap() {
            let file = file.unwrap().path();
            let text = std::fs::read_to_string(&file).unwrap();
            let scripts = text
                .lines()
                .map(|line| line.trim().trim_start_matches("- "));
            let steps = scripts.filter_map(|line| line.strip_prefix("run: "));
            for (_, call) in steps.filter_map(|step| step.split_once("cargo pipeline ")) {
                let call = call.split([';', '|', '#']).next().unwrap_or(call);
                // What a variable will hold must be of the right form too.
                let call = call
                    .replace("\"$DIGEST\"", &format!("sha256:{}", "a".repeat(64)))
                    .replace("\"$TAG\"", "v1.0.0")
                    .replace("\"$GITHUB_REF_NAME\"", "v1.0.0")
                    .replace("\"$DATABASE\"", "sqlite")
                    .replace("\"$RESULT\"", "success");
                let words = ["cargo-pipeline"]
                    .into_iter()
                    .chain(call.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{}: {call}: {error}", file.display());
                }
                calls += 1;
            }
        }
        assert!(calls > 10, "only {calls} calls were found");
    }
}
