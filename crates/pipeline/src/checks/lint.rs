//! The static checks. All of them run, whatever the first one says.

use crate::Outcome;
use crate::check::{Check, Ran, Report};
use crate::checks::clippy;
use crate::checks::policy;
use crate::git::Git;
use crate::project::{line, root, run};
use crate::tools::{self, Step};
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where kubeconform finds schemas. By default it would ask the network, which a check must not depend on.
pub(crate) const SCHEMAS: &str = "KUBECONFORM_SCHEMA_LOCATION";

pub(crate) const CHART: &str = "charts/waybill";

/// Run every static check and report all failures.
///
/// Said when left out: kubeconform unless KUBECONFORM_SCHEMA_LOCATION names schemas, and programs that
/// PIPELINE_OPTIONAL_TOOLS allows to be missing.
#[derive(clap::Args)]
pub(crate) struct Lint {}

/// Rust, the Dockerfile, scripts, and the rules of this house.
pub(crate) const CODE: [Check; 5] = [
    Check {
        name: "format",
        run: format,
    },
    Check {
        name: "clippy",
        run: warnings,
    },
    Check {
        name: "dockerfile",
        run: dockerfile,
    },
    Check {
        name: "scripts",
        run: scripts,
    },
    Check {
        name: "house rules",
        run: house_rules,
    },
];

/// The Helm chart, with each set of values.
pub(crate) const CHARTS: [Check; 2] = [
    Check {
        name: "chart",
        run: chart,
    },
    Check {
        name: "schemas",
        run: schemas,
    },
];

/// The workflows.
pub(crate) const WORKFLOWS: [Check; 2] = [
    Check {
        name: "workflows",
        run: workflows,
    },
    Check {
        name: "workflow security",
        run: zizmor,
    },
];

impl Lint {
    pub(crate) fn run(&self) -> Outcome {
        let root = root()?;
        let mut report = Report::default();
        for check in CODE.iter().chain(&CHARTS).chain(&WORKFLOWS) {
            report.run(check, &root);
        }
        print!("\n{}", report.table());
        ensure!(report.failed() == 0, "{} checks failed", report.failed());
        Ok(())
    }
}

fn tool(root: &Path, program: &str, args: &[&str]) -> Result<Command> {
    tools::command(root, Step::Lint, program, args)
}

fn format(root: &Path) -> Result<Ran> {
    run(&mut tool(root, "cargo", &["fmt", "--all", "--check"])?)?;
    Ok(Ran::Done)
}

fn warnings(root: &Path) -> Result<Ran> {
    let findings = clippy::findings(root, Step::Lint)?;
    for found in &findings {
        eprint!("{}", found.rendered);
    }
    ensure!(findings.is_empty(), "{} warnings", findings.len());
    Ok(Ran::Done)
}

fn dockerfile(root: &Path) -> Result<Ran> {
    if let Some(skipped) = tools::skipped("hadolint") {
        return Ok(skipped);
    }
    run(&mut tool(root, "hadolint", &["Dockerfile"])?)?;
    Ok(Ran::Done)
}

/// ShellCheck for the scripts in git and for those inside our own actions; actionlint sees the workflows.
fn scripts(root: &Path) -> Result<Ran> {
    let files = policy::scripts(root)?;
    if !files.is_empty() {
        run(tool(root, "shellcheck", &[])?.args(&files))?;
    }
    for (place, script) in policy::action_scripts(root)? {
        let mut command = tool(root, "shellcheck", &["--shell=bash", "-"])?;
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start shellcheck")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(script.as_bytes())
                .context("cannot give shellcheck the script")?;
        }
        ensure!(child.wait()?.success(), "shellcheck objects to {place}");
    }
    Ok(Ran::Done)
}

fn house_rules(root: &Path) -> Result<Ran> {
    let broken = policy::broken_rules(root)?;
    for problem in &broken {
        eprintln!("{problem}");
    }
    ensure!(broken.is_empty(), "{} broken rules", broken.len());
    Ok(Ran::Done)
}

/// Each set of values with which the chart must work: our environments', and those in `ci/`.
pub(crate) fn variants(root: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for (folder, prefix) in [(CHART.to_owned(), "values-"), (format!("{CHART}/ci"), "")] {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let values = names.filter(|name| name.starts_with(prefix) && name.ends_with(".yaml"));
        files.extend(values.map(|name| format!("{folder}/{name}")));
    }
    ensure!(!files.is_empty(), "{CHART} has no values-<env>.yaml");
    files.sort();
    Ok(files)
}

fn chart(root: &Path) -> Result<Ran> {
    let mut failed = Vec::new();
    for values in variants(root)? {
        let lint = ["lint", "--strict", "--quiet", "--values", &values, CHART];
        let template = ["template", "waybill", "--values", &values, CHART];
        for args in [&lint[..], &template[..]] {
            let mut helm = tool(root, "helm", args)?;
            // The manifests themselves are only of interest to kubeconform.
            if let Err(error) = run(helm.stdout(Stdio::null())) {
                eprintln!("{error:#}");
                failed.push(values.clone());
            }
        }
        println!("{values}");
    }
    failed.dedup();
    ensure!(failed.is_empty(), "helm objects to {}", failed.join(", "));
    Ok(Ran::Done)
}

fn schemas(root: &Path) -> Result<Ran> {
    let Some(location) = workflow::var(SCHEMAS) else {
        return Ok(Ran::Skipped(format!(
            "{SCHEMAS} names no schemas: manifests were not validated"
        )));
    };
    for values in variants(root)? {
        println!("{values}");
        let mut helm = tool(
            root,
            "helm",
            &["template", "waybill", "--values", &values, CHART],
        )?;
        let mut rendered = helm
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start helm")?;
        let Some(manifests) = rendered.stdout.take() else {
            bail!("helm has no output");
        };
        let args = ["-strict", "-summary", "-schema-location", &location];
        let valid = run(tool(root, "kubeconform", &args)?.stdin(manifests));
        ensure!(rendered.wait()?.success(), "`{}` failed", line(&helm));
        valid.with_context(|| format!("kubeconform objects to {values}"))?;
    }
    Ok(Ran::Done)
}

fn workflows(root: &Path) -> Result<Ran> {
    run(&mut tool(root, "actionlint", &["-color"])?)?;
    Ok(Ran::Done)
}

fn zizmor(root: &Path) -> Result<Ran> {
    if let Some(skipped) = tools::skipped("zizmor") {
        return Ok(skipped);
    }
    run(&mut tool(
        root,
        "zizmor",
        &["--offline", "--no-progress", ".github"],
    )?)?;
    Ok(Ran::Done)
}

/// The files that git knows and that match one of the patterns.
pub(crate) fn tracked(root: &Path, patterns: &[&str]) -> Result<Vec<String>> {
    let args = [
        &[
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
        ],
        patterns,
    ]
    .concat();
    let list = Git::new(root).read(&args)?;
    let there = |file: &&str| !file.is_empty() && root.join(file).is_file();
    Ok(list.split('\0').filter(there).map(str::to_owned).collect())
}
