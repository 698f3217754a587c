//! `cargo pipeline …`: each step of the delivery pipeline is a command. Workflows, people and the lab run the same ones.
#![forbid(unsafe_code)]

// Its macros print without a panic.
#[macro_use]
extern crate devkit;

mod adopt;
mod build;
mod check;
mod checks;
mod deliver;
mod markdown;
mod project;
mod protect;
mod report;
mod tools;
mod trivy;
mod workflow;

use anyhow::Result;
use build::{image, scan};
use checks::{coverage, lint, quality, schemas, security, test};
use clap::{Parser, Subcommand};
use deliver::{
    audit, chart, deploy, hold, plan, promote, prune, publish, release, release_hold, required,
    rescan, rollback, sign, tags, verify,
};
use devkit::output;
use report::{comment, notify};
use std::process::ExitCode;

/// Run a step of the delivery pipeline.
#[derive(Parser)]
#[command(
    name = "cargo pipeline",
    bin_name = "cargo pipeline",
    version,
    disable_help_subcommand = true
)]
struct Cli {
    /// The chosen command.
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Subcommand)]
#[allow(
    clippy::missing_docs_in_private_items,
    reason = "the documentation of the arguments is the help of a command; text here would replace it"
)]
enum Command {
    Lint(lint::Lint),
    Schemas(schemas::Schemas),
    Quality(quality::Quality),
    Test(test::Test),
    Coverage(coverage::Coverage),
    Comment(comment::Comment),
    Tools(tools::Tools),
    Plan(plan::Plan),
    Required(required::Required),
    Security(security::Security),
    Image(image::Image),
    Scan(scan::Scan),
    Rescan(rescan::Rescan),
    Tags(tags::Tags),
    Publish(publish::Publish),
    Prune(prune::Prune),
    Release(release::Release),
    Sign(sign::Sign),
    Chart(chart::Chart),
    Verify(verify::Verify),
    Deploy(deploy::Deploy),
    Promote(promote::Promote),
    Rollback(rollback::Rollback),
    Hold(hold::Hold),
    ReleaseHold(release_hold::ReleaseHold),
    Audit(audit::Audit),
    Notify(notify::Notify),
    Protect(protect::Protect),
    Adopt(adopt::Adopt),
}

impl Command {
    /// Runs the command, and returns the exit code of the process.
    fn run(self) -> Result<ExitCode> {
        match self {
            // These have a third result: the environment is held, or the forge does not offer all protection.
            Self::Deploy(command) => return command.run(),
            Self::Promote(command) => return command.run(),
            Self::Protect(command) => return command.run(),
            Self::Lint(command) => command.run(),
            Self::Schemas(command) => command.run(),
            Self::Quality(command) => command.run(),
            Self::Test(command) => command.run(),
            Self::Coverage(command) => command.run(),
            Self::Comment(command) => command.run(),
            Self::Tools(command) => command.run(),
            Self::Plan(command) => command.run(),
            Self::Required(command) => command.run(),
            Self::Security(command) => command.run(),
            Self::Image(command) => command.run(),
            Self::Scan(command) => command.run(),
            Self::Rescan(command) => command.run(),
            Self::Tags(command) => command.run(),
            Self::Publish(command) => command.run(),
            Self::Prune(command) => command.run(),
            Self::Release(command) => command.run(),
            Self::Sign(command) => command.run(),
            Self::Chart(command) => command.run(),
            Self::Verify(command) => command.run(),
            Self::Rollback(command) => command.run(),
            Self::Hold(command) => command.run(),
            Self::ReleaseHold(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Notify(command) => command.run(),
            Self::Adopt(command) => command.run(),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn main() -> ExitCode {
    tools::use_installed();
    let code = Cli::parse().command.run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        workflow::annotate_error(&format!("{error:#}"));
        ExitCode::FAILURE
    });
    output::finish(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::path::Path;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The lab does not run all jobs. Without this test, a mistake in the others would first show on GitHub.
    #[test]
    fn the_workflows_call_existing_commands() {
        // Cargo runs a test in the folder of its package.
        let workflows = Path::new("../../.github/workflows");
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
                // The values of variables must have the right form too.
                let call = call
                    .replace("\"$DIGEST\"", &format!("sha256:{}", "a".repeat(64)))
                    .replace("\"$TAG\"", "v1.0.0")
                    .replace("\"$GITHUB_REF_NAME\"", "v1.0.0")
                    .replace("\"$DATABASE\"", "sqlite")
                    .replace("\"$ENVIRONMENT\"", "staging")
                    .replace("\"$ENVIRONMENT\"", "dev")
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
