//! The lab's life: up, status, exec, down; and what runs inside in between.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use devkit::tools::{self, Step};
use serde_json::{Value, json};

use crate::cluster::{self, Kubernetes};
use crate::command::{Run, command, on_path};
use crate::environment::Environment;
use crate::forge::{Credentials, PERSON};
use crate::forward::{self, Door};
use crate::hops::Journey;
use crate::layout::Layout;
use crate::machine::{self, Host, NODE};
use crate::progress::Progress;
use crate::{argocd, database, debian, forge, images, namespaces, pki, scenarios, ship};

/// What needs programs: the lab, and the workflows' jobs, which have no network to install any.
const STEPS: &[Step] = &[
    Step::Lab,
    Step::Lint,
    Step::Coverage,
    Step::Test,
    Step::Security,
    Step::Image,
    Step::Scan,
    Step::Publish,
    Step::Deploy,
];

/// The environments, in the order in which a commit reaches them.
const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

/// How much of the lab to bring up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The namespaces and Kubernetes in them.
    Cluster,
    /// Everything, without shipping.
    All,
}

/// What runs inside the namespaces.
#[derive(Debug, Subcommand)]
pub enum Inside {
    /// Lay out mounts and network
    Prepare {
        /// What this lab consists of
        state: PathBuf,
        /// What outlives it
        cache: PathBuf,
        /// Where cargo keeps crates
        cargo_home: PathBuf,
    },
    /// Bring everything up and ship
    Up {
        /// No more than this
        #[arg(long)]
        only: Option<Part>,
    },
    /// Run scenarios
    Test {
        /// Which ones
        scenarios: Vec<String>,
    },
}

/// Brings the lab up and ships the checkout.
///
/// # Errors
/// When the machine can't carry it, or a part fails; what is up stays, and `up` goes on from there.
pub fn up(
    layout: &Layout,
    json: Option<&Path>,
    only: Option<Part>,
    progress: Progress,
) -> Result<()> {
    let checkout = checkout()?;
    namespaces::check_machine()?;
    let _lock = lock(layout)?;
    let init = bring(layout, &checkout, progress)?;
    bring_up_inside(layout, init, only)?;
    if only.is_some() {
        return Ok(());
    }
    let doors = open_doors(layout, init)?;
    report(layout, &doors, json)
}

/// Brings what the lab needs from the host, and begins it where there is none. Returns its first process.
fn bring(layout: &Layout, checkout: &Path, progress: Progress) -> Result<i32> {
    let folders = install_tools(layout, progress)?;
    images::ensure(layout, progress)?;
    crates(checkout, progress)?;
    let pipeline = progress.run("Building the pipeline's program", || pipeline(checkout))?;
    let init = match namespaces::find(layout) {
        Some(init) if layout.state("prepared").exists() => init,
        _ => begin(layout, folders, progress)?,
    };
    copy_in(layout, checkout, &pipeline)?;
    Ok(init)
}

fn bring_up_inside(layout: &Layout, init: i32, only: Option<Part>) -> Result<()> {
    let mut inside = enter(layout, init, &["up"])?;
    if let Some(part) = only.and_then(|part| part.to_possible_value()) {
        inside.args(["--only", part.get_name()]);
    }
    let status = namespaces::interactive(&mut inside)
        .status()
        .context("could not start nsenter")?;
    if !status.success() {
        bail!(
            "the lab is not up; `cargo lab logs` lists its logs, `cargo lab up` goes on, `cargo lab down` cleans up"
        );
    }
    Ok(())
}

/// The ways in from the host's loopback.
fn open_doors(layout: &Layout, init: i32) -> Result<Vec<Door>> {
    let targets: Vec<(String, SocketAddr)> =
        serde_json::from_slice(&fs::read(layout.state("addresses.json"))?)?;
    let targets: Vec<(&str, SocketAddr)> = targets
        .iter()
        .map(|(name, target)| (name.as_str(), *target))
        .collect();
    forward::ensure(layout, init, &targets)
}

/// Says how the commit travelled and where to look.
fn report(layout: &Layout, doors: &[Door], json: Option<&Path>) -> Result<()> {
    let mut journey: Journey = serde_json::from_slice(&fs::read(layout.state("journey.json"))?)?;
    journey.url = url(doors, "dev")?;
    if let Some(path) = json {
        fs::write(path, serde_json::to_vec_pretty(&journey)?)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    println!("\n{}", journey.table());
    print_status(layout, doors);
    println!("\n  curl {}/version", journey.url);
    Ok(())
}

/// The repository this is run in.
fn checkout() -> Result<PathBuf> {
    let top = command("git", ["rev-parse", "--show-toplevel"])
        .read()
        .context("run this in a clone of the repository")?;
    let top = PathBuf::from(top.trim());
    if !top.join("charts/waybill/Chart.yaml").is_file() {
        bail!(
            "{} is not a clone of waybill: it has no charts/waybill",
            top.display()
        );
    }
    Ok(top)
}

/// This program's file. Cargo may have put the same program there anew since it was started.
///
/// # Errors
/// When it can't be told.
pub fn own_program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("could not find this program")?;
    let name = own.to_string_lossy();
    Ok(name
        .strip_suffix(" (deleted)")
        .map_or(own.clone(), PathBuf::from))
}

/// Builds `cargo pipeline`'s program, and says where it is.
fn pipeline(checkout: &Path) -> Result<PathBuf> {
    let messages = command("cargo", ["build", "--quiet", "--locked"])
        .args([
            "--package",
            "pipeline",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(checkout)
        .read()?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built pipeline and does not say where")
}

/// Installs what [`STEPS`] need, and returns the folders of the programs that are not on PATH.
fn install_tools(layout: &Layout, progress: Progress) -> Result<Vec<PathBuf>> {
    let mut wanted = tools::needed(STEPS);
    // Kubeconform needs schemas, which the lab does not have.
    wanted.retain(|tool| !tools::SCANNERS.contains(&tool.name) && tool.name != "kubeconform");
    let _quiet = debian::NoServices::new()?;
    Ok(tools::install(&layout.cache, &wanted, progress)?)
}

/// Installs the scanners in a lab that may be up already.
///
/// # Errors
/// When one cannot be installed.
pub fn bring_scanners(layout: &Layout, progress: Progress) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let scanners = tools::SCANNERS.map(tools::named);
    let scanners = scanners.into_iter().collect::<Result<Vec<_>, _>>()?;
    let folders = tools::install(&layout.cache, &scanners, progress)?;
    let bin = layout.state("bin");
    fs::create_dir_all(&bin)?;
    for program in tools::SCANNERS {
        let folder = folders.iter().find(|folder| folder.join(program).is_file());
        let Some(folder) = folder else {
            continue; // on PATH already, inside too
        };
        let target = inside_cache(layout, folder).join(program);
        let wrapper = bin.join(program);
        fs::write(&wrapper, format!("#!/bin/sh\nexec {:?} \"$@\"\n", target))?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Brings what the inside needs from the host: this program and the pipeline's, and the checkout's HEAD. The
/// places they are in may be hidden inside, and what is not committed must not be shipped.
fn copy_in(layout: &Layout, checkout: &Path, pipeline: &Path) -> Result<()> {
    let own = own_program()?;
    for (program, name) in [(own.as_path(), "lab"), (pipeline, "pipeline")] {
        let part = layout.state(format!("{name}.part"));
        fs::copy(program, &part)
            .with_context(|| format!("could not copy {}", program.display()))?;
        fs::rename(part, layout.state(name))?;
    }

    let dirty = command("git", ["status", "--porcelain"])
        .current_dir(checkout)
        .read()?;
    if !dirty.is_empty() {
        eprintln!(
            "! {} uncommitted changes are not shipped; commit them to ship them",
            dirty.lines().count()
        );
    }
    let copy = layout.state("checkout");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    command("git", ["clone", "--quiet"])
        .arg(checkout)
        .arg(copy)
        .run()
}

/// One `up` or `down` of a lab at a time.
fn lock(layout: &Layout) -> Result<File> {
    let folder = layout.cache("locks");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let file = File::create(folder.join(layout.id()))?;
    if file.try_lock().is_err() {
        bail!(
            "another `cargo lab` is at work on {}; wait for it",
            layout.state.display()
        );
    }
    Ok(file)
}

/// Fetches all crates, while there is a network, for jobs that have none; and the target of the
/// static binary.
fn crates(checkout: &Path, progress: Progress) -> Result<()> {
    let target = "x86_64-unknown-linux-musl";
    let library = command("rustc", ["--print", "target-libdir", "--target", target])
        .current_dir(checkout)
        .read()?;
    if !Path::new(library.trim()).is_dir() {
        if !on_path("rustup") {
            bail!("the Rust toolchain lacks the target {target} and there is no rustup to add it");
        }
        progress.run(format!("Adding the Rust target {target}"), || {
            command("rustup", ["target", "add", target])
                .current_dir(checkout)
                .run()
        })?;
    }
    progress.run("Fetching crates", || {
        command("cargo", ["fetch", "--locked", "--quiet"])
            .current_dir(checkout)
            .run()
    })
}

/// Begins the namespaces, after taking away what an earlier lab left.
fn begin(layout: &Layout, folders: Vec<PathBuf>, progress: Progress) -> Result<i32> {
    namespaces::stop(layout).context("an earlier lab could not be cleaned up")?;
    progress.run("Making namespaces without a way out", || {
        fs::create_dir_all(&layout.state)
            .with_context(|| format!("could not make {}", layout.state.display()))?;
        let init = namespaces::start(layout)?;
        let cargo_home = folder_of("CARGO_HOME", ".cargo")?;
        let sysroot = command("rustc", ["--print", "sysroot"]).read()?;
        let rustup_home = folder_of("RUSTUP_HOME", ".rustup")
            .ok()
            .filter(|folder| folder.is_dir());
        let own: Vec<PathBuf> =
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .filter(|folder| folder.is_absolute())
                .collect();
        // What is on PATH keeps its place there: before it only comes what it lacks.
        let mut path = vec![Layout::inside().state("bin")];
        for folder in folders.iter().filter(|folder| !own.contains(folder)) {
            let folder = inside_cache(layout, folder);
            if !path.contains(&folder) {
                path.push(folder);
            }
        }
        path.extend(own);
        let host = Host {
            cargo_home: cargo_home.clone(),
            rustup_home,
            sysroot: sysroot.trim().into(),
            path,
            advisories: std::env::var_os("ADVISORY_DB")
                .map(fs::canonicalize)
                .transpose()
                .context("ADVISORY_DB names no folder")?,
            control_group: layout.id(),
        };
        fs::write(layout.state("host.json"), serde_json::to_vec_pretty(&host)?)?;
        let own = own_program()?;
        // /run/lab is not there yet.
        let mut prepare = command("nsenter", [format!("--target={init}")]);
        prepare
            .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--"])
            .arg(own)
            .args(["inside", "prepare"])
            .args([&layout.state, &layout.cache, &cargo_home])
            .env_clear()
            .env("PATH", host.search_path());
        prepare.run()?;
        fs::write(layout.state("prepared"), "")?;
        Ok(init)
    })
}

fn inside_cache(layout: &Layout, folder: &Path) -> PathBuf {
    match folder.strip_prefix(&layout.cache) {
        Ok(rest) => Layout::inside().cache(rest),
        Err(_) => folder.to_owned(),
    }
}

fn folder_of(variable: &str, default: &str) -> Result<PathBuf> {
    match std::env::var_os(variable) {
        Some(folder) => Ok(folder.into()),
        None => {
            Ok(PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(default))
        }
    }
}

/// This program, inside.
pub fn enter(layout: &Layout, init: i32, args: &[&str]) -> Result<Command> {
    let host = Host::read(layout)?;
    let mut inside = namespaces::enter(init, &environment(&host), ["/run/lab/lab", "inside"]);
    inside.args(args);
    Ok(inside)
}

/// The environment inside, with the caller's terminal.
fn environment(host: &Host) -> Vec<(String, String)> {
    let mut environment = cluster::environment(host);
    environment.extend(
        std::env::var("TERM")
            .ok()
            .map(|term| ("TERM".to_owned(), term)),
    );
    environment
}

/// Runs what belongs inside.
///
/// # Errors
/// When it fails.
pub fn inside(action: Inside, progress: Progress) -> Result<ExitCode> {
    let layout = Layout::inside();
    match action {
        Inside::Prepare {
            state,
            cache,
            cargo_home,
        } => {
            machine::mount(&state, &cache, &cargo_home)?;
            machine::network()?;
            trust(&layout)?;
        }
        Inside::Up { only } => {
            let checkout = layout.state("checkout");
            bring_up(&layout, &checkout, only, progress)?;
            if only.is_none() {
                let journey = ship::ship(&layout, &checkout, progress)?;
                drop(journey);
                note_addresses(&layout)?;
            }
        }
        Inside::Test { scenarios } => return scenarios::inside(&layout, &scenarios, progress),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the lab's keys, and lets every program inside trust the forge.
fn trust(layout: &Layout) -> Result<()> {
    pki::ensure(layout)?;
    let authority = fs::read_to_string(layout.state("pki/web-ca.crt"))?;
    let bundle = Path::new("/etc/ssl/certs/ca-certificates.crt");
    let mut text = fs::read_to_string(bundle).unwrap_or_default();
    text.push_str(&authority);
    fs::write(bundle, text).with_context(|| format!("could not write {}", bundle.display()))
}

fn bring_up(
    layout: &Layout,
    checkout: &Path,
    only: Option<Part>,
    progress: Progress,
) -> Result<()> {
    let host = Host::read(layout)?;
    let cluster = || {
        progress.run("Kubernetes", || {
            cluster::control_plane(layout, &host)?;
            cluster::containers(layout, &host)?;
            cluster::node(layout, &host)?;
            cluster::platform()?;
            cluster::rolled_out(
                "kube-system",
                &["deployment/coredns"],
                std::time::Duration::from_secs(60),
            )
        })
    };
    if only == Some(Part::Cluster) {
        return cluster();
    }
    let forge = || {
        progress.run("Forge, registry and runner", || {
            forge::ensure(layout, &host, checkout)
        })?;
        progress.run("PostgreSQL", || database::ensure(layout, &host))
    };
    thread::scope(|scope| {
        let other = scope.spawn(forge);
        let result = cluster().and_then(|()| progress.run("Argo CD", || argocd::install(layout)));
        let other = other
            .join()
            .unwrap_or_else(|_| bail!("setting up the forge broke off"));
        result.and(other)
    })?;
    database::announce(layout)
}

/// Notes where the host's doors lead.
fn note_addresses(layout: &Layout) -> Result<()> {
    let kubernetes = Kubernetes::new(layout)?;
    let mut addresses: Vec<(&str, SocketAddr)> = Vec::new();
    for name in ENVIRONMENTS {
        let environment = Environment {
            kubernetes: &kubernetes,
            name,
        };
        // One that was never synced has no address yet.
        if let Ok(address) = environment.address() {
            let address = format!("{}:80", address.trim_start_matches("http://"));
            addresses.push((name, address.parse()?));
        }
    }
    let argocd = argocd::address(&kubernetes)?;
    addresses.push(("argocd", format!("{argocd}:80").parse()?));
    addresses.push(("forge", format!("{NODE}:443").parse()?));
    fs::write(
        layout.state("addresses.json"),
        serde_json::to_vec(&addresses)?,
    )?;
    fs::write(
        layout.state("argocd-password"),
        argocd::password(&kubernetes)?,
    )?;
    command("chmod", ["600"])
        .arg(layout.state("argocd-password"))
        .run()
}

/// Ends the lab.
///
/// # Errors
/// When something does not go away.
pub fn down(layout: &Layout, progress: Progress) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab runs as root; so must `down`");
    }
    let _lock = lock(layout)?;
    if namespaces::held_by(layout).is_empty()
        && !layout.state.exists()
        && namespaces::control_groups(layout).is_empty()
    {
        eprintln!("there is no lab in {}", layout.state.display());
        return Ok(());
    }
    progress.run("Ending the lab", || namespaces::stop(layout))
}

/// Says what runs where. Exit code 3 where nothing runs, as service managers do.
///
/// # Errors
/// When the lab's notes can't be read.
pub fn status(layout: &Layout, as_json: bool) -> Result<ExitCode> {
    let running = namespaces::find(layout).is_some();
    let doors = if running {
        forward::doors(layout)?
    } else {
        Vec::new()
    };
    if as_json {
        let journey: Option<Journey> = fs::read(layout.state("journey.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        println!(
            "{}",
            json!({"running": running, "doors": doors, "shipped": journey.map(|journey| journey.commit)})
        );
    } else if running {
        print_status(layout, &doors);
    } else {
        println!(
            "no lab is running in {}; run `cargo lab up`",
            layout.state.display()
        );
    }
    Ok(if running {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn url(doors: &[Door], name: &str) -> Result<String> {
    let door = doors
        .iter()
        .find(|door| door.name == name)
        .with_context(|| format!("there is no way in to {name}"))?;
    let scheme = if name == "forge" { "https" } else { "http" };
    Ok(format!("{scheme}://{}", door.listen))
}

fn print_status(layout: &Layout, doors: &[Door]) {
    let password = Credentials::ensure(layout)
        .map(|credentials| credentials.person)
        .unwrap_or_default();
    let argocd = fs::read_to_string(layout.state("argocd-password")).unwrap_or_default();
    for (name, what, login) in [
        ("dev", "the service in dev", String::new()),
        ("staging", "the service in staging", String::new()),
        ("prod", "the service in prod", String::new()),
        (
            "argocd",
            "Argo CD (API; its web page is not in the Go module)",
            format!("admin / {argocd}"),
        ),
        (
            "forge",
            "Gitea: git, pull requests, Actions, registry",
            format!("{PERSON} / {password}"),
        ),
    ] {
        if let Ok(url) = url(doors, name) {
            println!("  {url:<26} {what}");
            if !login.is_empty() {
                println!("  {:<26} {login}", "");
            }
        }
    }
    println!(
        "  {:<26} the cluster: `cargo lab exec -- kubectl get pods -A`",
        ""
    );
    println!(
        "  {:<26} trust for the forge: {}",
        "",
        layout.state("pki/web-ca.crt").display()
    );
}

/// Runs a command inside.
///
/// # Errors
/// When there is no lab.
pub fn exec(layout: &Layout, argv: &[String]) -> Result<ExitCode> {
    let init = namespaces::find(layout).with_context(|| {
        format!(
            "no lab is running in {}; run `cargo lab up`",
            layout.state.display()
        )
    })?;
    let mut inside = namespaces::enter(init, &environment(&Host::read(layout)?), argv);
    let status = namespaces::interactive(&mut inside)
        .status()
        .context("could not start nsenter")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
