//! `cargo pipeline image` builds the OCI image of a commit.
//!
//! All inputs come from the commit, including the time, so that a second build gives the same digest.

use super::builder::Builder;
use super::index;
use super::layout::{Description, ImageFolder, LayoutImage};
use super::revision::Revision;
use crate::project::{SERVICE_TESTS, root, with_test_threads};
use crate::workflow;
use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use devkit::delivery::Platform;
use devkit::git::Git;
use devkit::markdown;
use devkit::process::{Run, command};
use devkit::text::code;
use std::path::{Path, PathBuf};

/// The largest allowed image (requirement C5), in compressed bytes as the registry stores them.
const MAX_SIZE: u64 = 200_000_000;
const USER: &str = "65532:65532";
const ENTRYPOINT: &str = "/waybill";

/// Build the OCI image of a commit.
///
/// Writes an OCI image layout, and image.json with a description of it. The variable IMAGE_BUILD_ARGS adds build
/// arguments for the Dockerfile: `KEY=VALUE`, separated by spaces. The image is for the platform of this machine.
#[derive(clap::Args)]
pub(crate) struct Image {
    #[command(flatten)]
    folder: ImageFolder,
    /// Builder to use [default: the variable IMAGE_BUILDER, or dockerfile]
    #[arg(long, value_enum)]
    builder: Option<Builder>,
    /// Build the existing image again without cached project files, and compare the digests
    #[arg(long, conflicts_with_all = ["builder", "test"])]
    reproduce: bool,
    /// Run the tests of the service on the binary in the existing image
    #[arg(long, conflicts_with = "builder")]
    test: bool,
    /// Add the image of another platform, in FOLDER, to the existing image: then both have one digest, that of an index
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["builder", "reproduce", "test"])]
    add: Option<PathBuf>,
}

impl Image {
    /// Runs the command.
    pub(crate) fn run(&self) -> Result<()> {
        let root = root()?;
        let folder = ImageFolder {
            path: root.join(&self.folder.path),
        };
        if let Some(other) = &self.add {
            let other = ImageFolder {
                path: root.join(other),
            };
            report(&index::add(&folder, &other)?)
        } else if self.test {
            test(&root, &folder)
        } else if self.reproduce {
            reproduce(&root, &folder)
        } else {
            build(&root, &folder, self.builder()?)
        }
    }

    fn builder(&self) -> Result<Builder> {
        match (self.builder, workflow::var("IMAGE_BUILDER")) {
            (Some(builder), _) => Ok(builder),
            (None, Some(name)) => parse_builder(&name).context("IMAGE_BUILDER has a wrong value"),
            (None, None) => Ok(Builder::Dockerfile),
        }
    }
}

fn parse_builder(name: &str) -> Result<Builder> {
    Builder::from_str(name, false)
        .map_err(|_| anyhow!("`{name}` is neither `nix` nor `dockerfile`"))
}

fn build(root: &Path, folder: &ImageFolder, builder: Builder) -> Result<()> {
    let revision = Revision::head(&Git::new(root))?;
    if folder.path.exists() {
        std::fs::remove_dir_all(&folder.path)
            .with_context(|| format!("cannot empty {}", folder.path.display()))?;
    }
    std::fs::create_dir_all(&folder.path)
        .with_context(|| format!("cannot create {}", folder.path.display()))?;
    builder.build(root, &revision, folder)?;

    let image = LayoutImage::read(&folder.layout())?;
    check(&image, &builder.labels(&revision))?;
    let description = describe(&image, &revision, builder)?;
    description.write(folder)?;
    report(&description)
}

/// Says what was built.
fn report(image: &Description) -> Result<()> {
    let megabytes = image.size as f64 / 1e6;
    let platforms: Vec<String> = image.platforms.iter().map(Platform::to_string).collect();
    let platforms = platforms.join(" and ");
    println!(
        "image {} of commit {} for {platforms}: {megabytes:.1} MB compressed",
        image.digest, image.revision
    );
    workflow::output("digest", image.digest.as_str())?;
    let size = format!("{megabytes:.1} MB");
    workflow::summary(&markdown!(
        "**Image:** {} for {}, {} compressed",
        code(image.digest.as_str()),
        platforms,
        size
    ))
}

/// Checks what the chart and the later steps rely on. An image that fails here goes no further.
fn check(image: &LayoutImage, labels: &[(String, String)]) -> Result<()> {
    ensure!(
        image.size <= MAX_SIZE,
        "the image has {} bytes compressed, more than the {MAX_SIZE} allowed",
        image.size
    );
    if let Some(platform) = Platform::of_machine() {
        ensure!(
            image.platform == platform,
            "the image is for {} instead of {platform}, the platform of this machine",
            image.platform
        );
    }
    let process = &image.process;
    let user = process.user.as_deref().unwrap_or_default();
    ensure!(
        user == USER,
        "the image's User is {user:?} instead of {USER:?}"
    );
    let entrypoint = process.entrypoint.as_deref().unwrap_or_default();
    ensure!(
        entrypoint == [ENTRYPOINT],
        "the image's Entrypoint is {entrypoint:?} instead of {:?}",
        [ENTRYPOINT]
    );
    for (name, expected) in labels {
        let label = process.labels.as_ref().and_then(|labels| labels.get(name));
        match label {
            Some(label) => ensure!(
                label == expected,
                "the image's label {name} is {label:?} instead of {expected:?}"
            ),
            None => anyhow::bail!("the image has no label {name}; it must be {expected:?}"),
        }
    }
    Ok(())
}

fn describe(image: &LayoutImage, revision: &Revision, builder: Builder) -> Result<Description> {
    let builder = builder.to_possible_value();
    Ok(Description {
        digest: image.digest().clone(),
        platforms: vec![image.platform],
        size: image.size,
        revision: revision.commit.clone(),
        created: revision.created.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        builder: builder
            .context("the builder has no name")?
            .get_name()
            .to_owned(),
    })
}

/// Builds the same commit again with the same builder, and expects the same bytes.
fn reproduce(root: &Path, folder: &ImageFolder) -> Result<()> {
    let first = Description::read(folder)?;
    let revision = Revision::head(&Git::new(root))?;
    ensure!(
        first.revision == revision.commit,
        "the image was built from {}, but {} is checked out: run `cargo pipeline image` first",
        first.revision,
        revision.commit
    );
    let temporary =
        tempfile::tempdir_in(&folder.path).context("cannot create a temporary folder")?;
    let again = ImageFolder {
        path: temporary.path().to_owned(),
    };
    parse_builder(&first.builder)?.rebuild(root, &revision, &again)?;
    let second = LayoutImage::read(&again.layout())?;
    let second = second.digest();
    ensure!(
        *second == first.digest,
        "the second build of {} gave {second}, not {}: the image depends on something outside the commit",
        revision.commit,
        first.digest
    );
    println!(
        "built twice with {}: both images are {second}",
        first.builder
    );
    workflow::summary(&markdown!("**Reproduced:** {}", code(second.as_str())))
}

/// Runs the tests of the service on the binary in the image. They are compiled with the commit and the time of the
/// image, because they compare both with the answer of `/version`.
fn test(root: &Path, folder: &ImageFolder) -> Result<()> {
    let description = Description::read(folder)?;
    let image = LayoutImage::read(&folder.layout())?;
    let files = tempfile::tempdir().context("cannot create a temporary folder")?;
    for layer in &image.layers {
        command("tar", ["--extract", "--no-same-owner", "--file"])
            .arg(layer)
            .arg("--directory")
            .arg(files.path())
            .run()?;
    }
    let binary = files.path().join(ENTRYPOINT.trim_start_matches('/'));
    ensure!(binary.is_file(), "the image has no {ENTRYPOINT}");
    let words = ["test", "--package", "waybill", "--locked", "--test"];
    with_test_threads(&mut command("cargo", words))
        .arg(SERVICE_TESTS)
        .current_dir(root)
        .env("WAYBILL_TEST_BINARY", binary)
        .env("WAYBILL_COMMIT", &description.revision)
        .env("WAYBILL_BUILT_AT", &description.created)
        .run()?;
    println!("the tests pass on {}", description.digest);
    Ok(())
}
