//! C12. A prerelease's tag on staging tags the image there, publishes the chart, and creates a release that explains how to
//! verify the image.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use devkit::delivery::Delivery;
use devkit::forge::Release;
use devkit::http::get_text;
use devkit::process::{Run, command};
use devkit::reference::Digest;
use devkit::values::Values;

use super::steps;
use super::world::World;
use crate::cluster::database;
use crate::delivery::ship::CI_LIMIT;
use crate::forge::runs::{WorkflowRun, release, wait_failed_job};
use crate::sandbox::credentials::random;
use crate::sandbox::layout::KUBECONFIG;
use crate::sandbox::network::FORGE;

/// Where the chart of the version is installed.
const NAMESPACE: &str = "scenario-release";

/// The values with which the chart is installed. The lab has no volume for the file of an SQLite database.
const VALUES: &str = "database:\n  existingSecret:\n    name: database\n";

pub(super) fn run(world: &World) -> Result<()> {
    // Given staging has an image,
    let forge = &world.forge;
    let tags = forge.image_tags()?;
    let staging = world.delivery.tagged();
    let image = forge.image(staging, &staging.branch)?;
    let clone = world.clone("release", &staging.branch)?;
    let git = forge.git(&clone);
    let commit = git.head()?;
    let number = &random()?[..8];

    // When a commit that was never on staging gets a version tag,
    git.read(&["commit", "--quiet", "--allow-empty", "--message", "Stray"])?;
    let stray = format!("v0.0.0-stray.x{number}");
    let elsewhere = steps::push_tag(world, &clone, &stray)?;

    // Then nothing is released.
    let log = wait_failed_job(forge, &release(&stray), &elsewhere, "release", CI_LIMIT)?;
    ensure!(
        log.contains(&format!("is not on {}", staging.branch)),
        "the log gives no reason:\n{log}"
    );
    ensure!(
        forge.image_tags()? == tags,
        "{stray} changed the registry's tags"
    );

    // When the tip of staging gets a prerelease's tag,
    git.read(&["reset", "--quiet", "--hard", &commit])?;
    let version = format!("v0.0.0-rc.x{number}");
    steps::push_tag(world, &clone, &version)?;

    // Then the image has exactly two more tags, and `latest` is not one of them,
    WorkflowRun::wait(forge, &release(&version), &commit, CI_LIMIT)?;
    let mut expected = tags;
    expected.extend(world.delivery.release_image_tags(&version, true, &commit));
    let now = forge.image_tags()?;
    ensure!(now == expected, "the tags are {now:?}, not {expected:?}");

    // And the release says what the image is and how to verify it.
    let found = forge.find_release(&version)?;
    let found = found.with_context(|| format!("{version} has no release"))?;
    is_explained(&found, &image.digest)?;

    // And Helm installs the chart of that version from the registry, where its digest is signed.
    is_published(world, version.trim_start_matches('v'))
}

/// Checks the chart in the registry with Helm and cosign, and installs it, as a user of the chart does.
fn is_published(world: &World, version: &str) -> Result<()> {
    let Delivery { owner, name, .. } = &world.delivery;
    let chart = format!("{FORGE}/{owner}/charts/{name}").to_lowercase();
    let reference = format!("oci://{chart}");
    let folder = tempfile::tempdir()?;
    let mut pull = command("helm", ["pull", &reference, "--version", version]);
    let pulled = pull.current_dir(folder.path()).capture()?;
    let said = [pulled.stdout, pulled.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let digest = said.lines().find_map(|line| line.strip_prefix("Digest: "));
    let digest = digest.with_context(|| format!("Helm cannot pull {chart}:{version}: {said}"))?;
    let key = world.layout.state("signing/cosign.pub");
    command("cosign", ["verify", "--insecure-ignore-tlog=true"])
        .arg(format!("--key={}", key.display()))
        .arg(format!("{chart}@{digest}"))
        .run_quietly()?;
    is_installed(world, &reference, version)
}

/// Installs the chart of a version from the registry, as its notes say. It runs the image of its version.
fn is_installed(world: &World, reference: &str, version: &str) -> Result<()> {
    let (name, commit) = (
        &world.delivery.name,
        world.environment(world.delivery.tagged()).serving(),
    );
    let helm = |words: &[&str]| {
        let mut helm = command("helm", words);
        helm.args(["--kubeconfig", KUBECONFIG, "--namespace", NAMESPACE]);
        helm.arg(name);
        helm
    };
    database::delete_with_namespace(NAMESPACE)?;
    database::create_empty(NAMESPACE, &Values::parse(VALUES)?)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.yaml");
    fs::write(&file, VALUES)?;
    let mut install = helm(&["install", "--wait"]);
    install.args([reference, "--version", version]);
    install.arg("--values").arg(file).run_quietly()?;
    let address = world.kubernetes.cluster_ip(NAMESPACE, name)?;
    let answer = get_text(&format!("http://{address}/version")).unwrap_or_default();
    let commit = commit.context("staging does not answer")?;
    ensure!(
        answer.contains(&commit),
        "the chart runs {answer}, not {commit}"
    );
    helm(&["uninstall", "--wait"]).run_quietly()?;
    database::delete_with_namespace(NAMESPACE)
}

fn is_explained(found: &Release, digest: &Digest) -> Result<()> {
    ensure!(found.prerelease, "it is not a prerelease: {found:?}");
    let notes = &found.body;
    for text in [digest.as_str(), "cosign verify", "sbom.cdx.json"] {
        ensure!(notes.contains(text), "the notes lack {text:?}:\n{notes}");
    }
    let assets = found.assets.iter();
    let names: BTreeSet<&str> = assets.map(|asset| asset.name.as_str()).collect();
    let expected = BTreeSet::from(["SHA256SUMS", "sbom.cdx.json"]);
    ensure!(names == expected, "the release has the files {names:?}");
    Ok(())
}
