//! Go programs, built once from the modules that `crates/devkit/tools/` pins.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Error;
use super::estimate::Bar;
use crate::cache::{self, content_key};
use crate::process::{self, Run, command, find};
use crate::progress::Progress;

/// A Go module that only pins versions.
#[derive(Debug)]
pub struct Module {
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
}

/// How the programs of a tool are built.
#[derive(Debug)]
pub struct Build {
    /// The module that pins the version.
    pub(super) module: &'static Module,
    /// The module that contains the packages and [`Build::files`].
    pub(super) path: &'static str,
    /// The programs, each with the package that it is built from.
    pub programs: &'static [(&'static str, &'static str)],
    /// Whether C code is linked.
    pub(super) cgo: bool,
    pub(super) tags: &'static str,
    /// Environment variables of the build.
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// Variables that the linker sets. `VERSION` is replaced by the pinned version, `NUMBER` by the same without `v`.
    pub(super) variables: &'static [&'static str],
    /// Files and folders of the module that are needed at run time.
    pub files: &'static [&'static str],
    /// How long the build takes on two cores, after those before it in the table.
    pub(super) minutes: f64,
}

/// Free space for a build of everything at its peak: sources, objects and results.
const DISK_GIB: f64 = 26.0;

/// What [`DISK_GIB`] is for, in minutes of building.
const ALL_MINUTES: f64 = 20.0;

impl Build {
    pub(super) const fn new(module: &'static Module, path: &'static str) -> Self {
        Self {
            module,
            path,
            programs: &[],
            cgo: false,
            tags: "",
            environment: &[],
            variables: &[],
            files: &[],
            minutes: 0.0,
        }
    }

    /// The pinned version, with its `v`.
    pub(super) fn version(&self) -> &'static str {
        let lines = self.module.go_mod.lines();
        lines
            .filter_map(|line| {
                line.trim()
                    .trim_start_matches("require ")
                    .strip_prefix(self.path)
            })
            .find_map(|rest| rest.strip_prefix(' '))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or_default()
    }

    /// The folder of this build in the cache. Other pins or flags give another folder.
    pub(super) fn folder(&self, cache: &Path, name: &str) -> PathBuf {
        let parts = [self.module.go_mod, self.module.go_sum, self.tags];
        let parts = parts.iter().chain(self.variables).chain(self.files);
        let environment = self.environment.iter();
        let environment = environment.map(|(name, value)| format!("{name}={value}"));
        let key = content_key(parts.map(|part| (*part).to_owned()).chain(environment));
        cache.join(format!("tools/{name}-{}-{key}", self.version()))
    }

    /// The folders of the programs, if all are on PATH (as in `nix develop`) and the files of the module are in
    /// `share` beside one of those folders, as they are in a build.
    pub(super) fn on_path(&self) -> Option<Vec<PathBuf>> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for (program, _) in self.programs {
            let folder = find(program)?.parent()?.to_owned();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        let exists = |file: &&str| folders.iter().any(|bin| beside(bin, file).exists());
        self.files.iter().all(exists).then_some(folders)
    }

    fn build(&self, cache: &Path, name: &'static str, bar: &Bar) -> Result<(), Error> {
        let work = cache.join("build").join(name);
        let result = work.join("result");
        let module = work.join("module");
        let write = |source| Error::File {
            action: "write",
            path: work.clone(),
            source,
        };
        if work.exists() {
            fs::remove_dir_all(&work).map_err(write)?;
        }
        fs::create_dir_all(&module).map_err(write)?;
        fs::create_dir_all(result.join("bin")).map_err(write)?;
        fs::write(module.join("go.mod"), self.module.go_mod).map_err(write)?;
        fs::write(module.join("go.sum"), self.module.go_sum).map_err(write)?;

        self.compile(cache, name, &module, &result.join("bin"), bar)?;
        self.copy_files(cache, &module, &result.join("share"))?;
        let folder = self.folder(cache, name);
        fs::create_dir_all(cache.join("tools")).map_err(write)?;
        fs::rename(&result, folder).map_err(write)?;
        fs::remove_dir_all(&work).map_err(write)
    }

    /// Compiles all programs with one `go build`, which links one of them while it compiles for the others.
    fn compile(
        &self,
        cache: &Path,
        name: &'static str,
        module: &Path,
        bin: &Path,
        bar: &Bar,
    ) -> Result<(), Error> {
        let version = self.version();
        let mut ldflags = String::from("-s -w");
        for variable in self.variables {
            let number = version.trim_start_matches('v');
            let variable = variable.replace("VERSION", version);
            ldflags.push_str(&format!(" -X {}", variable.replace("NUMBER", number)));
        }
        let log = cache.join(format!("build/{name}.log"));
        let open = || {
            let file = File::create(&log)?;
            Ok((Stdio::from(file.try_clone()?), Stdio::from(file)))
        };
        let (stdout, stderr) = open().map_err(|source| Error::File {
            action: "write",
            path: log.clone(),
            source,
        })?;
        let mut go = self.go(cache, module);
        // -v prints each package, which the progress counts.
        go.args([
            "build",
            "-v",
            "-trimpath",
            "-buildvcs=false",
            "-mod=readonly",
        ])
        // The linker drops what debuggers need (-s -w). Not generating it saves a sixth of the time.
        .arg("-gcflags=all=-dwarf=false")
        .arg(format!("-tags={}", self.tags))
        .arg(format!("-ldflags={ldflags}"))
        .arg("-o")
        .arg(bin)
        .args(self.programs.iter().map(|(_, package)| package))
        .stdout(stdout)
        .stderr(stderr);
        let mut child = go.spawn().map_err(|source| process::Error::Start {
            program: "go".to_owned(),
            source,
        })?;
        let status = Cell::new(None);
        bar.step.every(Duration::from_secs(30), || {
            match child.try_wait() {
                Ok(None) => return Some(bar.status(name, &log)),
                Ok(Some(ended)) => status.set(Some(ended)),
                Err(_) => {}
            }
            None
        });
        if !status.get().is_some_and(|status| status.success()) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            return Err(Error::Build {
                tool: name,
                log,
                tail: lines[lines.len().saturating_sub(15)..].join("\n"),
            });
        }
        let _ = fs::remove_file(&log);
        for (program, package) in self.programs {
            let built = bin.join(file_name(package));
            fs::rename(&built, bin.join(program)).map_err(|source| Error::File {
                action: "rename",
                path: built,
                source,
            })?;
        }
        Ok(())
    }

    fn copy_files(&self, cache: &Path, module: &Path, share: &Path) -> Result<(), Error> {
        if self.files.is_empty() {
            return Ok(());
        }
        let sources = self
            .go(cache, module)
            .args(["list", "-m", "-f", "{{.Dir}}", self.path])
            .read()?;
        for file in self.files {
            let target = share.join(file);
            let folder = target.parent().unwrap_or(share);
            fs::create_dir_all(folder).map_err(|source| Error::File {
                action: "create",
                path: folder.to_owned(),
                source,
            })?;
            command("cp", ["-r", "--no-preserve=mode"])
                .arg(Path::new(&sources).join(file))
                .arg(&target)
                .run_quietly()?;
        }
        Ok(())
    }

    fn go(&self, cache: &Path, module: &Path) -> Command {
        let mut go = command("go", [""; 0]);
        go.env("CGO_ENABLED", if self.cgo { "1" } else { "0" })
            .env("GOMODCACHE", cache.join("build/modules"))
            .env("GOCACHE", cache.join("build/objects"))
            // Almost all modules name the same toolchain, which Go downloads: they share the compiled standard library.
            .env("GOTOOLCHAIN", "auto")
            // Module caches are read-only by default, which makes them hard to delete.
            .env("GOFLAGS", "-modcacherw")
            .envs(self.environment.iter().copied())
            .current_dir(module);
        go
    }
}

/// The name that Go gives to a package's program: the last element of its path that is not a major version.
fn file_name(package: &str) -> &str {
    let is_version = |name: &&str| {
        let number = name.strip_prefix('v');
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let mut names = package.rsplit('/');
    names.find(|name| !is_version(name)).unwrap_or(package)
}

/// A file that belongs to the programs in a `bin` folder.
pub(super) fn beside(bin: &Path, file: &str) -> PathBuf {
    bin.with_file_name("share").join(file)
}

/// Builds the tools that are not in the cache, one after the other: each `go build` keeps all cores busy, and two at
/// once would compile what they share twice.
pub(super) fn install(
    cache: &Path,
    tools: &[(&'static str, &Build)],
    progress: Progress,
) -> Result<(), Error> {
    let missing = || {
        let missing = |(name, build): &&(&'static str, &Build)| !build.folder(cache, name).exists();
        tools.iter().filter(missing).copied().collect::<Vec<_>>()
    };
    if missing().is_empty() {
        return Ok(());
    }
    // All builds share the folders of sources and objects.
    let _lock = cache::lock(cache, "go")?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    check_machine(cache, &missing)?;
    let total: f64 = minutes(&missing);
    let names = names(&missing);
    let bar = Bar::new(
        progress.step(format!(
            "Building {names} once, about {total:.0} min on two cores"
        )),
        total,
    );
    for (name, build) in &missing {
        let begun = Instant::now();
        build.build(cache, name, &bar)?;
        bar.ended(build.minutes);
        let seconds = begun.elapsed().as_secs_f64();
        bar.step.line(format!(
            "built {name} {} in {seconds:.0} s",
            build.version()
        ));
    }
    bar.step.done();
    // Sources and objects are ten times the size of the results and no longer needed.
    for folder in ["build/modules", "build/objects"] {
        let _ = fs::remove_dir_all(cache.join(folder));
    }
    Ok(())
}

/// Checks what the builds need before they spend half an hour.
fn check_machine(cache: &Path, tools: &[(&'static str, &Build)]) -> Result<(), Error> {
    let names = names(tools);
    if find("go").is_none() {
        return Err(Error::NoGo { tools: names });
    }
    let folder = cache.join("build");
    fs::create_dir_all(&folder).map_err(|source| Error::File {
        action: "create",
        path: folder.clone(),
        source,
    })?;
    let share = minutes(tools) / ALL_MINUTES;
    let needed = (DISK_GIB * share.clamp(0.1, 1.0)).ceil() as u64;
    let output = command("df", ["--output=avail", "--block-size=1G"])
        .arg(&folder)
        .read()?;
    let number = output.split_whitespace().last();
    match number.and_then(|number| number.parse().ok()) {
        Some(free) if free < needed => Err(Error::NoSpace {
            tools: names,
            needed,
            free,
            cache: cache.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn minutes(tools: &[(&'static str, &Build)]) -> f64 {
    tools.iter().map(|(_, build)| build.minutes).sum()
}

fn names(tools: &[(&'static str, &Build)]) -> String {
    let names: Vec<_> = tools.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{Source, TOOLS};
    use super::*;

    fn builds() -> impl Iterator<Item = (&'static str, &'static Build)> {
        TOOLS.iter().filter_map(|tool| match &tool.source {
            Source::Go(build) => Some((tool.name, build)),
            _ => None,
        })
    }

    #[test]
    fn a_program_is_named_after_its_package_and_not_after_a_version() {
        assert_eq!(file_name("helm.sh/helm/v4/cmd/helm"), "helm");
        assert_eq!(file_name("github.com/zricethezav/gitleaks/v8"), "gitleaks");
    }

    #[test]
    fn every_module_names_one_toolchain_or_says_which() {
        for (name, build) in builds() {
            if build
                .environment
                .iter()
                .any(|(name, _)| *name == "GOTOOLCHAIN")
            {
                continue;
            }
            let go_mod = build.module.go_mod;
            let toolchain = go_mod.lines().find(|line| line.starts_with("toolchain "));
            assert_eq!(toolchain, Some("toolchain go1.27.1"), "{name}");
        }
    }

    #[test]
    fn every_module_pins_the_programs_by_version_and_hash() {
        for (name, build) in builds() {
            let Module { go_mod, go_sum, .. } = build.module;
            assert!(build.version().starts_with('v'), "{name}");
            assert!(go_sum.contains(&format!("{} {} h1:", build.path, build.version())));
            for (_, package) in build.programs {
                let lines = go_mod.lines().map(|line| line.trim_start_matches("tool "));
                let mut lines = lines.map(str::trim);
                assert!(lines.any(|line| line == *package), "{package} is no tool");
                assert!(package.starts_with(build.path), "{package}");
            }
        }
    }

    /// The name of the module is a part of the key of the cache. `adopt` must not change it, or all tools are built again.
    #[test]
    fn no_module_has_the_name_of_the_project() {
        for (name, build) in builds() {
            let go_mod = build.module.go_mod;
            let module = go_mod.lines().find(|line| line.starts_with("module "));
            let module = module.unwrap_or_default();
            assert!(
                module.starts_with("module delivery.invalid/tools/"),
                "{name}: {module}"
            );
        }
    }

    #[test]
    fn kubernetes_and_its_staging_modules_have_one_version() {
        let (_, build) = builds().next().unwrap();
        let version = build.version().replacen("v1.", "v0.", 1);
        let replaced = build.module.go_mod.lines().filter_map(|line| {
            let (module, target) = line.trim().split_once(" => ")?;
            module.starts_with("k8s.io/").then_some((module, target))
        });
        let replaced: Vec<_> = replaced.collect();
        assert_eq!(replaced.len(), 33);
        for (module, target) in replaced {
            assert_eq!(target, format!("{module} {version}"));
        }
    }
}
