//! The container images that the lab builds once, from `crates/lab/images/`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use devkit::cache::content_key;
use devkit::process::{Run, command};
use devkit::progress::Progress;
use devkit::tools;

use crate::sandbox::debian;
use crate::sandbox::layout::Layout;

/// The image that holds a pod's network namespace.
pub const PAUSE: &str = "lab.test/pause:1";

/// The lab's replacement for the Rust image that the Dockerfile builds with.
pub const RUST: &str = "localhost/lab/rust:1";

/// An image: its name, and how its build context is prepared.
struct Image {
    name: &'static str,
    containerfile: &'static str,
    /// The name in the manifests that use it.
    reference: fn(&Layout) -> Result<String>,
    fill: fn(&Layout, &Path) -> Result<()>,
    /// The tools that it contains or is built from.
    tools: &'static [&'static str],
    base: bool,
}

macro_rules! containerfile {
    ($name:literal) => {
        include_str!(concat!("../../images/", $name, "/Containerfile"))
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
                .run_quietly()?;
            Ok(())
        },
        tools: &["kubernetes"],
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
        tools: &["coredns"],
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
                    .run_quietly()?;
            }
            // All components are one binary, which runs the component that it is named after.
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
        tools: &["argocd", "helm"],
        base: true,
    },
    Image {
        name: ROLLOUTS,
        containerfile: containerfile!("argo-rollouts"),
        reference: |_| {
            Ok(format!(
                "quay.io/argoproj/argo-rollouts:{}",
                version(ROLLOUTS)?
            ))
        },
        fill: |layout, context| {
            let program_name = "rollouts-controller";
            program(layout, ROLLOUTS, program_name, &context.join(program_name))
        },
        tools: &[ROLLOUTS],
        base: false,
    },
    Image {
        name: "redis",
        containerfile: containerfile!("redis"),
        reference: |layout| manifest_image(layout, "public.ecr.aws/docker/library/redis:"),
        fill: |_, _| Ok(()),
        tools: &[],
        base: true,
    },
    Image {
        name: BUILDER,
        containerfile: containerfile!("rust"),
        reference: |_| Ok(RUST.into()),
        fill: |_, _| Ok(()),
        tools: &[],
        base: true,
    },
];

/// The images that the cluster needs when it starts.
pub const CLUSTER: [&str; 4] = ["pause", "coredns", "argocd", "redis"];

/// The image that CI builds images with.
pub const BUILDER: &str = "rust";

/// The controller of Argo Rollouts, for the scenario that needs it: the image and the tool.
pub(super) const ROLLOUTS: &str = "argo-rollouts";

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
        .with_context(|| format!("cannot copy {}", folder.display()))
}

/// The image of a repository that Argo CD's manifest names.
fn manifest_image(layout: &Layout, repository: &str) -> Result<String> {
    let path = tools::shared_file(&layout.cache, "argocd", "manifests/install.yaml")?;
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("image: "))
        .find(|image| image.starts_with(repository))
        .map(str::to_owned)
        .with_context(|| format!("{} names no image {repository}", path.display()))
}

fn named(name: &str) -> Result<&'static Image> {
    let image = IMAGES.iter().find(|image| image.name == name);
    image.with_context(|| format!("the lab has no image {name}"))
}

/// The name of an image in the manifests that use it.
///
/// # Errors
/// When the lab has no such image, or a tool that names it is missing.
pub(super) fn reference(layout: &Layout, name: &str) -> Result<String> {
    (named(name)?.reference)(layout)
}

/// The file of an image, which containerd and buildah can load.
///
/// # Errors
/// When the lab has no such image, or a tool it is built from is missing.
pub fn archive(layout: &Layout, name: &str) -> Result<PathBuf> {
    let image = named(name)?;
    let reference = (image.reference)(layout)?;
    let mut parts = vec![image.containerfile.to_owned(), reference];
    for tool in image.tools {
        parts.extend(tools::identity(&layout.cache, tool)?);
    }
    if image.base {
        let base = debian::base_archive(layout);
        parts.extend(
            base.file_name()
                .map(|name| name.to_string_lossy().into_owned()),
        );
    }
    let key = content_key(parts);
    Ok(layout.cache(format!("images/{name}-{key}.tar")))
}

/// The files of all images, and of what they are built from.
///
/// # Errors
/// When a tool that they are built from is missing.
pub fn archives(layout: &Layout) -> Result<Vec<PathBuf>> {
    let images = IMAGES.iter().map(|image| archive(layout, image.name));
    images.chain([Ok(debian::base_archive(layout))]).collect()
}

/// Builds those of the images that are missing.
///
/// # Errors
/// When the lab has no such image, or a build fails.
pub fn ensure(layout: &Layout, names: &[&str], progress: Progress) -> Result<()> {
    for name in names {
        let image = named(name)?;
        let archive = archive(layout, name)?;
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
            .with_context(|| format!("cannot remove {}", storage.display()))?;
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
    .run_quietly()?;
    let part = archive.with_extension("part");
    let _ = fs::remove_file(&part);
    buildah(&["push", "--quiet", &reference])
        .arg(format!("docker-archive:{}:{reference}", part.display()))
        .run_quietly()?;
    buildah(&["rmi", "--all", "--force"]).run_quietly()?;
    fs::remove_dir_all(&context)?;
    fs::rename(&part, archive)?;
    Ok(())
}
