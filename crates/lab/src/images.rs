//! The container images that the lab brings along, built once from `crates/lab/images/`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::{Run, command};
use crate::debian;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::tools;

/// The image of containers' network namespaces.
pub const PAUSE: &str = "waybill.test/pause:1";

/// Stands in for the Rust image that the Dockerfile builds with.
pub const RUST: &str = "localhost/lab/rust:1";

/// An image: its name, and how its build context is filled.
struct Image {
    name: &'static str,
    containerfile: &'static str,
    /// The name that manifests use, which a stand-in must bear.
    reference: fn(&Layout) -> Result<String>,
    fill: fn(&Layout, &Path) -> Result<()>,
    base: bool,
}

macro_rules! containerfile {
    ($name:literal) => {
        include_str!(concat!("../images/", $name, "/Containerfile"))
    };
}

static IMAGES: &[Image] = &[
    Image {
        name: "pause",
        containerfile: containerfile!("pause"),
        reference: |_| Ok(PAUSE.into()),
        fill: |layout, context| {
            command("musl-gcc", ["-Os", "-static", "-o"])
                .arg(context.join("pause"))
                .arg(tools::shared_file(
                    &layout.cache,
                    "kubernetes",
                    "build/pause/linux/pause.c",
                )?)
                .run()
        },
        base: false,
    },
    Image {
        name: "coredns",
        containerfile: containerfile!("coredns"),
        reference: |_| {
            Ok(format!(
                "registry.k8s.io/coredns/coredns:{}",
                version("coredns")?
            ))
        },
        fill: |layout, context| program(layout, "coredns", "coredns", &context.join("coredns")),
        base: false,
    },
    Image {
        name: "argocd",
        containerfile: containerfile!("argocd"),
        reference: |layout| manifest_image(layout, "quay.io/argoproj/argocd:"),
        fill: |layout, context| {
            let bin = context.join("bin");
            fs::create_dir(&bin)?;
            program(layout, "argocd", "argocd", &bin.join("argocd"))?;
            program(layout, "helm", "helm", &bin.join("helm"))?;
            for script in [
                "entrypoint.sh",
                "hack/gpg-wrapper.sh",
                "hack/git-verify-wrapper.sh",
            ] {
                let name = script.rsplit('/').next().unwrap_or(script);
                command("install", ["-m", "755"])
                    .arg(tools::shared_file(&layout.cache, "argocd", script)?)
                    .arg(bin.join(name))
                    .run()?;
            }
            // One binary; it looks at its own name to know which component it is.
            for component in [
                "application-controller",
                "applicationset-controller",
                "cmp-server",
                "commit-server",
                "dex",
                "git-ask-pass",
                "k8s-auth",
                "notifications",
                "repo-server",
                "server",
            ] {
                symlink("argocd", bin.join(format!("argocd-{component}")))?;
            }
            for folder in [
                "config/ssh",
                "config/tls",
                "config/gpg/source",
                "config/gpg/keys",
            ] {
                fs::create_dir_all(context.join("app").join(folder))?;
            }
            fs::write(context.join("app/config/ssh/ssh_known_hosts"), "")?;
            Ok(())
        },
        base: true,
    },
    Image {
        name: "redis",
        containerfile: containerfile!("redis"),
        reference: |layout| manifest_image(layout, "public.ecr.aws/docker/library/redis:"),
        fill: |_, _| Ok(()),
        base: true,
    },
    Image {
        name: "rust",
        containerfile: containerfile!("rust"),
        reference: |_| Ok(RUST.into()),
        fill: |_, _| Ok(()),
        base: true,
    },
];

/// The images that the cluster runs; the rest is for building.
pub const CLUSTER: &[&str] = &["pause", "coredns", "argocd", "redis"];

/// A short key of what something is made from.
pub fn key<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..6])
}

/// The pinned version of a tool, with a leading `v`.
///
/// # Errors
/// When there is no such tool, or it has no pinned version.
pub fn version(tool: &str) -> Result<String> {
    let version = tools::named(tool)?.version();
    let version = version.with_context(|| format!("{tool} has no pinned version"))?;
    Ok(format!("v{version}"))
}

fn program(layout: &Layout, tool: &str, program: &str, target: &Path) -> Result<()> {
    let folder = tools::program(&layout.cache, tool, program)?;
    fs::copy(&folder, target)
        .map(drop)
        .with_context(|| format!("could not copy {}", folder.display()))
}

/// The image of that repository which Argo CD's manifest names.
fn manifest_image(layout: &Layout, repository: &str) -> Result<String> {
    let path = tools::shared_file(&layout.cache, "argocd", "manifests/install.yaml")?;
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("image: "))
        .find(|image| image.starts_with(repository))
        .map(str::to_owned)
        .with_context(|| format!("{} names no image {repository}", path.display()))
}

/// Where an image is kept as a file that containerd and buildah can load.
///
/// # Errors
/// When its name can't be told.
pub fn archive(layout: &Layout, name: &str) -> Result<PathBuf> {
    let image = IMAGES
        .iter()
        .find(|image| image.name == name)
        .with_context(|| format!("the lab has no image {name}"))?;
    let reference = (image.reference)(layout)?;
    let mut parts = vec![image.containerfile.to_owned(), reference];
    for tool in ["argocd", "helm", "coredns"] {
        parts.extend(tools::identity(&layout.cache, tool)?);
    }
    let key = key(parts.iter().map(String::as_str));
    Ok(layout.cache(format!("images/{name}-{key}.tar")))
}

/// Builds the images that are missing.
///
/// # Errors
/// When a build fails.
pub fn ensure(layout: &Layout, progress: Progress) -> Result<()> {
    for image in IMAGES {
        let archive = archive(layout, image.name)?;
        if archive.exists() {
            continue;
        }
        let base = if image.base {
            Some(debian::base_system(layout, progress)?)
        } else {
            None
        };
        progress.run(format!("Building the image {}", image.name), || {
            build(layout, image, base.as_deref(), &archive)
        })?;
    }
    let storage = layout.cache("build/storage");
    if storage.exists() {
        fs::remove_dir_all(&storage)
            .with_context(|| format!("could not remove {}", storage.display()))?;
    }
    Ok(())
}

fn build(layout: &Layout, image: &Image, base: Option<&Path>, archive: &Path) -> Result<()> {
    let context = layout.cache(format!("build/image-{}", image.name));
    if context.exists() {
        fs::remove_dir_all(&context)?;
    }
    fs::create_dir_all(&context)?;
    fs::create_dir_all(layout.cache("images"))?;
    if let Some(base) = base {
        fs::hard_link(base, context.join("base.tar"))?;
    }
    fs::write(context.join("Containerfile"), image.containerfile)?;
    (image.fill)(layout, &context)?;

    let reference = (image.reference)(layout)?;
    let storage = layout.cache("build/storage");
    let buildah = |args: &[&str]| {
        let mut buildah = command("buildah", ["--root"]);
        buildah
            .arg(&storage)
            .arg("--runroot")
            .arg(storage.join("run"))
            .args(["--storage-driver", "vfs"])
            .args(args);
        buildah
    };
    buildah(&[
        "bud",
        "--quiet",
        "--isolation",
        "chroot",
        "--pull-never",
        "--tag",
        &reference,
    ])
    .arg(&context)
    .run()?;
    let part = archive.with_extension("part");
    let _ = fs::remove_file(&part);
    buildah(&["push", "--quiet", &reference])
        .arg(format!("docker-archive:{}:{reference}", part.display()))
        .run()?;
    buildah(&["rmi", "--all", "--force"]).run()?;
    fs::remove_dir_all(&context)?;
    fs::rename(&part, archive)?;
    Ok(())
}
