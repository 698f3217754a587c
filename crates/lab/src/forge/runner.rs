//! The runner that executes the jobs of workflows.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use devkit::process::{Run, command};
use devkit::tools;
use serde_json::json;

use super::server::{gitea, printed};
use crate::cluster::images;
use crate::sandbox::host::Host;
use crate::sandbox::layout::{INSIDE, INSIDE_CACHE, Layout};
use crate::sandbox::network::FORGE;
use crate::sandbox::service::Service;

/// The runner image that the workflows name. Jobs run on the host.
const LABELS: &str = "ubuntu-24.04:host";

/// Starts the runner. Jobs run as processes inside, seven at a time: the six checks of a change, and a short job.
///
/// # Errors
/// When the runner cannot be registered or started.
pub(super) fn start(layout: &Layout, host: &Host) -> Result<()> {
    let folder = layout.state("runner");
    fs::create_dir_all(folder.join("work"))?;
    prepare_image_builds(layout, host)?;
    let variables: Vec<String> = job_variables(host)
        .iter()
        .map(|(name, value)| format!("    {name}: {}", json!(value)))
        .collect();
    let config =
        include_str!("../../platform/runner.yaml").replace("    VARIABLES", &variables.join("\n"));
    fs::write(folder.join("config.yaml"), config)?;
    let config = format!("{INSIDE}/runner/config.yaml");
    if !folder.join(".runner").exists() {
        let token = gitea(host, &["actions", "generate-runner-token"])?.read()?;
        command(
            "gitea-runner",
            [
                "register",
                "--no-interactive",
                "--config",
                &config,
                "--instance",
            ],
        )
        .arg(format!("https://{FORGE}"))
        .args(["--name", "lab", "--labels", LABELS, "--token", &token])
        .env("PATH", host.search_path())
        .current_dir(&folder)
        .run_quietly()
        .map_err(|error| anyhow!("the runner could not be registered: {}", printed(&error)))?;
    }
    Service {
        name: "runner",
        argv: ["gitea-runner", "daemon", "--config", &config]
            .map(str::to_owned)
            .to_vec(),
        variables: job_variables(host),
        user: None,
    }
    .ensure(layout)
}

/// The environment variables of each job, beside those that the workflow sets.
fn job_variables(host: &Host) -> Vec<(String, String)> {
    let mut variables = host.variables();
    // Jobs have no access to the cluster.
    variables.retain(|(name, _)| name != "KUBECONFIG");
    let mut add = |name: &str, value: String| variables.push((name.to_owned(), value));
    add("CARGO_HOME", host.cargo_home.display().to_string());
    add("CARGO_NET_OFFLINE", "true".into());
    add("CARGO_TERM_COLOR", "never".into());
    if let Some(rustup) = &host.rustup_home {
        add("RUSTUP_HOME", rustup.display().to_string());
    }
    add("BUILDAH_ISOLATION", "chroot".into());
    add(
        "CONTAINERS_CONF",
        format!("{INSIDE}/runner/containers.conf"),
    );
    add(
        "CONTAINERS_STORAGE_CONF",
        format!("{INSIDE}/runner/storage.conf"),
    );
    add("IMAGE_BUILD_ARGS", format!("RUST_IMAGE={}", images::RUST));
    add("LAB_CACHE_DIR", format!("{INSIDE_CACHE}/jobs"));
    // The database of vulnerabilities cannot be downloaded inside.
    add("SCAN_DATABASE", "none".into());
    if let Some(advisories) = &host.advisories {
        add("ADVISORY_DB", advisories.display().to_string());
    }
    // Scanners take long to build. Only scenarios that need them install them.
    add("PIPELINE_OPTIONAL_TOOLS", tools::SCANNERS.join(" "));
    variables
}

/// Prepares image builds in jobs: storage that outlives the lab, the machine's toolchain and crates in every build, and
/// the replacement for the Rust image.
fn prepare_image_builds(layout: &Layout, host: &Host) -> Result<()> {
    let auditable = host.program("cargo-auditable")?;
    let auditable = auditable.parent().unwrap_or(Path::new("/"));
    let crates = |folder: &str| {
        let registry = host.cargo_home.join("registry").join(folder);
        format!("{}:/usr/local/cargo/registry/{folder}", registry.display())
    };
    let volumes = [
        format!("{}:/usr/local/toolchain:ro", host.sysroot.display()),
        format!("{}:/usr/local/auditable:ro", auditable.display()),
        crates("index"),
        crates("cache"),
    ];
    let folder = layout.state("runner");
    fs::write(
        folder.join("containers.conf"),
        format!("[containers]\nvolumes = {}\n", json!(volumes)),
    )?;
    fs::write(
        folder.join("storage.conf"),
        format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{INSIDE_CACHE}/jobs/containers\"\nrunroot = \"/run/containers\"\n"
        ),
    )?;
    let variables = job_variables(host);
    let buildah = |args: &[&str]| {
        let mut buildah = command("buildah", args);
        buildah.env_clear().envs(variables.iter().cloned());
        buildah
    };
    let archive = images::archive(&Layout::inside(), images::BUILDER)?;
    let mark = Layout::inside().cache(format!(
        "jobs/{}.loaded",
        archive.file_stem().unwrap_or_default().to_string_lossy()
    ));
    if !mark.exists() {
        buildah(&[
            "pull",
            "--quiet",
            &format!("docker-archive:{}", archive.display()),
        ])
        .run_quietly()?;
        fs::write(mark, "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// How a label begins that is another one on GitHub.
    const ON_GITHUB: &str = "${{ github.server_url == 'https://github.com' && ";

    #[test]
    fn the_runner_offers_what_the_workflows_ask_for() {
        // Cargo runs a test in the folder of its package.
        let folder = fs::read_dir("../../.github/workflows").unwrap();
        let texts = folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let texts: Vec<String> = texts.collect();
        let lines = texts.iter().flat_map(|text| text.lines());
        let asked: BTreeSet<&str> = lines
            .filter_map(|line| line.trim().strip_prefix("runs-on: "))
            .map(|label| match label.strip_prefix(ON_GITHUB) {
                // The label elsewhere is the last operand.
                Some(rest) => rest.rsplit('\'').nth(1).unwrap(),
                None => label,
            })
            .collect();
        let offered = LABELS
            .split(',')
            .filter_map(|label| label.split(':').next());
        assert_eq!(asked, offered.collect());
    }
}
