//! What builds the image: the Dockerfile, by buildah or docker, or the flake. Either gives an OCI layout, and from one
//! commit always the same.

use crate::build::image::{Folder, Source};
use crate::project::{cmd, find, read, run};
use crate::workflow;
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::path::Path;
use std::process::{Command, Stdio};

/// A way to build the image.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Builder {
    /// The Dockerfile, by buildah, which needs no daemon, or else by docker's buildx
    Dockerfile,
    /// The flake's `image`
    Nix,
}

impl Builder {
    /// Builds the image into the folder's layout.
    pub(crate) fn build(self, root: &Path, source: &Source, folder: &Folder) -> Result<()> {
        match self {
            Self::Dockerfile => dockerfile(root, source, folder, false),
            Self::Nix => nix_image(root, folder),
        }
    }

    /// The same, but what is compiled of this project is compiled anew.
    pub(crate) fn rebuild(self, root: &Path, source: &Source, folder: &Folder) -> Result<()> {
        match self {
            Self::Dockerfile => dockerfile(root, source, folder, true),
            Self::Nix => {
                nix_image(root, folder)?;
                // Nix itself compares what it builds now with what it has, which is what the image above is made of.
                run(&mut nix(
                    root,
                    &["--no-link", "--rebuild", "--keep-failed", ".#static"],
                ))
            }
        }
    }

    /// The labels that an image of this source must have. A flake sees nothing but the commit, so that Nix can't know
    /// which forge it is built for.
    pub(crate) fn labels(self, source: &Source) -> Vec<(String, String)> {
        let mut labels = source.labels();
        if self == Self::Nix {
            labels.retain(|(name, _)| !name.ends_with(".source"));
        }
        labels
    }
}

fn nix(root: &Path, args: &[&str]) -> Command {
    let mut nix = cmd(
        "nix",
        ["--extra-experimental-features", "nix-command flakes"],
    );
    nix.args(["build", "--print-build-logs"])
        .args(args)
        .current_dir(root);
    nix
}

/// The flake's image is a script that writes it as a tar.
fn nix_image(root: &Path, folder: &Folder) -> Result<()> {
    let script =
        read(nix(root, &["--no-link", "--print-out-paths", ".#image"]).stderr(Stdio::inherit()))?;
    let mut stream = Command::new(&script);
    let mut stream = stream
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {script}"))?;
    let mut skopeo = cmd("skopeo", ["copy", "--quiet", "docker-archive:/dev/stdin"]);
    skopeo.arg(folder.reference());
    if let Some(tar) = stream.stdout.take() {
        skopeo.stdin(tar);
    }
    let copied = run(&mut skopeo);
    // It ends when nobody reads any more; what skopeo said says why.
    drop(skopeo);
    let status = stream
        .wait()
        .with_context(|| format!("cannot wait for {script}"))?;
    copied?;
    ensure!(status.success(), "`{script}` failed ({status})");
    Ok(())
}

fn dockerfile(root: &Path, source: &Source, folder: &Folder, afresh: bool) -> Result<()> {
    if find("buildah").is_some() {
        buildah(root, source, folder, afresh)
    } else if find("docker").is_some() {
        docker(root, source, folder, afresh)
    } else {
        bail!(
            "neither buildah nor docker is on PATH: `cargo pipeline tools image` installs buildah"
        )
    }
}

/// Adds what the Dockerfile is given, and where it is.
fn inputs(command: &mut Command, root: &Path, source: &Source) -> Result<()> {
    let own = [
        ("WAYBILL_COMMIT", &source.commit),
        ("WAYBILL_BUILT_AT", &source.created),
    ];
    for (key, value) in own {
        command.arg(format!("--build-arg={key}={value}"));
    }
    for extra in workflow::var("IMAGE_BUILD_ARGS")
        .unwrap_or_default()
        .split_whitespace()
    {
        ensure!(
            extra.contains('='),
            "IMAGE_BUILD_ARGS has `{extra}`, which is not KEY=VALUE"
        );
        command.arg(format!("--build-arg={extra}"));
    }
    for (name, value) in source.labels() {
        command.arg(format!("--label={name}={value}"));
    }
    command.arg(root);
    Ok(())
}

fn buildah(root: &Path, source: &Source, folder: &Folder, afresh: bool) -> Result<()> {
    let name = format!("localhost/waybill:{}", source.commit);
    let mut bud = cmd(
        "buildah",
        ["bud", "--layers", "--format=oci", "--identity-label=false"],
    );
    bud.args([
        format!("--timestamp={}", source.epoch),
        format!("--tag={name}"),
    ]);
    // Layers are one cache; what is mounted into a build is another, in the folder for temporary files.
    let fresh = tempfile::tempdir().context("cannot make a temporary folder")?;
    if afresh {
        bud.arg("--no-cache").env("TMPDIR", fresh.path());
    }
    inputs(&mut bud, root, source)?;
    run(&mut bud)?;
    run(&mut cmd(
        "buildah",
        ["push", "--quiet", &name, &folder.reference()],
    ))
}

fn docker(root: &Path, source: &Source, folder: &Folder, afresh: bool) -> Result<()> {
    let layout = folder.layout();
    let output = format!(
        "--output=type=oci,tar=false,rewrite-timestamp=true,dest={}",
        layout.display()
    );
    let mut build = cmd(
        "docker",
        [
            "buildx",
            "build",
            "--provenance=false",
            "--sbom=false",
            &output,
        ],
    );
    build.arg(format!("--build-arg=SOURCE_DATE_EPOCH={}", source.epoch));
    if !afresh {
        inputs(&mut build, root, source)?;
        return run(&mut build);
    }
    // A builder of its own begins without layers and cache mounts.
    let builder = format!("waybill-{}", std::process::id());
    let buildx = |args: &[&str]| run(cmd("docker", ["buildx"]).args(args));
    build.arg(format!("--builder={builder}"));
    inputs(&mut build, root, source)?;
    buildx(&["create", "--driver=docker-container", "--name", &builder])?;
    let built = run(&mut build);
    let removed = buildx(&["rm", &builder]);
    built.and(removed)
}
