//! The programs the lab runs: found on `PATH`, or built once from the modules pinned in `crates/devkit/tools/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::progress::{self, Progress};
use crate::sandbox::layout::Layout;
use devkit::process::{Run, command, find};

/// Programs that are built together from one Go module.
pub struct Tool {
    /// Name of the folder in `crates/devkit/tools/` and on the command line.
    pub name: &'static str,
    /// The module that holds the packages; also where [`Tool::files`] are found.
    module: &'static str,
    /// Program name and the package it is built from.
    programs: &'static [(&'static str, &'static str)],
    /// Whether C code is linked in.
    cgo: bool,
    tags: &'static str,
    /// Variables that the build wants.
    environment: &'static [(&'static str, &'static str)],
    /// Linker variables; `VERSION` stands for the pinned version of the module, `NUMBER` for it without its `v`.
    variables: &'static [&'static str],
    /// Files of the module that are needed at run time.
    files: &'static [&'static str],
    /// Minutes a build takes on two cores, for the estimate.
    minutes: f64,
    go_mod: &'static str,
    go_sum: &'static str,
}

macro_rules! pinned {
    ($name:literal, $($field:tt)*) => {
        Tool {
            name: $name,
            go_mod: include_str!(concat!("../../devkit/tools/", $name, "/go.mod")),
            go_sum: include_str!(concat!("../../devkit/tools/", $name, "/go.sum")),
            $($field)*
        }
    };
}

/// All tools, the longest builds first: they overlap best that way.
pub static TOOLS: &[Tool] = &[
    pinned!("kubernetes",
        module: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &["k8s.io/component-base/version.gitVersion=VERSION"],
        files: &["build/pause/linux/pause.c"],
        minutes: 9.0,
    ),
    pinned!("argocd",
        module: "github.com/argoproj/argo-cd/v3",
        programs: &[("argocd", "github.com/argoproj/argo-cd/v3/cmd")],
        cgo: false,
        tags: "",
        environment: &[],
        // It puts a `v` before, and its API's login refuses a client with two.
        variables: &["github.com/argoproj/argo-cd/v3/common.version=NUMBER"],
        files: &["manifests/install.yaml", "entrypoint.sh", "hack/gpg-wrapper.sh", "hack/git-verify-wrapper.sh"],
        minutes: 7.0,
    ),
    pinned!("trivy",
        module: "github.com/aquasecurity/trivy",
        programs: &[("trivy", "github.com/aquasecurity/trivy/cmd/trivy")],
        cgo: false,
        tags: "",
        // Its sources use a package that Go 1.26 only has when asked.
        environment: &[("GOEXPERIMENT", "jsonv2")],
        variables: &["github.com/aquasecurity/trivy/pkg/version/app.ver=VERSION"],
        files: &[],
        minutes: 5.5,
    ),
    pinned!("gitea",
        module: "code.gitea.io/gitea",
        programs: &[("gitea", "code.gitea.io/gitea")],
        cgo: true,
        tags: "sqlite,sqlite_unlock_notify",
        environment: &[],
        variables: &["main.Version=VERSION"],
        files: &["templates", "options", "public"],
        minutes: 4.0,
    ),
    pinned!("helm",
        module: "helm.sh/helm/v4",
        programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &["helm.sh/helm/v4/internal/version.version=VERSION"],
        files: &[],
        minutes: 3.0,
    ),
    pinned!("cosign",
        module: "github.com/sigstore/cosign/v3",
        programs: &[("cosign", "github.com/sigstore/cosign/v3/cmd/cosign")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &["sigs.k8s.io/release-utils/version.gitVersion=VERSION"],
        files: &[],
        minutes: 2.5,
    ),
    pinned!("coredns",
        module: "github.com/coredns/coredns",
        programs: &[("coredns", "github.com/coredns/coredns")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &[],
        files: &[],
        minutes: 2.0,
    ),
    pinned!("gitleaks",
        module: "github.com/zricethezav/gitleaks/v8",
        programs: &[("gitleaks", "github.com/zricethezav/gitleaks/v8")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &["github.com/zricethezav/gitleaks/v8/version.Version=VERSION"],
        files: &[],
        minutes: 0.4,
    ),
    pinned!("runner",
        module: "gitea.com/gitea/runner",
        programs: &[("gitea-runner", "gitea.com/gitea/runner")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &[],
        files: &[],
        minutes: 0.5,
    ),
    pinned!("kubeconform",
        module: "github.com/yannh/kubeconform",
        programs: &[("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &[],
        files: &[],
        minutes: 0.3,
    ),
    pinned!("actionlint",
        module: "github.com/rhysd/actionlint",
        programs: &[("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")],
        cgo: false,
        tags: "",
        environment: &[],
        variables: &[],
        files: &[],
        minutes: 0.4,
    ),
];

/// Programs that only look for trouble, and take long to build: they are there where a scenario wants them.
pub const SCANNERS: &[&str] = &["cargo-deny", "cargo-machete", "gitleaks", "jscpd", "trivy"];

/// Free space a build of everything wants at its peak: sources, build cache and results.
const DISK_GIB: u64 = 34;

/// Memory that two builds at once want when both link.
const TWO_BUILDS_GIB: u64 = 8;

impl Tool {
    /// The pinned version, with its `v`.
    pub fn version(&self) -> &'static str {
        self.go_mod
            .lines()
            .filter_map(|line| {
                line.trim()
                    .trim_start_matches("require ")
                    .strip_prefix(self.module)
            })
            .find_map(|rest| rest.strip_prefix(' '))
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or("v0.0.0")
    }

    /// The folder of this build: another pin or other flags make another folder.
    fn folder(&self, layout: &Layout) -> PathBuf {
        let mut hash = Sha256::new();
        for part in [self.go_mod, self.go_sum, self.tags] {
            hash.update(part);
            hash.update([0]);
        }
        for part in self.variables.iter().chain(self.files) {
            hash.update(part);
            hash.update([0]);
        }
        for (name, value) in self.environment {
            hash.update(format!("{name}={value}"));
            hash.update([0]);
        }
        let key = hex::encode(&hash.finalize()[..6]);
        layout.cache(format!("tools/{}-{}-{key}", self.name, self.version()))
    }

    /// The folders of the programs where `PATH` has every one, so that nothing needs to be built (as
    /// in `nix develop`). What comes with a module must lie there as it does in a build: in `share`,
    /// beside the folder of a program.
    fn on_path(&self) -> Option<Vec<PathBuf>> {
        let folders = self.programs.iter().map(|(program, _)| folder_of(program));
        let folders = folders.collect::<Option<Vec<_>>>()?;
        let is_there = |file: &&str| folders.iter().any(|bin| beside(bin, file).exists());
        self.files.iter().all(is_there).then_some(folders)
    }

    fn build(&self, layout: &Layout, log: &Path) -> Result<()> {
        let folder = self.folder(layout);
        let work = layout.cache(format!("build/{}", self.name));
        let module = self.module_folder(layout);
        fs::create_dir_all(&module)?;
        fs::write(module.join("go.mod"), self.go_mod)?;
        fs::write(module.join("go.sum"), self.go_sum)?;
        let result = work.join("result");
        if result.exists() {
            fs::remove_dir_all(&result)?;
        }
        fs::create_dir_all(result.join("bin"))?;

        for (program, package) in self.programs {
            self.compile(layout, log, package, &result.join("bin").join(program))
                .with_context(|| format!("building {program} failed"))?;
        }
        self.copy_files(layout, &result.join("share"))?;
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        // The last step makes it visible: an interrupted build leaves nothing half done.
        fs::rename(&result, &folder)
            .with_context(|| format!("could not put {} in place", folder.display()))?;
        fs::remove_dir_all(&work)?;
        Ok(())
    }

    /// The folder of the module that names the versions.
    fn module_folder(&self, layout: &Layout) -> PathBuf {
        layout.cache(format!("build/{}/module", self.name))
    }

    fn compile(&self, layout: &Layout, log: &Path, package: &str, output: &Path) -> Result<()> {
        let mut ldflags = String::from("-s -w");
        for variable in self.variables {
            ldflags.push_str(" -X ");
            let version = self.version();
            let number = version.trim_start_matches('v');
            ldflags.push_str(
                &variable
                    .replace("VERSION", version)
                    .replace("NUMBER", number),
            );
        }
        let status = self
            .go(layout)
            .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly"])
            // What debuggers want goes in the end (-s -w); not to make it is a sixth of the time, as measured of CoreDNS.
            .arg("-gcflags=all=-dwarf=false")
            .arg(format!("-tags={}", self.tags))
            .arg(format!("-ldflags={ldflags}"))
            .arg("-o")
            .arg(output)
            .arg(package)
            .current_dir(self.module_folder(layout))
            .stdout(append(log)?)
            .stderr(append(log)?)
            .status()
            .context("could not start go")?;
        if !status.success() {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(15)..].join("\n");
            bail!("the whole log is {}:\n{tail}", log.display());
        }
        Ok(())
    }

    /// Copies what is needed at run time out of the module's sources.
    fn copy_files(&self, layout: &Layout, share: &Path) -> Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        let sources = self
            .go(layout)
            .args(["list", "-m", "-f", "{{.Dir}}", self.module])
            .current_dir(self.module_folder(layout))
            .read()?;
        for file in self.files {
            let target = share.join(file);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            command("cp", ["-r", "--no-preserve=mode"])
                .arg(Path::new(sources.trim()).join(file))
                .arg(&target)
                .run_quietly()?;
        }
        Ok(())
    }

    fn go(&self, layout: &Layout) -> Command {
        let mut go = command("go", [] as [&str; 0]);
        go.env("CGO_ENABLED", if self.cgo { "1" } else { "0" })
            .env("GOMODCACHE", layout.cache("build/modules"))
            .env("GOCACHE", layout.cache("build/objects"))
            // Where a module wants a newer Go than is installed, Go fetches it by checksum.
            .env("GOTOOLCHAIN", "auto")
            // Module caches are read-only by default, which makes them hard to delete.
            .env("GOFLAGS", "-modcacherw")
            .envs(self.environment.iter().copied());
        go
    }
}

/// The folder on `PATH` that has a program.
fn folder_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join(program).is_file())
}

/// A file that comes with the programs in a `bin` folder.
fn beside(bin: &Path, file: &str) -> PathBuf {
    bin.with_file_name("share").join(file)
}

fn append(log: &Path) -> Result<Stdio> {
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("could not write {}", log.display()))?;
    Ok(Stdio::from(file))
}

/// Looks tools up by name.
///
/// # Errors
/// When there is no tool of that name.
pub fn named(names: &[impl AsRef<str>]) -> Result<Vec<&'static Tool>> {
    names
        .iter()
        .map(|name| {
            let name = name.as_ref();
            TOOLS
                .iter()
                .find(|tool| tool.name == name)
                .with_context(|| {
                    let known: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
                    format!("no tool is called {name:?}; there are {}", known.join(", "))
                })
        })
        .collect()
}

/// The folders with the programs of these tools: those of `PATH` where they are there, those of the
/// builds otherwise.
pub fn bin_folders(layout: &Layout, tools: &[&Tool]) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for tool in tools {
        let own = || vec![tool.folder(layout).join("bin")];
        for folder in tool.on_path().unwrap_or_else(own) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    folders
}

/// Where a program of a tool is.
///
/// # Errors
/// When there is no such tool, or it is neither built nor on `PATH`.
pub fn program(layout: &Layout, tool: &str, program: &str) -> Result<PathBuf> {
    let folders = bin_folders(layout, &named(&[tool])?);
    let mut files = folders.iter().map(|folder| folder.join(program));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not there; run `cargo lab tools {tool}`"))
}

/// A file of a tool's module that is needed at run time.
///
/// # Errors
/// When there is no such tool, or it is neither built nor on `PATH`.
pub fn shared_file(layout: &Layout, tool: &str, file: &str) -> Result<PathBuf> {
    let folders = bin_folders(layout, &named(&[tool])?);
    let mut files = folders.iter().map(|folder| beside(folder, file));
    files
        .find(|file| file.exists())
        .with_context(|| format!("{tool}'s {file} is not there; run `cargo lab tools {tool}`"))
}

/// Makes sure that the tools are there, building what is missing, two at a time where memory allows.
///
/// # Errors
/// When Go or disk space is missing, or a build fails; what was built stays.
pub fn ensure(layout: &Layout, wanted: &[&'static Tool], progress: &Progress) -> Result<()> {
    let is_missing = |tool: &&Tool| tool.on_path().is_none() && !tool.folder(layout).exists();
    let missing: Vec<&'static Tool> = wanted.iter().copied().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    can_build(layout, &missing)?;
    build_all(layout, &missing, progress)?;
    // Sources and objects are ten times the size of the results and of no use now.
    let _ = fs::remove_dir_all(layout.cache("build/modules"));
    let _ = fs::remove_dir_all(layout.cache("build/objects"));
    Ok(())
}

/// Whether the machine has what these builds want, before half an hour goes into them.
fn can_build(layout: &Layout, tools: &[&Tool]) -> Result<()> {
    if find("go").is_none() {
        let names: Vec<_> = tools.iter().map(|tool| tool.name).collect();
        bail!(
            "{} must be built and `go` is not on PATH; install Go 1.24 or newer, or enter `nix develop`",
            names.join(", ")
        );
    }
    fs::create_dir_all(layout.cache("build"))?;
    let share = minutes(tools) / minutes(TOOLS);
    let needed = (DISK_GIB as f64 * share.clamp(0.1, 1.0)).ceil() as u64;
    let free = free_gib(&layout.cache("build"))?;
    if free < needed {
        bail!(
            "building {} tools wants {needed} GiB free under {}, and {free} GiB are; \
             make room, or set XDG_CACHE_HOME to a folder on a larger disk",
            tools.len(),
            layout.cache.display()
        );
    }
    Ok(())
}

fn minutes<T: std::borrow::Borrow<Tool>>(tools: &[T]) -> f64 {
    tools.iter().map(|tool| tool.borrow().minutes).sum()
}

/// Builds that go on side by side.
struct Builds {
    started: Instant,
    /// What nobody has begun.
    waiting: Vec<&'static Tool>,
    /// What isn't there yet.
    left: Vec<&'static Tool>,
    failure: Option<anyhow::Error>,
    /// Estimated minutes of what is there, and how long it took in truth.
    built: f64,
    took: f64,
}

impl Builds {
    /// The next tool to build; none when all are taken, or one has failed.
    fn next(&mut self) -> Option<&'static Tool> {
        match self.failure {
            None if !self.waiting.is_empty() => Some(self.waiting.remove(0)),
            _ => None,
        }
    }

    fn elapsed(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / 60.0
    }

    fn end(&mut self, tool: &'static Tool, result: Result<()>) {
        match result {
            Ok(()) => {
                self.left.retain(|other| other.name != tool.name);
                self.built += tool.minutes;
                self.took = self.elapsed();
            }
            Err(error) => self.failure = Some(error),
        }
    }

    /// What is left; none when there is nothing to wait for.
    fn status(&self) -> Option<String> {
        if self.left.is_empty() || self.failure.is_some() {
            return None;
        }
        let names: Vec<_> = self.left.iter().map(|tool| tool.name).collect();
        let more = remaining(minutes(&self.left), self.built, self.took, self.elapsed());
        Some(format!(
            "{} left ({}), about {more:.0} min",
            names.len(),
            names.join(", ")
        ))
    }
}

/// Minutes until builds are done that are estimated at `left`, when those of `built` took until `took` and it is
/// `now`. Each that ends shows the machine's true pace; in between the clock counts, and nothing is about to be done
/// that has not ended.
fn remaining(left: f64, built: f64, took: f64, now: f64) -> f64 {
    let pace = if built > 0.0 { took / built } else { 1.0 };
    let whole = left * pace;
    (whole - (now - took)).max(whole * 0.2).max(1.0)
}

fn build_all(layout: &Layout, tools: &[&'static Tool], progress: &Progress) -> Result<()> {
    let lanes = if memory_gib()? >= TWO_BUILDS_GIB {
        2
    } else {
        1
    };
    let bar = progress.step(format!(
        "Building {} tools once, about {:.0} min on two cores",
        tools.len(),
        minutes(tools)
    ));
    let builds = Mutex::new(Builds {
        started: Instant::now(),
        waiting: tools.to_vec(),
        left: tools.to_vec(),
        failure: None,
        built: 0.0,
        took: 0.0,
    });
    let lane = || {
        while let Some(tool) = { progress::locked(&builds).next() } {
            let log = layout.cache(format!("build/{}.log", tool.name));
            let begun = Instant::now();
            let result = tool.build(layout, &log);
            if result.is_ok() {
                let _ = fs::remove_file(&log);
                let seconds = begun.elapsed().as_secs_f64();
                let version = tool.version();
                bar.line(format!("built {} {version} in {seconds:.0} s", tool.name));
            }
            progress::locked(&builds).end(tool, result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(lane);
        }
        bar.every(Duration::from_secs(30), || {
            progress::locked(&builds).status()
        });
    });
    if let Some(error) = progress::locked(&builds).failure.take() {
        return Err(error.context(
            "a tool could not be built; what was built is kept, so the next run goes on from here",
        ));
    }
    bar.done();
    Ok(())
}

fn free_gib(path: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)
        .with_context(|| format!("could not read the free space of {}", path.display()))?;
    Ok(stat.blocks_available() * stat.fragment_size() / (1 << 30))
}

fn memory_gib() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("could not read /proc/meminfo")?;
    let kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .context("/proc/meminfo has no MemTotal")?;
    Ok(kib / (1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_pinned_to_a_version() {
        for tool in TOOLS {
            assert_ne!(tool.version(), "v0.0.0", "{}", tool.name);
            assert!(tool.go_sum.contains(tool.module), "{}", tool.name);
        }
    }

    #[test]
    fn what_was_built_shows_how_long_the_rest_takes() {
        // Nothing built yet: the estimate, less the time gone by.
        assert_eq!(remaining(30.0, 0.0, 0.0, 10.0), 20.0);
        // Half of it took twice as long as estimated.
        assert_eq!(remaining(15.0, 15.0, 30.0, 30.0), 30.0);
        assert_eq!(remaining(15.0, 15.0, 30.0, 40.0), 20.0);
        // A build that takes longer than thought is not "about to be done" all the time.
        assert_eq!(remaining(15.0, 15.0, 30.0, 90.0), 6.0);
        assert_eq!(remaining(0.3, 29.7, 25.0, 25.1), 1.0);
    }

    #[test]
    fn an_unknown_tool_is_named() {
        let Err(error) = named(&["helm", "hlem"]) else {
            panic!("hlem is no tool")
        };
        assert!(error.to_string().contains("\"hlem\""), "{error}");
    }
}
