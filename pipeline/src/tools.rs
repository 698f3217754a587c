//! The programs that the steps call. Debian's come from apt, Go's from the lab, which builds them from
//! pinned sources; what is on PATH already is taken as it is.

use crate::Outcome;
use crate::forge;
use crate::process::{cmd, find, prepend_path, run};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Install what the steps need.
///
/// Debian packages need root; Go programs are built into a cache, whose folder is printed last.
#[derive(clap::Args)]
pub(crate) struct Tools {
    /// For which steps [default: lint and test]
    steps: Vec<Step>,
    /// Only say what is there and what is missing
    #[arg(long)]
    check: bool,
}

/// A step that needs programs.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Step {
    Lint,
    Test,
    Nix,
    Image,
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
}

const TOOLS: [Tool; 13] = [
    tool("cargo-fmt", Origin::Rustup("rustfmt"), &[Step::Lint]),
    tool("cargo-clippy", Origin::Rustup("clippy"), &[Step::Lint]),
    tool(
        "shellcheck",
        Origin::Debian("shellcheck"),
        &[Step::Lint, Step::Nix],
    ),
    tool("actionlint", Origin::Lab, &[Step::Lint]),
    tool("helm", Origin::Lab, &[Step::Lint, Step::Test, Step::Nix]),
    tool("nix", Origin::Debian("nix-bin"), &[Step::Nix]),
    tool("kubeconform", Origin::Lab, &[Step::Lint]),
    tool("cc", Origin::Debian("gcc"), &[Step::Lint, Step::Test]),
    tool("make", Origin::Debian("make"), &[Step::Lint, Step::Test]),
    tool(
        "git",
        Origin::Debian("git"),
        &[Step::Lint, Step::Test, Step::Deploy],
    ),
    tool("initdb", Origin::Debian("postgresql"), &[Step::Test]),
    tool("buildah", Origin::Debian("buildah"), &[Step::Image]),
    tool("skopeo", Origin::Debian("skopeo"), &[Step::Publish]),
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
            program => find(program).is_some(),
        }
    }

    fn origin(&self) -> String {
        match self.origin {
            Origin::Debian(package) => format!("Debian package {package}"),
            Origin::Lab => format!("cargo lab tools {}", self.program),
            Origin::Rustup(component) => format!("rustup component add {component}"),
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

impl Tools {
    pub(crate) fn run(&self) -> Outcome {
        let defaults = [Step::Lint, Step::Test];
        let steps = if self.steps.is_empty() {
            &defaults[..]
        } else {
            &self.steps
        };
        if !self.check {
            install(steps)?;
        }
        let needed: Vec<_> = needed(steps).collect();
        for tool in &needed {
            match tool.is_there() {
                true => println!("{:14} there", tool.program),
                false => println!("{:14} missing ({})", tool.program, tool.origin()),
            }
        }
        let missing = needed.iter().filter(|tool| !tool.is_there()).count();
        ensure!(
            missing == 0,
            "{missing} of {} tools are missing: run `cargo pipeline tools`",
            needed.len()
        );
        Ok(())
    }
}

fn needed(steps: &[Step]) -> impl Iterator<Item = &'static Tool> {
    let wanted = |tool: &&Tool| tool.steps.iter().any(|step| steps.contains(step));
    // Kubeconform is only of use with schemas.
    let usable =
        |tool: &&Tool| tool.program != "kubeconform" || forge::var(crate::lint::SCHEMAS).is_some();
    TOOLS.iter().filter(wanted).filter(usable)
}

/// Makes sure that everything for the steps is there, and is found by every later command.
pub(crate) fn install(steps: &[Step]) -> Result<()> {
    let (mut packages, mut programs) = (Vec::new(), Vec::new());
    for tool in needed(steps).filter(|tool| !tool.is_there()) {
        match tool.origin {
            Origin::Debian(package) => packages.push(package),
            Origin::Lab => programs.push(tool.program),
            Origin::Rustup(component) => run(&mut cmd("rustup", ["component", "add", component]))?,
        }
    }
    if !packages.is_empty() {
        install_packages(&packages)?;
    }
    if !programs.is_empty() {
        build(&programs)?;
    }
    Ok(())
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
fn build(programs: &[&str]) -> Result<()> {
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
        println!("tools are in {}", folder.display());
        forge::add_path(&folder.display().to_string())?;
    }
    prepend_path(folders);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_needs_its_own() {
        let names = |steps: &[Step]| needed(steps).map(|tool| tool.program).collect::<Vec<_>>();
        assert_eq!(names(&[Step::Publish]), ["skopeo"]);
        assert_eq!(names(&[Step::Deploy]), ["git"]);
        assert!(names(&[Step::Lint]).contains(&"helm"));
        assert!(!names(&[Step::Test]).contains(&"actionlint"));
        assert!(names(&[]).is_empty());
    }
}
