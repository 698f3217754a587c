//! The two builders of the image: the Dockerfile and the flake. Both write an OCI image layout.

use super::layout::ImageFolder;
use super::revision::Revision;
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use devkit::delivery::Platform;
use devkit::process::{Run, command, find};
use std::path::Path;
use std::process::{Command, Stdio};

/// A builder of the image.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Builder {
    /// The Dockerfile, with buildah or, where that is missing, with docker buildx
    Dockerfile,
    /// The output `image` of the flake
    Nix,
}

/// Whether a build may use what earlier builds of the project compiled.
#[derive(Clone, Copy, PartialEq)]
enum Cache {
    Use,
    Bypass,
}

impl Builder {
    /// Builds the image into the layout of the folder.
    pub(crate) fn build(
        self,
        root: &Path,
        revision: &Revision,
        folder: &ImageFolder,
    ) -> Result<()> {
        match self {
            Self::Dockerfile => dockerfile(root, revision, folder, Cache::Use),
            Self::Nix => nix_image(root, folder),
        }
    }

    /// As [`Builder::build`], but compiles the project again.
    pub(crate) fn rebuild(
        self,
        root: &Path,
        revision: &Revision,
        folder: &ImageFolder,
    ) -> Result<()> {
        match self {
            Self::Dockerfile => dockerfile(root, revision, folder, Cache::Bypass),
            Self::Nix => {
                nix_image(root, folder)?;
                // Nix compares the new binary with the one in its store, which the image above contains.
                let rebuild = ["--no-link", "--rebuild", "--keep-failed", ".#static"];
                Ok(nix(root, &rebuild).run()?)
            }
        }
    }

    /// The labels that the image must have. A flake sees only the commit, so Nix cannot know the forge.
    pub(crate) fn labels(self, revision: &Revision) -> Vec<(String, String)> {
        let mut labels = revision.labels();
        if self == Self::Nix {
            labels.retain(|(name, _)| !name.ends_with(".source"));
        }
        labels
    }
}

fn nix(root: &Path, args: &[&str]) -> Command {
    let features = ["--extra-experimental-features", "nix-command flakes"];
    let mut nix = command("nix", features);
    nix.args(["build", "--print-build-logs"])
        .args(args)
        .current_dir(root);
    nix
}

/// The flake's output is a script that writes the image as a tar archive to its standard output.
fn nix_image(root: &Path, folder: &ImageFolder) -> Result<()> {
    let script = nix(root, &["--no-link", "--print-out-paths", ".#image"])
        .stderr(Stdio::inherit())
        .read()?;
    let mut stream = Command::new(&script)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {script}"))?;
    let mut skopeo = command("skopeo", ["copy", "--quiet", "docker-archive:/dev/stdin"]);
    skopeo.arg(folder.reference());
    if let Some(tar) = stream.stdout.take() {
        skopeo.stdin(tar);
    }
    let copied = skopeo.run();
    // This closes the pipe. Without it, a script that skopeo no longer reads from would never end.
    drop(skopeo);
    let status = stream
        .wait()
        .with_context(|| format!("cannot wait for {script}"))?;
    copied?;
    ensure!(status.success(), "`{script}` failed ({status})");
    Ok(())
}

fn dockerfile(root: &Path, revision: &Revision, folder: &ImageFolder, cache: Cache) -> Result<()> {
    if find("buildah").is_some() {
        buildah(root, revision, folder, cache)
    } else if find("docker").is_some() {
        docker(root, revision, folder, cache)
    } else {
        bail!(
            "neither buildah nor docker is on PATH: run `cargo pipeline tools image` to install buildah"
        )
    }
}

/// Adds the build arguments, the labels and the build context.
fn add_inputs(build: &mut Command, root: &Path, revision: &Revision) -> Result<()> {
    build.arg(format!("--build-arg=WAYBILL_COMMIT={}", revision.commit));
    build.arg(format!("--build-arg=WAYBILL_BUILT_AT={}", revision.created));
    // The Dockerfile's default is the first platform.
    if let Some(platform) = Platform::of_machine().filter(|it| *it != Platform::Amd64) {
        build.arg(format!("--build-arg=TARGET={}", platform.rust_target()));
    }
    let extra = workflow::var("IMAGE_BUILD_ARGS").unwrap_or_default();
    for argument in extra.split_whitespace() {
        ensure!(
            argument.contains('='),
            "IMAGE_BUILD_ARGS has `{argument}`, which is not KEY=VALUE"
        );
        build.arg(format!("--build-arg={argument}"));
    }
    for (name, value) in revision.labels() {
        build.arg(format!("--label={name}={value}"));
    }
    build.arg(root);
    Ok(())
}

fn buildah(root: &Path, revision: &Revision, folder: &ImageFolder, cache: Cache) -> Result<()> {
    let name = format!("localhost/waybill:{}", revision.commit);
    let words = ["bud", "--layers", "--format=oci", "--identity-label=false"];
    let mut build = command("buildah", words);
    build.args([
        format!("--timestamp={}", revision.created.as_second()),
        format!("--tag={name}"),
    ]);
    // `--no-cache` does not cover cache mounts: buildah keeps them in the folder for temporary files.
    let temporary = tempfile::tempdir().context("cannot create a temporary folder")?;
    if cache == Cache::Bypass {
        build.arg("--no-cache").env("TMPDIR", temporary.path());
    }
    add_inputs(&mut build, root, revision)?;
    build.run()?;
    Ok(command("buildah", ["push", "--quiet", &name, &folder.reference()]).run()?)
}

fn docker(root: &Path, revision: &Revision, folder: &ImageFolder, cache: Cache) -> Result<()> {
    let layout = folder.layout();
    let output = format!(
        "--output=type=oci,tar=false,rewrite-timestamp=true,dest={}",
        layout.display()
    );
    let options = ["--provenance=false", "--sbom=false", &output];
    let mut build = command("docker", ["buildx", "build"]);
    build.args(options);
    build.arg(format!(
        "--build-arg=SOURCE_DATE_EPOCH={}",
        revision.created.as_second()
    ));
    if cache == Cache::Use {
        add_inputs(&mut build, root, revision)?;
        return Ok(build.run()?);
    }
    // A new builder has no layers and no cache mounts.
    let builder = format!("waybill-{}", std::process::id());
    let buildx = |args: &[&str]| command("docker", ["buildx"]).args(args).run();
    build.arg(format!("--builder={builder}"));
    add_inputs(&mut build, root, revision)?;
    buildx(&["create", "--driver=docker-container", "--name", &builder])?;
    let built = build.run();
    let removed = buildx(&["rm", &builder]);
    Ok(built.and(removed)?)
}
