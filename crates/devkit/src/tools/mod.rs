//! The programs that the pipeline and the lab call: which step needs which, and how each is installed.
//!
//! A program that is on PATH is used as it is. Everything else has a pinned version and goes into the user's cache,
//! apart from Debian packages and the components of the Rust toolchain.

mod cargo;
mod debian;
mod estimate;
mod go;
mod npm;
mod python;
mod rustup;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::process::find;
use crate::progress::Progress;
use crate::{cache, process};

pub use go::Build;
pub use table::{SCANNERS, TOOLS};

/// What programs are needed for: the subcommands of `cargo pipeline` that call them, and the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    /// `cargo pipeline lint`
    Lint,
    /// `cargo pipeline test`
    Test,
    /// `cargo pipeline coverage`
    Coverage,
    /// `cargo pipeline quality`
    Quality,
    /// `cargo pipeline security`
    Security,
    /// The tests that call Nix
    Nix,
    /// `cargo pipeline image`
    Image,
    /// `cargo pipeline scan`
    Scan,
    /// `cargo pipeline publish` and `sign`
    Publish,
    /// `cargo pipeline deploy` and `verify`
    Deploy,
    /// `cargo lab`
    Lab,
}

/// Programs that are installed together.
#[derive(Debug)]
pub struct Tool {
    /// The name of the tool and, unless it has several programs, of its program.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// The steps that call it.
    pub steps: &'static [Step],
}

/// Where a tool comes from.
#[derive(Debug)]
pub enum Source {
    /// A package of Debian and its derivatives.
    Debian {
        /// The package.
        package: &'static str,
        /// A program that serves as well.
        alternative: Option<&'static str>,
    },
    /// This component of the toolchain that rust-toolchain.toml names.
    Rustup(&'static str),
    /// The package of the tool's name on PyPI, in the version that crates/devkit/python/requirements.txt names.
    Python,
    /// The package of the tool's name on npm, in the version that crates/devkit/npm/package-lock.json names. It
    /// contains a binary, which Node.js is not needed for.
    Npm,
    /// This version of the crate of the tool's name, compiled by Cargo.
    Crate(&'static str),
    /// Programs that Go compiles from a module which crates/devkit/tools pins.
    Go(Build),
}

/// Why a tool is missing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A program that installs tools failed.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Debian packages are missing and cannot be installed here.
    #[error("{reason}; install them yourself: {packages}")]
    Packages {
        /// Why not.
        reason: &'static str,
        /// Their names.
        packages: String,
    },
    /// The table has no such tool.
    #[error("no tool is called {name:?}; the tools are {known}")]
    Unknown {
        /// The name that was given.
        name: String,
        /// All names.
        known: String,
    },
    /// A program or a file of a tool is neither on PATH nor in the cache.
    #[error("{tool} is not installed: {file} is missing; run `cargo pipeline tools lab`")]
    NotInstalled {
        /// The tool.
        tool: &'static str,
        /// The program or file.
        file: String,
    },
    /// Go is missing.
    #[error(
        "{tools} must be built and `go` is not on PATH; install Go 1.24 or newer, or enter `nix develop .#lab`"
    )]
    NoGo {
        /// The tools that need it.
        tools: String,
    },
    /// The disk is too full to build Go programs.
    #[error(
        "building {tools} needs {needed} GiB under {}, and {free} GiB are free; free some space, or set \
         XDG_CACHE_HOME to a folder on a larger disk", cache.display()
    )]
    NoSpace {
        /// The tools to build.
        tools: String,
        /// Free space that they need, in GiB.
        needed: u64,
        /// Free space there is, in GiB.
        free: u64,
        /// The cache folder.
        cache: PathBuf,
    },
    /// Go could not build a tool.
    #[error("Go could not build {tool}. The whole log is {}. It ends with:\n{tail}", log.display())]
    Build {
        /// The tool.
        tool: &'static str,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
}

impl Tool {
    /// The programs of this tool.
    pub fn programs(&self) -> impl Iterator<Item = &'static str> {
        let several = match &self.source {
            Source::Go(build) => build.programs,
            _ => &[],
        };
        let one = several.is_empty().then_some(self.name);
        several.iter().map(|(program, _)| *program).chain(one)
    }

    /// The pinned version without a leading `v`. `None` where Debian or rustup decides.
    pub fn version(&self) -> Option<&'static str> {
        match &self.source {
            Source::Debian { .. } | Source::Rustup(_) => None,
            Source::Python => python::version(self.name),
            Source::Npm => npm::version(self.name),
            Source::Crate(version) => Some(version),
            Source::Go(build) => Some(build.version().trim_start_matches('v')),
        }
    }

    /// Whether the tool can be called without installing anything. What is only in the cache does not count.
    pub fn is_on_path(&self) -> bool {
        match &self.source {
            Source::Debian { alternative, .. } => {
                debian::is_installed(self.name)
                    || alternative.is_some_and(|name| find(name).is_some())
            }
            Source::Rustup(component) => rustup::is_installed(self.name, component),
            Source::Go(build) => build.on_path().is_some(),
            Source::Python | Source::Npm | Source::Crate(_) => find(self.name).is_some(),
        }
    }

    /// How the tool is installed, in words.
    pub fn origin(&self) -> String {
        let version = self.version().unwrap_or_default();
        match &self.source {
            Source::Debian { package, .. } => format!("Debian package {package}"),
            Source::Rustup(component) => format!("rustup component add {component}"),
            Source::Python => format!("version {version} from PyPI"),
            Source::Npm => format!("version {version} from npm"),
            Source::Crate(_) => format!("version {version} from crates.io"),
            Source::Go(_) => format!("version {version}, built with Go"),
        }
    }
}

/// The tools that these steps need.
pub fn needed(steps: &[Step]) -> Vec<&'static Tool> {
    let wanted = |tool: &&Tool| tool.steps.iter().any(|step| steps.contains(step));
    TOOLS.iter().filter(wanted).collect()
}

/// The tool of that name.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<&'static Tool, Error> {
    TOOLS
        .iter()
        .find(|tool| tool.name == name)
        .ok_or_else(|| Error::Unknown {
            name: name.to_owned(),
            known: names(TOOLS),
        })
}

/// Installs those of the tools that are missing, and returns the folders of the programs that are not on PATH.
///
/// # Errors
/// When one cannot be installed. Those before it stay installed.
pub fn install(
    cache: &Path,
    tools: &[&'static Tool],
    progress: Progress,
) -> Result<Vec<PathBuf>, Error> {
    let missing = tools.iter().copied().filter(|tool| !tool.is_on_path());
    install_all(cache, &missing.collect::<Vec<_>>(), progress)
}

/// As [`install`], but a program on PATH is only used where no version is pinned: CI's machines bring programs whose
/// versions change without a commit.
///
/// # Errors
/// When one cannot be installed. Those before it stay installed.
pub fn install_pinned(
    cache: &Path,
    tools: &[&'static Tool],
    progress: Progress,
) -> Result<Vec<PathBuf>, Error> {
    let wanted = tools.iter().copied();
    let wanted = wanted.filter(|tool| tool.version().is_some() || !tool.is_on_path());
    install_all(cache, &wanted.collect::<Vec<_>>(), progress)
}

fn install_all(
    cache: &Path,
    missing: &[&'static Tool],
    progress: Progress,
) -> Result<Vec<PathBuf>, Error> {
    let mut packages = Vec::new();
    let mut builds = Vec::new();
    for tool in missing {
        match &tool.source {
            Source::Debian { package, .. } => packages.push(*package),
            Source::Rustup(component) => rustup::install(component, progress)?,
            Source::Go(build) => builds.push((tool.name, build)),
            Source::Python | Source::Npm | Source::Crate(_) => {}
        }
    }
    debian::install(&packages, progress)?;
    go::install(cache, &builds, progress)?;

    let mut folders = Vec::new();
    for tool in missing {
        folders.extend(match &tool.source {
            Source::Debian { .. } | Source::Rustup(_) => None,
            Source::Python => Some(python::install(cache, progress)?),
            Source::Npm => Some(npm::install(cache, tool.name, progress)?),
            Source::Crate(version) => Some(cargo::install(cache, tool.name, version, progress)?),
            Source::Go(build) => Some(build.folder(cache, tool.name).join("bin")),
        });
    }
    let mut seen = HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    Ok(folders)
}

/// The folders that installed tools have in a cache, whether they exist or not. All others are of other versions.
pub fn cached_folders(cache: &Path) -> BTreeSet<PathBuf> {
    let folder = |tool: &Tool| match &tool.source {
        Source::Debian { .. } | Source::Rustup(_) => None,
        Source::Python => Some(cache.join("tools").join(python::folder_name())),
        Source::Npm | Source::Crate(_) => {
            let version = tool.version().unwrap_or_default();
            Some(cache.join(format!("tools/{}-{version}", tool.name)))
        }
        Source::Go(build) => Some(build.folder(cache, tool.name)),
    };
    TOOLS.iter().filter_map(folder).collect()
}

/// The folders with the programs of a Go tool: those on PATH, or the one in the cache.
fn bin_folders(cache: &Path, tool: &'static Tool) -> Vec<PathBuf> {
    match &tool.source {
        Source::Go(build) => build
            .on_path()
            .unwrap_or_else(|| vec![build.folder(cache, tool.name).join("bin")]),
        _ => Vec::new(),
    }
}

/// A program of a Go tool.
///
/// # Errors
/// When there is no such tool, or it is not installed.
pub fn program(cache: &Path, tool: &str, program: &str) -> Result<PathBuf, Error> {
    let tool = named(tool)?;
    let files = bin_folders(cache, tool).into_iter();
    let mut files = files.map(|folder| folder.join(program));
    files
        .find(|file| file.is_file())
        .ok_or_else(|| Error::NotInstalled {
            tool: tool.name,
            file: program.to_owned(),
        })
}

/// A file that comes with a Go tool and is needed at run time.
///
/// # Errors
/// When there is no such tool, or it is not installed.
pub fn shared_file(cache: &Path, tool: &str, file: &str) -> Result<PathBuf, Error> {
    let tool = named(tool)?;
    let files = bin_folders(cache, tool).into_iter();
    let mut files = files.map(|folder| go::beside(&folder, file));
    files
        .find(|path| path.exists())
        .ok_or_else(|| Error::NotInstalled {
            tool: tool.name,
            file: file.to_owned(),
        })
}

/// What tells one build of a Go tool from another: its version, and the key of its pins and flags, or for one on PATH
/// the name of its folder.
///
/// # Errors
/// When there is no such tool.
pub fn identity(cache: &Path, tool: &str) -> Result<Vec<String>, Error> {
    let tool = named(tool)?;
    let version = tool.version().map(str::to_owned);
    let folders = bin_folders(cache, tool).into_iter();
    let names = folders.filter_map(|bin| {
        let name = bin.parent()?.file_name()?;
        Some(name.to_string_lossy().into_owned())
    });
    Ok(version.into_iter().chain(names).collect())
}

fn names<'t>(tools: impl IntoIterator<Item = &'t Tool>) -> String {
    let names: Vec<_> = tools.into_iter().map(|tool| tool.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_named_with_its_tool() {
        let cache = Path::new("/nonexistent");
        // Debian installs it, so no build has its files.
        for error in [
            program(cache, "git", "git-lfs").unwrap_err(),
            shared_file(cache, "git", "git-lfs").unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(
                error.contains("git-lfs") && error.contains("git"),
                "{error}"
            );
        }
        for error in [
            program(cache, "hlem", "helm").unwrap_err(),
            shared_file(cache, "hlem", "x").unwrap_err(),
            identity(cache, "hlem").unwrap_err(),
        ] {
            assert!(error.to_string().contains("hlem"), "{error}");
        }
    }

    #[test]
    fn the_identity_of_a_build_has_its_version_and_folder() {
        let identity = identity(Path::new("/nonexistent"), "gitea").unwrap();
        assert_eq!(identity[0], named("gitea").unwrap().version().unwrap());
        assert!(identity.len() > 1, "{identity:?}");
    }

    #[test]
    fn each_step_needs_its_own_tools() {
        let names = |steps: &[Step]| needed(steps).iter().map(|t| t.name).collect::<Vec<_>>();
        assert_eq!(names(&[Step::Publish]), ["skopeo", "helm", "cosign"]);
        assert_eq!(names(&[Step::Deploy]), ["git", "cosign"]);
        assert_eq!(names(&[Step::Scan]), ["trivy"]);
        assert!(names(&[Step::Lint]).contains(&"helm"));
        assert!(!names(&[Step::Test]).contains(&"actionlint"));
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn every_tool_that_debian_and_rustup_do_not_bring_has_a_version() {
        for tool in TOOLS {
            let pinned = !matches!(tool.source, Source::Debian { .. } | Source::Rustup(_));
            assert_eq!(tool.version().is_some(), pinned, "{}", tool.name);
            if let Some(version) = tool.version() {
                let digit = |c: char| c.is_ascii_digit();
                assert!(version.starts_with(digit), "{} {version}", tool.name);
            }
        }
    }

    #[test]
    fn an_unknown_tool_is_named() {
        let error = named("hlem").unwrap_err().to_string();
        assert!(
            error.contains("\"hlem\"") && error.contains("helm"),
            "{error}"
        );
    }
}
